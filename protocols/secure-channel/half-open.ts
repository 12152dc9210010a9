import { ChannelError } from './errors.ts'
import { HALF_OPEN_MAX, HALF_OPEN_PER_ADDRESS_MAX } from './limits.ts'

/** One accepted connection whose first message has not proved a member yet. */
interface HalfOpen {
  readonly address: string
  readonly cut: (error: ChannelError) => void
}

/**
 * Accepted connections of which nothing is proved yet. Where there are too many, the oldest is cut: an honest caller needs one
 * round trip and is through before its turn comes, one that stalls is not.
 */
export class HalfOpenConnections {
  readonly #all = new Set<HalfOpen>()
  readonly #limits: { readonly total: number; readonly perAddress: number }

  constructor(limits = { total: HALF_OPEN_MAX, perAddress: HALF_OPEN_PER_ADDRESS_MAX }) {
    this.#limits = limits
  }

  /** Connections listed now. */
  get size(): number {
    return this.#all.size
  }

  /** Lists a connection from `address`; `cut` ends it. Call the result once it proved itself or is gone. */
  enter(address: string, cut: (error: ChannelError) => void): () => void {
    const entry: HalfOpen = { address, cut }
    this.#all.add(entry)
    // Sets iterate in the order of insertion: the first match is the oldest.
    const same = [...this.#all].filter((other) => other.address === address)
    if (same.length > this.#limits.perAddress) this.#evict(same[0], `from ${address}`)
    else if (this.#all.size > this.#limits.total) this.#evict(this.#all.values().next().value, 'at once')
    return () => void this.#all.delete(entry)
  }

  #evict(entry: HalfOpen | undefined, text: string): void {
    if (entry === undefined) return
    this.#all.delete(entry)
    entry.cut(
      new ChannelError('too-many-handshakes', `Too many unproved connections ${text}: the oldest is cut`),
    )
  }
}
