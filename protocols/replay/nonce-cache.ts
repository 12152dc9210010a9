import { SWEEP_EVERY_MS } from './limits.ts'

/** One remembered nonce. */
interface Entry {
  readonly owner: string
  readonly untilMs: number
}

/**
 * Bounded memory of nonces that must not come again before some time. A live one is never forgotten to make room; each owner
 * has a bound of its own, so that one alone does not fill the memory of all.
 */
export class NonceCache {
  readonly #nonces = new Map<string, Entry>()
  readonly #counts = new Map<string, number>()
  readonly #max: number
  readonly #perOwnerMax: number
  #sweptAt = Number.NEGATIVE_INFINITY

  /** @param max nonces remembered at once, @param perOwnerMax and those of one owner. */
  constructor(max: number, perOwnerMax: number) {
    this.#max = max
    this.#perOwnerMax = perOwnerMax
  }

  get size(): number {
    return this.#nonces.size
  }

  /** Why nothing more of `owner` can be remembered at `now`, if so; expired ones are forgotten first, at most once a second. */
  fullFor(owner: string, now: number): 'all' | 'owner' | undefined {
    this.#sweep(now)
    if (this.#nonces.size >= this.#max) return 'all'
    return (this.#counts.get(owner) ?? 0) >= this.#perOwnerMax ? 'owner' : undefined
  }

  /** True for a nonce that is remembered at `now`. */
  has(nonce: string, now: number): boolean {
    this.#sweep(now)
    return this.#nonces.has(nonce)
  }

  /** Remembers a new nonce through `untilMs`; there must be room. */
  remember(nonce: string, owner: string, untilMs: number): void {
    this.#nonces.set(nonce, { owner, untilMs })
    this.#counts.set(owner, (this.#counts.get(owner) ?? 0) + 1)
  }

  #sweep(now: number): void {
    if (now >= this.#sweptAt && now - this.#sweptAt < SWEEP_EVERY_MS) return
    this.#sweptAt = now
    for (const [nonce, { owner, untilMs }] of this.#nonces) {
      if (untilMs >= now) continue
      this.#nonces.delete(nonce)
      const left = (this.#counts.get(owner) ?? 1) - 1
      if (left > 0) this.#counts.set(owner, left)
      else this.#counts.delete(owner)
    }
  }
}
