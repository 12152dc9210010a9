import { LEAD_NOISE_MS, LEAD_RESERVE_MS, LEAD_STEP_MS, SET_BACK_MS, SWEEP_EVERY_MS } from './limits.ts'
import type { SavedSender } from './wire.ts'

/** How long a message of these senders can be accepted, and how many senders there may be. */
export interface SenderLimits {
  readonly sendersMax: number
  /** How far behind our clock a message may be dated. */
  readonly pastMs: number
  /** How far ahead of it. */
  readonly futureMs: number
}

/** What the times alone say about a message. */
export type TimeJudgement = 'ok' | 'future' | 'past' | 'older' | 'before-start' | 'unsaved' | 'full'

/** What a start begins from. Times in ms. */
export interface SavedSenders {
  /** Our clock when the rows were taken. */
  readonly at: number
  readonly rows: readonly SavedSender[]
  /** By how much a sender can have been accepted ahead of its row since; null when none was (an orderly stop). */
  readonly reserveMs: number | null
  /** The same for senders without row; null when none was accepted. */
  readonly unknownLeadMs: number | null
}

/** All that a table that is not durable holds. Times in ms; null where nothing came yet. */
export interface SenderTimesDump {
  readonly senders: readonly {
    readonly sender: string
    readonly newest: number
    readonly lead: number
    /** Null when nothing of it is held back. */
    readonly heldUntil: number | null
  }[]
  readonly latestNow: number | null
  readonly sweptAt: number | null
}

interface Sender {
  newest: number
  /** Greatest (sender's time − our time) among messages that could still come again, in steps. */
  lead: number
  /** Greatest lead the disk allows for; undefined while it does not know the sender. */
  allowed: number | undefined
  /** Messages dated up to this may be recordings from before the start. */
  heldUntil: number
}

/**
 * The times of senders: which are within the window, and which could have been accepted before a start, a crash or a clock that
 * was set back, when the memory of single messages is gone.
 *
 * The rule: whatever was accepted before our time T was dated at most T + lead by its sender's clock. So after a start at T only
 * messages dated later are taken. That holds exactly when the leads on the disk are right, so in a durable table a sender with
 * a greater lead than the disk allows for is not accepted before it does. Clocks drift slowly: leads hardly ever change. Nor is
 * anything taken that is dated up to the sender's newest known message: that holds when our clock was ahead when it came.
 */
export class SenderTimes {
  readonly #limits: SenderLimits
  readonly #senders = new Map<string, Sender>()
  /** What holds for senders without row. */
  #unknownHeldUntil = Number.NEGATIVE_INFINITY
  #unknownAllowed = Number.POSITIVE_INFINITY
  #latestNow = Number.NEGATIVE_INFINITY
  #sweptAt = Number.NEGATIVE_INFINITY
  /** False in a durable table before its first write and after its last. */
  #isOpen = true
  /** While messages of a run that did not end in order could still come: what they may have been ahead by, and until when. */
  #doubt = { ms: 0, until: Number.NEGATIVE_INFINITY }
  #version = 0
  #savedVersion = -1

  constructor(limits: SenderLimits) {
    this.#limits = limits
  }

  /** Makes an empty table durable: nothing is accepted before the first snapshot is on the disk. */
  begin({ at, rows, reserveMs, unknownLeadMs }: SavedSenders, now: number): void {
    // Should our own clock have gone back while we were down: we surely had reached the time of the snapshot.
    const startedAt = Math.max(at, now)
    this.#isOpen = false
    this.#unknownAllowed = LEAD_RESERVE_MS
    if (unknownLeadMs !== null) {
      const { pastMs, futureMs } = this.#limits
      this.#unknownHeldUntil = startedAt + unknownLeadMs
      this.#doubt = { ms: unknownLeadMs, until: startedAt + pastMs + futureMs }
    }
    for (const { sender, newest, lead } of rows) {
      if (this.#senders.size >= this.#limits.sendersMax) break
      this.#senders.set(sender, {
        newest,
        lead,
        allowed: undefined,
        heldUntil: Math.max(newest, startedAt + (reserveMs === null ? lead : level(lead) + reserveMs)),
      })
    }
  }

  /** Accepts nothing from here on: the last snapshot is taken. */
  end(): void {
    this.#isOpen = false
  }

  /**
   * The `reserveMs` of a snapshot taken at `now`. An orderly stop soon after a crash does not make up for it: what the run
   * before accepted could still come.
   */
  reserveAt(now: number, isEnd: boolean): number | null {
    const isDoubtful = now < this.#doubt.until
    if (isEnd && !isDoubtful) return null
    return Math.max(LEAD_RESERVE_MS, isDoubtful ? this.#doubt.ms : 0)
  }

  get size(): number {
    return this.#senders.size
  }

  /** True when the disk does not have all of it. */
  get isDirty(): boolean {
    return this.#version !== this.#savedVersion
  }

  /** True for a sender with a row. */
  knows(sender: string): boolean {
    return this.#senders.has(sender)
  }

  /** Judges a time. Remembers nothing of the sender, so it may be asked before the message is authenticated. */
  judge(sender: string, timeMs: number, now: number): TimeJudgement {
    this.#noticeSetBack(now)
    const { pastMs, futureMs, sendersMax } = this.#limits
    if (timeMs > now + futureMs) return 'future'
    if (timeMs < now - pastMs) return 'past'
    const row = this.#senders.get(sender)
    if (row !== undefined && timeMs < row.newest - pastMs) return 'older'
    if (timeMs <= (row?.heldUntil ?? this.#unknownHeldUntil)) return 'before-start'
    if (row === undefined && this.#senders.size >= sendersMax && !this.#makeRoom(now)) return 'full'
    if (!this.#isOpen) return 'unsaved'
    return inSteps(timeMs - now) <= (row?.allowed ?? this.#unknownAllowed) ? 'ok' : 'unsaved'
  }

  /** After `unsaved`, for an authenticated message: the lead that has to be on the disk before such a one is accepted. */
  want(sender: string, timeMs: number, now: number): void {
    this.#raise(this.#senders.get(sender) ?? this.#add(sender), inSteps(timeMs - now))
  }

  /** Notes an accepted message; `judge` said `ok` in the same turn. */
  accept(sender: string, timeMs: number, now: number): void {
    const row = this.#senders.get(sender) ?? this.#add(sender)
    const { pastMs, futureMs } = this.#limits
    const lead = inSteps(timeMs - now)
    // A clock was put right, and whatever it dated before is too old to come again.
    if (row.newest + pastMs + futureMs < now && lead < row.lead - LEAD_NOISE_MS) row.lead = lead
    row.newest = Math.max(row.newest, timeMs)
    this.#raise(row, lead)
  }

  /** A copy of everything, for a table that is not durable (a durable one has `snapshot`). */
  dump(): SenderTimesDump {
    if (this.#savedVersion >= 0 || !this.#isOpen) throw new Error('a durable table is not dumped')
    const senders = [...this.#senders].map(([sender, { newest, lead, heldUntil }]) => ({
      sender,
      newest,
      lead,
      heldUntil: finite(heldUntil),
    }))
    return { senders, latestNow: finite(this.#latestNow), sweptAt: finite(this.#sweptAt) }
  }

  /** Goes on from a dump. */
  load({ senders, latestNow, sweptAt }: SenderTimesDump): void {
    for (const { sender, newest, lead, heldUntil } of senders)
      this.#senders.set(sender, {
        newest,
        lead,
        allowed: undefined,
        heldUntil: heldUntil ?? Number.NEGATIVE_INFINITY,
      })
    this.#latestNow = latestNow ?? Number.NEGATIVE_INFINITY
    this.#sweptAt = sweptAt ?? Number.NEGATIVE_INFINITY
  }

  /** Rows for the disk, and what to call when they are on it. */
  snapshot(): { readonly rows: SavedSender[]; readonly written: () => void } {
    const version = this.#version
    const rows = [...this.#senders].map(([sender, { newest, lead }]) => ({ sender, newest, lead }))
    const written = (): void => {
      if (this.#savedVersion < 0) this.#isOpen = true
      this.#savedVersion = version
      for (const { sender, lead } of rows) {
        const row = this.#senders.get(sender)
        if (row !== undefined) row.allowed = level(lead) + LEAD_RESERVE_MS
      }
    }
    return { rows, written }
  }

  #raise(row: Sender, lead: number): void {
    row.lead = Math.max(row.lead, lead)
    this.#version++
  }

  #add(sender: string): Sender {
    const row = {
      newest: 0,
      lead: Number.MIN_SAFE_INTEGER,
      allowed: undefined,
      heldUntil: this.#unknownHeldUntil,
    }
    this.#senders.set(sender, row)
    return row
  }

  /** A clock that was set back brings forgotten messages into the window again: the same rule as after a start. */
  #noticeSetBack(now: number): void {
    if (now < this.#latestNow - SET_BACK_MS) {
      for (const row of this.#senders.values()) row.heldUntil = Math.max(row.newest, now + row.lead)
      this.#latestNow = now
    }
    this.#latestNow = Math.max(this.#latestNow, now)
  }

  /** Forgets senders whose every message is refused by its time alone; looks for them at most once a second. */
  #makeRoom(now: number): boolean {
    if (now >= this.#sweptAt && now - this.#sweptAt < SWEEP_EVERY_MS) return false
    this.#sweptAt = now
    const { pastMs, futureMs, sendersMax } = this.#limits
    for (const [sender, { newest }] of this.#senders)
      if (newest + pastMs + futureMs < now) this.#senders.delete(sender)
    return this.#senders.size < sendersMax
  }
}

/** A lead in steps, rounded up. */
function inSteps(leadMs: number): number {
  return Math.ceil(leadMs / LEAD_STEP_MS) * LEAD_STEP_MS
}

/** A sender a little behind may be level with us, and its message was late. */
function level(lead: number): number {
  return lead < 0 && lead > -LEAD_NOISE_MS ? 0 : lead
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
