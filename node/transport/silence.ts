import type { Clock } from '../../protocols/common/ports.ts'
import type { ListedMuxer, MuxRegistry } from '../../protocols/mux/registry.ts'

/** A connection that brought nothing for so long is asked whether it lives; neighbours' probes come every second. */
const QUIET_MS = 4000
/** And is taken for dead, for new streams, when it does not answer this within: two round trips of a bad path. */
const SILENT_MS = 2500
/** One that stays silent for so long while another kind of way works is given up, so that its streams end. */
const GIVEN_UP_MS = 15_000

/** One connection: what it had brought when it was last looked at. Times in ms. */
interface Watched {
  bytes: number
  heardAt: number
  askedAt: number | null
}

/** What watching needs, and whom it tells. */
export interface SilenceInit {
  readonly muxes: MuxRegistry
  /** Asks the other side over this very connection: whatever comes back counts. */
  readonly ask: (listed: ListedMuxer) => void
  /** New channels pass this connection over from now on. */
  readonly silent: (listed: ListedMuxer) => void
  /** It brings something again. */
  readonly heard: (listed: ListedMuxer) => void
  /** Never goes back. */
  readonly clock: Clock
}

/**
 * Finds connections that are dead without a word: a router that forgot them, a machine that went to sleep, a relay whose own
 * connection to the target is dead. Without another way they are left alone: it may be a partition, which TCP outlives.
 */
export class Silence {
  readonly #init: SilenceInit
  readonly #watched = new Map<string, Watched>()

  constructor(init: SilenceInit) {
    this.#init = init
  }

  /** A connection was made. Older ones of the peer may be what it replaces: they are asked at once. */
  added(listed: ListedMuxer): void {
    const now = this.#init.clock.now()
    this.#watched.set(listed.id, { bytes: 0, heardAt: now, askedAt: null })
    for (const older of this.#init.muxes.list(listed.peerId)) {
      const watched = this.#watched.get(older.id)
      if (older.id === listed.id || watched === undefined || watched.askedAt !== null) continue
      // What has come since the last look must not count as the answer.
      watched.bytes = older.muxer.receivedBytes
      watched.askedAt = now
      this.#init.ask(older)
    }
  }

  /** A connection ended. */
  removed({ id }: ListedMuxer): void {
    this.#watched.delete(id)
  }

  /** Looks at every connection; called each second. */
  look(): void {
    const now = this.#init.clock.now()
    for (const listed of this.#init.muxes.list()) {
      const watched = this.#watched.get(listed.id)
      if (watched !== undefined) this.#lookAt(listed, watched, now)
    }
  }

  #lookAt(listed: ListedMuxer, watched: Watched, now: number): void {
    const { receivedBytes } = listed.muxer
    if (receivedBytes !== watched.bytes) {
      Object.assign(watched, { bytes: receivedBytes, heardAt: now, askedAt: null })
      if (!listed.isSilent) return
      listed.isSilent = false
      return this.#init.heard(listed)
    }
    if (watched.askedAt === null) {
      if (now - watched.heardAt < QUIET_MS) return
      watched.askedAt = now
      return this.#init.ask(listed)
    }
    if (!listed.isSilent) {
      if (now - watched.askedAt < SILENT_MS) return
      listed.isSilent = true
      this.#init.silent(listed)
    }
    const isOver = this.#isReplaced(listed) || now - watched.askedAt >= GIVEN_UP_MS
    if (isOver && this.#init.muxes.has(listed.peerId))
      listed.cut(new Error('nothing came over it for too long, and another way works'))
  }

  /** A newer connection of the same kind works. */
  #isReplaced({ peerId, id, via }: ListedMuxer): boolean {
    const others = this.#init.muxes.list(peerId).filter((other) => other.id !== id && !other.isSilent)
    return others.some((other) => Number(other.id) > Number(id) && (other.via === null) === (via === null))
  }
}
