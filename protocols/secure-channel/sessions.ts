import type { SuiteName } from '../noise-ik/suite.ts'
import { FAILURES_MAX, SESSIONS_MAX, SESSIONS_PER_PEER_MAX } from './limits.ts'

/** One open session, as shown to people and programs. */
export interface SessionInfo {
  readonly peerId: string
  readonly suite: SuiteName
  /** Key epoch; 0 until the first rotation. */
  readonly epoch: number
  /** Ms since the epoch. */
  readonly establishedAt: number
  /** Ms since the epoch of the last key rotation. */
  readonly rotatedAt: number | null
  /** Plaintext received. */
  readonly rxBytes: number
  /** Plaintext sent. */
  readonly txBytes: number
  /** True on the side that dialled. */
  readonly initiator: boolean
  /** Where the rotation of its keys stands. */
  readonly rotation: RotationInfo
}

/** Where the key rotation of a session stands; times are ms since the epoch. */
export interface RotationInfo {
  /** `active`: nothing under way. `rotating`: our ROT waits to be sent. `handshaking`: ROT or ACK sent. `failed`: waits to try again. */
  readonly state: 'active' | 'rotating' | 'handshaking' | 'failed'
  /** Last ROT sent or received. */
  readonly lastRotAt: number | null
  /** Last ACK sent or received. */
  readonly lastAckAt: number | null
  /** Rotations of this session that failed. */
  readonly failures: number
}

/** An open session as its owner lists it. */
export interface ListedSession {
  read(): SessionInfo
  /** Starts a key rotation; false when one is under way already. */
  rotate(): boolean
}

/** The last failed dial of a peer. */
export interface DialFailure {
  readonly code: string
  readonly text: string
  /** Ms since the epoch. */
  readonly at: number
  /** With `clock-skew`: the peer's clock minus ours, in ms. */
  readonly offsetMs?: number
}

/**
 * The open sessions and the last dial failures of one node. libp2p throws away the class and code of an encrypter's error, so
 * whoever dialled asks `lastFailure` for the reason.
 */
export class SessionRegistry {
  readonly #sessionsMax: number
  readonly #failuresMax: number
  readonly #sessions = new Set<ListedSession>()
  readonly #failures = new Map<string, DialFailure>()

  constructor(
    limits: { sessionsMax: number; failuresMax: number } = {
      sessionsMax: SESSIONS_MAX,
      failuresMax: FAILURES_MAX,
    },
  ) {
    this.#sessionsMax = limits.sessionsMax
    this.#failuresMax = limits.failuresMax
  }

  /** False when another session would exceed the limit; the handshake is then refused. */
  get hasRoom(): boolean {
    return this.#sessions.size < this.#sessionsMax
  }

  /** False when another session with this peer would exceed the limit. */
  hasRoomFor(peerId: string): boolean {
    return this.forPeer(peerId).length < SESSIONS_PER_PEER_MAX
  }

  /** Adds a session; call the result when it ends. */
  add(session: ListedSession): () => void {
    this.#sessions.add(session)
    return () => this.#sessions.delete(session)
  }

  /** Starts a key rotation in every session, or in those with one peer. Returns how many were started. */
  rotate(peerId?: string): number {
    let started = 0
    for (const session of this.#sessions)
      if ((peerId === undefined || session.read().peerId === peerId) && session.rotate()) started++
    return started
  }

  /** Snapshot of all open sessions. */
  list(): SessionInfo[] {
    return [...this.#sessions].map((session) => session.read())
  }

  /** Snapshot of the sessions with one peer. */
  forPeer(peerId: string): SessionInfo[] {
    return this.list().filter((session) => session.peerId === peerId)
  }

  /** Remembers why the last dial of `peerId` failed; the oldest entry makes room. */
  recordFailure(peerId: string, failure: DialFailure): void {
    this.#failures.delete(peerId)
    if (this.#failures.size >= this.#failuresMax) {
      const oldest = this.#failures.keys().next()
      if (oldest.done !== true) this.#failures.delete(oldest.value)
    }
    this.#failures.set(peerId, failure)
  }

  /** Forgets the failure of a peer that was reached. */
  clearFailure(peerId: string): void {
    this.#failures.delete(peerId)
  }

  /** Why the last dial of `peerId` failed; undefined when it did not. However long ago: `at` says. */
  lastFailure(peerId: string): DialFailure | undefined {
    return this.#failures.get(peerId)
  }
}
