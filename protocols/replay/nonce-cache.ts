import { SWEEP_EVERY_MS } from './limits.ts'

/** Bounded memory of nonces that must not come again before some time. A live one is never forgotten to make room. */
export class NonceCache {
  readonly #nonces = new Map<string, number>()
  readonly #max: number
  #sweptAt = Number.NEGATIVE_INFINITY

  /** @param max nonces remembered at once. */
  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#nonces.size
  }

  /** True when nothing more can be remembered at `now`; expired ones are forgotten first, at most once a second. */
  isFull(now: number): boolean {
    this.#sweep(now)
    return this.#nonces.size >= this.#max
  }

  /** True for a nonce that is remembered at `now`. */
  has(nonce: string, now: number): boolean {
    this.#sweep(now)
    return this.#nonces.has(nonce)
  }

  /** Remembers a nonce through `untilMs`. False, and nothing remembered, when the cache is full. */
  remember(nonce: string, untilMs: number): boolean {
    if (this.#nonces.size >= this.#max) return false
    this.#nonces.set(nonce, untilMs)
    return true
  }

  #sweep(now: number): void {
    if (now >= this.#sweptAt && now - this.#sweptAt < SWEEP_EVERY_MS) return
    this.#sweptAt = now
    for (const [nonce, untilMs] of this.#nonces) if (untilMs < now) this.#nonces.delete(nonce)
  }
}
