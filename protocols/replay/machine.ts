import type { ReplayReason } from './errors.ts'
import { CLOCK_SKEW_MS, FLOORS_MAX, SEEN_MESSAGES_MAX, SWEEP_EVERY_MS } from './limits.ts'

/** What of a first handshake message is needed to judge whether it is fresh. The message must have been authenticated. */
export interface FirstMessage {
  /** Peer id of the sender. */
  readonly peer: string
  /** Its ephemeral public key as text; fresh in each honest message. */
  readonly ephemeral: string
  /** The sender's clock, ms since the epoch. */
  readonly timeMs: number
}

/** `answer` tells whether a refusal may be answered at all: a replay never draws a byte. */
export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: ReplayReason; readonly answer: boolean; readonly offsetMs: number }

/** Bounds of one guard; the defaults are the limits of this folder. */
export interface GuardLimits {
  readonly seenMax: number
  readonly floorsMax: number
}

/**
 * Memory of the first handshake messages a responder accepted. Three rules, each of which catches what the others miss: the
 * time in the message is within two minutes of ours; its ephemeral key was not seen while that is true; it is not older than
 * the peer's newest accepted message by more than two minutes (which still holds after our own clock was set back).
 */
export class FirstMessageGuard {
  readonly #limits: GuardLimits
  /** Ephemeral key → ms at which it may be forgotten. */
  readonly #seen = new Map<string, number>()
  /** Peer id → newest accepted time. */
  readonly #newest = new Map<string, number>()
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(limits: GuardLimits = { seenMax: SEEN_MESSAGES_MAX, floorsMax: FLOORS_MAX }) {
    this.#limits = limits
  }

  /** Judges `message` at `now` and remembers it when it is accepted or answered. */
  admit(message: FirstMessage, now: number): Verdict {
    this.#sweep(now)
    const offsetMs = message.timeMs - now
    const silent = (code: ReplayReason): Verdict => ({ ok: false, code, answer: false, offsetMs })
    if (this.#seen.has(message.ephemeral)) return silent('handshake-replayed')
    if (this.#seen.size >= this.#limits.seenMax) return silent('replay-cache-full')
    if (Math.abs(offsetMs) > CLOCK_SKEW_MS) {
      // Remembered as well, so that a recorded message draws at most one refusal within the window.
      this.#seen.set(message.ephemeral, now + 2 * CLOCK_SKEW_MS)
      return { ok: false, code: 'clock-skew', answer: true, offsetMs }
    }
    const newest = this.#newest.get(message.peer)
    if (newest !== undefined && message.timeMs < newest - CLOCK_SKEW_MS) return silent('handshake-replayed')
    if (newest === undefined && this.#newest.size >= this.#limits.floorsMax)
      return silent('replay-cache-full')
    this.#seen.set(message.ephemeral, message.timeMs + CLOCK_SKEW_MS)
    this.#newest.set(message.peer, Math.max(newest ?? 0, message.timeMs))
    return { ok: true }
  }

  /** Sizes of the two memories, for the node's own counters. */
  get sizes(): { readonly seen: number; readonly floors: number } {
    return { seen: this.#seen.size, floors: this.#newest.size }
  }

  /** Forgets what the time window alone refuses by now; a live entry is never forgotten. */
  #sweep(now: number): void {
    if (now >= this.#sweptAt && now - this.#sweptAt < SWEEP_EVERY_MS) return
    this.#sweptAt = now
    for (const [ephemeral, untilMs] of this.#seen) if (untilMs < now) this.#seen.delete(ephemeral)
    if (this.#newest.size < this.#limits.floorsMax) return
    for (const [peer, newest] of this.#newest) if (newest + 2 * CLOCK_SKEW_MS < now) this.#newest.delete(peer)
  }
}
