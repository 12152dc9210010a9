import type { ReplayReason } from './errors.ts'
import { CLOCK_SKEW_MS, FLOORS_MAX, SEEN_MESSAGES_MAX, SEEN_MESSAGES_PER_PEER_MAX } from './limits.ts'
import { NonceCache } from './nonce-cache.ts'
import { SenderTimes, type TimeJudgement } from './senders.ts'
import type { Snapshot } from './snapshot.ts'
import { guardStateFormat } from './wire.ts'

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
  readonly seenPerPeerMax: number
  readonly floorsMax: number
}

const LIMITS: GuardLimits = {
  seenMax: SEEN_MESSAGES_MAX,
  seenPerPeerMax: SEEN_MESSAGES_PER_PEER_MAX,
  floorsMax: FLOORS_MAX,
}

/** Reasons of what the times say; times outside the window are judged before, since they are answered. */
const REASON_OF: Readonly<Record<Exclude<TimeJudgement, 'ok'>, ReplayReason>> = {
  future: 'clock-skew',
  past: 'clock-skew',
  older: 'handshake-replayed',
  'before-start': 'message-before-start',
  unsaved: 'replay-memory-unsaved',
  full: 'replay-cache-full',
}

/**
 * Memory of the first handshake messages a responder accepted. Its rules catch what each of the others misses: the time in the
 * message is within two minutes of ours; its ephemeral key was not seen while that is true; it is not older than the peer's
 * newest accepted message by more than two minutes (which still holds after our own clock was set back); and after a start it
 * is not dated before the start, by the peer's own clock (`SenderTimes`).
 *
 * Made by `new` it lives as long as the process; made by `restore` or `afterLoss` its owner keeps it on the disk (`StateKeeper`).
 */
export class FirstMessageGuard {
  readonly #seen: NonceCache
  readonly #times: SenderTimes

  constructor(limits: GuardLimits = LIMITS) {
    this.#seen = new NonceCache(limits.seenMax, limits.seenPerPeerMax)
    this.#times = new SenderTimes({
      sendersMax: limits.floorsMax,
      pastMs: CLOCK_SKEW_MS,
      futureMs: CLOCK_SKEW_MS,
    })
  }

  /**
   * A durable guard at its start. `bytes` of the last run, undefined at the very first start. It accepts nothing before its
   * first snapshot is on the disk.
   * @throws MalformedError for damaged bytes; go on with `afterLoss` then.
   */
  static restore(
    bytes: Uint8Array | undefined,
    now: number,
    limits: GuardLimits = LIMITS,
  ): FirstMessageGuard {
    const guard = new FirstMessageGuard(limits)
    if (bytes === undefined)
      guard.#times.begin({ at: 0, rows: [], reserveMs: null, unknownLeadMs: null }, now)
    else {
      const { at, clean, reserve, senders } = guardStateFormat.decode(bytes)
      const reserveMs = clean ? null : reserve
      guard.#times.begin({ at, rows: senders, reserveMs, unknownLeadMs: reserveMs }, now)
    }
    return guard
  }

  /** A durable guard whose memory was lost: for two minutes it accepts nobody. */
  static afterLoss(now: number, limits: GuardLimits = LIMITS): FirstMessageGuard {
    const guard = new FirstMessageGuard(limits)
    guard.#times.begin({ at: 0, rows: [], reserveMs: null, unknownLeadMs: CLOCK_SKEW_MS }, now)
    return guard
  }

  /** Judges `message` at `now` and remembers it when it is accepted or answered. */
  admit(message: FirstMessage, now: number): Verdict {
    const { peer, ephemeral, timeMs } = message
    const offsetMs = timeMs - now
    const silent = (code: ReplayReason): Verdict => ({ ok: false, code, answer: false, offsetMs })
    if (this.#seen.has(ephemeral, now)) return silent('handshake-replayed')
    const full = this.#seen.fullFor(peer, now)
    if (full !== undefined) return silent(full === 'all' ? 'replay-cache-full' : 'too-many-first-messages')
    const judgement = this.#times.judge(peer, timeMs, now)
    if (judgement === 'past' || judgement === 'future') {
      // Remembered as well, so that a recorded message draws at most one refusal within the window.
      this.#seen.remember(ephemeral, peer, now + 2 * CLOCK_SKEW_MS)
      return { ok: false, code: 'clock-skew', answer: true, offsetMs }
    }
    if (judgement === 'unsaved') this.#times.want(peer, timeMs, now)
    if (judgement !== 'ok') return silent(REASON_OF[judgement])
    this.#seen.remember(ephemeral, peer, timeMs + CLOCK_SKEW_MS)
    this.#times.accept(peer, timeMs, now)
    return { ok: true }
  }

  /** Sizes of the two memories, for the node's own counters. */
  get sizes(): { readonly seen: number; readonly floors: number } {
    return { seen: this.#seen.size, floors: this.#times.size }
  }

  /** True when the disk does not have all of it. */
  get isDirty(): boolean {
    return this.#times.isDirty
  }

  /** What to write, at `now`. `clean`: the last one of an orderly stop; nothing is accepted after it. */
  snapshot(now: number, clean: boolean): Snapshot {
    if (clean) this.#times.end()
    const reserve = this.#times.reserveAt(now, clean)
    const { rows, written } = this.#times.snapshot()
    const bytes = guardStateFormat.encode({
      version: 1,
      at: now,
      clean: reserve === null,
      reserve: reserve ?? 0,
      senders: rows,
    })
    return { bytes, written }
  }
}
