/** What the trace tells apart; never renumbered, a hash depends on it. */
export const TRACE = {
  frame: 1,
  tick: 2,
  linkUp: 3,
  linkDown: 4,
  dialFailed: 5,
  start: 6,
  stop: 7,
  stored: 8,
  fault: 9,
} as const
export type TraceKind = (typeof TRACE)[keyof typeof TRACE]

/** One delivered event; `from` is -1 where nobody sent it, `sizeBytes` 0 where nothing was carried. */
export interface TraceEvent {
  readonly number: number
  readonly kind: TraceKind
  readonly from: number
  readonly to: number
  readonly atMs: number
  readonly sizeBytes: number
}

/** A running hash over every delivered event: two runs with equal hashes did the same. Two 32-bit FNV-1a lanes over words. */
export class Trace {
  /** Events so far. */
  count = 0
  #a = 0x811c9dc5
  #b = 0xcbf29ce4
  readonly #listener: ((event: TraceEvent) => void) | undefined

  constructor(listener?: (event: TraceEvent) => void) {
    this.#listener = listener
  }

  fold(kind: TraceKind, from: number, to: number, atMs: number, sizeBytes: number): void {
    const number = this.count++
    this.#word(kind)
    this.#word(from)
    this.#word(to)
    this.#word(atMs)
    this.#word(sizeBytes)
    this.#listener?.({ number, kind, from, to, atMs, sizeBytes })
  }

  /** 16 hex digits. */
  get hash(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('')
  }

  #word(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x01000193)
    this.#b = Math.imul(this.#b ^ (word + this.count), 0x85ebca6b)
    this.#b ^= this.#b >>> 13
  }
}
