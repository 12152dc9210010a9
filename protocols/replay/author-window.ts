import type { ReplayReason } from './errors.ts'
import { AUTHOR_WINDOW_BITS } from './limits.ts'
import { SenderTimes, type SenderTimesDump, type TimeJudgement } from './senders.ts'
import type { Snapshot } from './snapshot.ts'
import { ReplayWindow } from './window.ts'
import { authorStateFormat } from './wire.ts'

/** What of a signed message of an author is needed to judge whether it is fresh. */
export interface AuthoredMessage {
  /** Peer id of the signer. */
  readonly author: string
  /** Raised at each start of the author. */
  readonly incarnation: number
  /** Counts within the incarnation. */
  readonly seq: number
  /** The author's clock, ms since the epoch. */
  readonly timeMs: number
}

/** Whether a message is fresh. */
export type AuthorVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: ReplayReason; readonly offsetMs: number }

/** Bounds of one window. */
export interface AuthorLimits {
  readonly authorsMax: number
  /** How long after its date a message may come. */
  readonly pastMs: number
  /** How far ahead of our clock its date may be. */
  readonly futureMs: number
  /** Messages of one author that may overtake each other: bits of the ring, or 0 when only a greater number is fresh. */
  readonly windowBits?: number
}

/** All that a window of 0 bits holds that is not durable. */
export interface AuthorWindowDump {
  readonly authors: readonly {
    readonly author: string
    readonly incarnation: number
    readonly greatest: number
  }[]
  readonly times: SenderTimesDump
}

interface Author {
  incarnation: number
  greatest: number
  /** Null when only a greater number is fresh. */
  window: ReplayWindow | null
}

const REASON_OF: Readonly<Record<Exclude<TimeJudgement, 'ok'>, ReplayReason>> = {
  future: 'message-from-the-future',
  past: 'message-outdated',
  older: 'message-outdated',
  'before-start': 'message-before-start',
  unsaved: 'replay-memory-unsaved',
  full: 'replay-cache-full',
}

/**
 * Tells fresh signed messages from replayed ones, where they are relayed, stored or gossiped, so that no channel vouches for
 * their order: per author the greatest incarnation, a window of sequence numbers in it, and a date. Numbers alone would need a
 * memory without end, dates alone would let a recording in for as long as a message may take.
 *
 * `check` before the signature is verified, `commit` after it.
 */
export class AuthorWindow {
  readonly #limits: Required<AuthorLimits>
  readonly #authors = new Map<string, Author>()
  readonly #times: SenderTimes

  constructor(limits: AuthorLimits) {
    this.#limits = { windowBits: AUTHOR_WINDOW_BITS, ...limits }
    this.#times = new SenderTimes({ ...limits, sendersMax: limits.authorsMax })
  }

  /**
   * A durable window at its start: the greatest number of each author counts on, all up to it are refused. `bytes` of the last
   * run, undefined at the very first start. It accepts nothing before its first snapshot is on the disk.
   * @throws MalformedError for damaged bytes; go on with `afterLoss` then.
   */
  static restore(bytes: Uint8Array | undefined, now: number, limits: AuthorLimits): AuthorWindow {
    const window = new AuthorWindow(limits)
    const saved = bytes === undefined ? null : authorStateFormat.decode(bytes)
    const rows = (saved?.authors ?? []).slice(0, limits.authorsMax)
    const reserveMs = saved === null || saved.clean ? null : saved.reserve
    window.#times.begin({ at: saved?.at ?? 0, rows, reserveMs, unknownLeadMs: reserveMs }, now)
    for (const { sender, incarnation, next } of rows)
      window.#authors.set(sender, window.#authorAt(incarnation, next - 1))
    return window
  }

  /** A durable window whose memory was lost: only what is dated after this start, by any clock it allows, is fresh. */
  static afterLoss(now: number, limits: AuthorLimits): AuthorWindow {
    const window = new AuthorWindow(limits)
    window.#times.begin({ at: 0, rows: [], reserveMs: null, unknownLeadMs: limits.futureMs }, now)
    return window
  }

  /** Authors remembered. */
  get size(): number {
    return this.#authors.size
  }

  /** True when the disk does not have all of it. */
  get isDirty(): boolean {
    return this.#times.isDirty
  }

  /** Whether it is worth verifying the message at `now`, ms: a cheap first look that accepts and remembers nothing. */
  check(message: AuthoredMessage, now: number): AuthorVerdict {
    const code = this.#codeOf(message, now)
    // Only for an authenticated message is it known what has to be written first: that is for `commit` to say.
    return code === 'replay-memory-unsaved' ? { ok: true } : verdictOf(message, code, now)
  }

  /** Accepts an authenticated message, unless a copy was accepted meanwhile: only `ok` lets the owner act on it. */
  commit(message: AuthoredMessage, now: number): AuthorVerdict {
    const code = this.#codeOf(message, now)
    const { author, incarnation, seq, timeMs } = message
    if (code === 'replay-memory-unsaved') this.#times.want(author, timeMs, now)
    if (code !== null) return verdictOf(message, code, now)
    let held = this.#authors.get(author)
    if (held === undefined || held.incarnation !== incarnation) {
      held = this.#authorAt(incarnation, -1)
      this.#authors.set(author, held)
    }
    held.window?.commit(seq)
    held.greatest = Math.max(held.greatest, seq)
    this.#times.accept(author, timeMs, now)
    if (this.#authors.size > this.#limits.authorsMax) this.#forget()
    return { ok: true }
  }

  /** A copy of everything, to step on exactly alike elsewhere. Of a window of 0 bits that is not durable. */
  dump(): AuthorWindowDump {
    const authors = [...this.#authors].map(([author, { incarnation, greatest, window }]) => {
      if (window !== null) throw new Error('a window of bits is not dumped')
      return { author, incarnation, greatest }
    })
    return { authors, times: this.#times.dump() }
  }

  /** Goes on from a dump. */
  static load({ authors, times }: AuthorWindowDump, limits: AuthorLimits): AuthorWindow {
    const window = new AuthorWindow({ ...limits, windowBits: 0 })
    for (const { author, incarnation, greatest } of authors)
      window.#authors.set(author, { incarnation, greatest, window: null })
    window.#times.load(times)
    return window
  }

  /** What to write, at `now`. `clean`: the last one of an orderly stop; nothing is accepted after it. */
  snapshot(now: number, clean: boolean): Snapshot {
    if (clean) this.#times.end()
    const reserve = this.#times.reserveAt(now, clean)
    const { rows, written } = this.#times.snapshot()
    const bytes = authorStateFormat.encode({
      version: 1,
      at: now,
      clean: reserve === null,
      reserve: reserve ?? 0,
      authors: rows.map(({ sender, newest, lead }) => {
        const { incarnation = 0, greatest = -1 } = this.#authors.get(sender) ?? {}
        return { sender, newest, lead, incarnation, next: greatest + 1 }
      }),
    })
    return { bytes, written }
  }

  #codeOf({ author, incarnation, seq, timeMs }: AuthoredMessage, now: number): ReplayReason | null {
    const held = this.#authors.get(author)
    if (held !== undefined && incarnation < held.incarnation) return 'message-outdated'
    if (held !== undefined && incarnation === held.incarnation) {
      if (held.window === null) {
        if (seq === held.greatest) return 'message-replayed'
        if (seq < held.greatest) return 'message-outdated'
      } else {
        const verdict = held.window.check(seq)
        if (verdict === 'duplicate') return 'message-replayed'
        if (verdict !== 'fresh') return 'message-outdated'
      }
    }
    const judgement = this.#times.judge(author, timeMs, now)
    return judgement === 'ok' ? null : REASON_OF[judgement]
  }

  /** Drops the authors whose times were forgotten because every message of theirs is refused by its date. */
  #forget(): void {
    for (const author of this.#authors.keys()) if (!this.#times.knows(author)) this.#authors.delete(author)
  }

  #authorAt(incarnation: number, greatest: number): Author {
    const { windowBits } = this.#limits
    const window = windowBits === 0 ? null : ReplayWindow.seenUpTo(greatest, windowBits)
    return { incarnation, greatest, window }
  }
}

function verdictOf({ timeMs }: AuthoredMessage, code: ReplayReason | null, now: number): AuthorVerdict {
  return code === null ? { ok: true } : { ok: false, code, offsetMs: timeMs - now }
}
