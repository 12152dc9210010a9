import type { Clock } from '../../protocols/common/ports.ts'
import type { ListedMuxer } from '../../protocols/mux/registry.ts'

/** A circuit that ends sooner, or silently, did not last. A minute: longer than a direct way needs to take over. */
const SHORT_MS = 60_000
/** Other relays are better for so long; doubles with each circuit in a row that did not last, up to the next. */
const DOUBT_FIRST_MS = 30_000
const DOUBT_MAX_MS = 1_800_000
/** Pairs of peer and relay that are remembered; the oldest makes room. */
const REMEMBERED_MAX = 1024

interface Doubt {
  readonly count: number
  readonly until: number
}

/**
 * How long circuits lasted, by peer and relay. A relay that lets a handshake pass and then drops, by fault or on purpose, would be
 * the nearest one again and again. It is only passed over while another one is there, so that a peer that went away does no harm.
 */
export class CircuitRecord {
  readonly #clock: Clock
  /** When relayed connections that stand were made, by id. */
  readonly #madeAt = new Map<string, number>()
  readonly #doubts = new Map<string, Doubt>()

  /** @param clock one that never goes back. */
  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A connection was made. */
  made({ id, via }: ListedMuxer): void {
    if (via !== null) this.#madeAt.set(id, this.#clock.now())
  }

  /** A connection ended; `isReplaced`: another one to the peer works, so that this one may have been given up. */
  ended({ id, peerId, via, isSilent }: ListedMuxer, isReplaced: boolean): void {
    const madeAt = this.#madeAt.get(id)
    if (via === null || madeAt === undefined) return
    this.#madeAt.delete(id)
    const key = `${peerId} ${via}`
    const now = this.#clock.now()
    const isShort = now - madeAt < SHORT_MS
    if (!isSilent && isReplaced) return
    if (!isSilent && !isShort) return void this.#doubts.delete(key)
    const count = (this.#doubts.get(key)?.count ?? 0) + 1
    const forMs = Math.min(DOUBT_MAX_MS, DOUBT_FIRST_MS * 2 ** (count - 1))
    this.#doubts.delete(key)
    const oldest = this.#doubts.keys().next()
    if (this.#doubts.size >= REMEMBERED_MAX && oldest.done !== true) this.#doubts.delete(oldest.value)
    this.#doubts.set(key, { count, until: now + forMs })
  }

  /** Whether circuits to the peer through this relay did not last lately. */
  isDoubtful(peerId: string, relay: string): boolean {
    return (this.#doubts.get(`${peerId} ${relay}`)?.until ?? Number.NEGATIVE_INFINITY) > this.#clock.now()
  }
}
