import type { Clock } from '../../protocols/common/ports.ts'
import { TRIED_PEERS_MAX } from '../../protocols/traversal/limits.ts'

/** Tries of one peer that are remembered: the last two rounds of three relays. */
export const RELAY_TRIES_MAX = 6

/** One try to reach a peer through a relay, for `kith why`. Times in ms of the steady clock. */
export interface RelayTry {
  /** Peer id. */
  readonly relay: string
  readonly startedAt: number
  /** Null while it goes on. */
  readonly endedAt: number | null
  readonly outcome: 'trying' | 'connected' | 'failed'
  /** Why it failed: a code of one of the reason tables. */
  readonly reason: string | null
}

/** Tells how a try ended: null when it connected, otherwise why not; `cancelled`, and it was none, when another one was quicker. */
export type EndRelayTry = (reason: string | null) => void

/** Which relays were tried to reach whom, bounded. */
export class RelayTries {
  readonly #clock: Clock
  /** In the order in which peers were last tried. */
  readonly #peers = new Map<string, RelayTry[]>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What was tried to reach the peer, oldest first. */
  of(peerId: string): readonly RelayTry[] {
    return this.#peers.get(peerId) ?? []
  }

  /** Writes down that a relay is tried; what is returned is called once, at its end. */
  begin(peerId: string, relay: string): EndRelayTry {
    const startedAt = this.#clock.now()
    let entry: RelayTry = { relay, startedAt, endedAt: null, outcome: 'trying', reason: null }
    const tries = this.#peers.get(peerId) ?? []
    tries.push(entry)
    if (tries.length > RELAY_TRIES_MAX) tries.shift()
    this.#peers.delete(peerId)
    this.#peers.set(peerId, tries)
    for (const oldest of this.#peers.keys()) {
      if (this.#peers.size <= TRIED_PEERS_MAX) break
      this.#peers.delete(oldest)
    }
    return (reason) => {
      const at = tries.indexOf(entry)
      if (at < 0) return // forgotten meanwhile
      const endedAt = this.#clock.now()
      entry = { ...entry, endedAt, outcome: reason === null ? 'connected' : 'failed', reason }
      if (reason === 'cancelled') tries.splice(at, 1)
      else tries.splice(at, 1, entry)
    }
  }
}
