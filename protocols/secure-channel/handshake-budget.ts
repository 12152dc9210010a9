import type { Clock } from '../common/ports.ts'
import { ChannelError } from './errors.ts'
import {
  HANDSHAKE_BURST,
  HANDSHAKE_BURST_PER_NETWORK,
  HANDSHAKES_PER_SECOND,
  HANDSHAKES_PER_SECOND_PER_NETWORK,
  HANDSHAKE_NETWORKS_MAX,
} from './limits.ts'

/** Tokens that come back with time. */
class TokenBucket {
  readonly #perSecond: number
  readonly #max: number
  #tokens: number
  #at: number

  constructor(perSecond: number, max: number, now: number) {
    this.#perSecond = perSecond
    this.#max = max
    this.#tokens = max
    this.#at = now
  }

  /** Whole tokens at `now`. */
  level(now: number): number {
    if (now > this.#at)
      this.#tokens = Math.min(this.#max, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond)
    this.#at = now
    return Math.floor(this.#tokens)
  }

  isFull(now: number): boolean {
    return this.level(now) >= this.#max
  }

  add(count: 1 | -1): void {
    this.#tokens = Math.min(this.#max, this.#tokens + count)
  }
}

/**
 * What strangers may make us compute. A first message costs two key agreements and the check of a point (3 ms together) before
 * anything in it is proved; those that end in a session are not counted, so honest callers never meet the bound, unless they
 * share a network with an attacker.
 */
export class HandshakeBudget {
  readonly #clock: Clock
  readonly #all: TokenBucket
  readonly #networks = new Map<string, TokenBucket>()

  /** @param clock one that no correction sets back. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.#all = new TokenBucket(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST, clock.now())
  }

  /** Networks remembered now. */
  get networks(): number {
    return this.#networks.size
  }

  /**
   * Takes one handshake off the budget of `network` and of all. Call the result when it proved a member: it is given back.
   * @throws ChannelError `too-many-handshakes`; nothing of the message may be looked at then.
   */
  take(network: string): () => void {
    const now = this.#clock.now()
    const own = this.#bucket(network, now)
    if (own.level(now) < 1) throw tooMany(`from ${network}`)
    if (this.#all.level(now) < 1) throw tooMany('at once')
    own.add(-1)
    this.#all.add(-1)
    return () => {
      own.add(1)
      this.#all.add(1)
    }
  }

  #bucket(network: string, now: number): TokenBucket {
    const known = this.#networks.get(network)
    if (known !== undefined) return known
    if (this.#networks.size >= HANDSHAKE_NETWORKS_MAX) this.#forget(now)
    const bucket = new TokenBucket(HANDSHAKES_PER_SECOND_PER_NETWORK, HANDSHAKE_BURST_PER_NETWORK, now)
    this.#networks.set(network, bucket)
    return bucket
  }

  /** Forgets whoever has all its tokens, and otherwise whoever came first: the budget of all holds anyway. */
  #forget(now: number): void {
    for (const [network, bucket] of this.#networks) if (bucket.isFull(now)) this.#networks.delete(network)
    if (this.#networks.size < HANDSHAKE_NETWORKS_MAX) return
    const oldest = this.#networks.keys().next()
    if (oldest.done !== true) this.#networks.delete(oldest.value)
  }
}

function tooMany(text: string): ChannelError {
  return new ChannelError('too-many-handshakes', `Too many first messages that prove nothing ${text}`)
}
