import { MemoryDatastore } from 'datastore-core'
import type { Clock } from '../../protocols/common/ports.ts'

/** Where kad-dht keeps the records others put here. */
const RECORD_PREFIX = '/dht/record/'

/** A key of libp2p's datastore; the class itself belongs to libp2p. */
type Key = Parameters<MemoryDatastore['put']>[0]

/**
 * libp2p's datastore in memory, with an end for the records of the DHT: kad-dht itself deletes them only when somebody reads
 * them after 48 hours, so what nobody asks for would stay for ever.
 */
export class RecordDatastore extends MemoryDatastore {
  readonly #clock: Clock
  readonly #putAt = new Map<string, { readonly key: Key; readonly at: number }>()

  constructor(clock: Clock) {
    super()
    this.#clock = clock
  }

  /** Records of the DHT kept now. */
  get records(): number {
    return this.#putAt.size
  }

  override put(key: Key, value: Uint8Array): ReturnType<MemoryDatastore['put']> {
    if (key.toString().startsWith(RECORD_PREFIX))
      this.#putAt.set(key.toString(), { key, at: this.#clock.now() })
    return super.put(key, value)
  }

  override delete(key: Key): ReturnType<MemoryDatastore['delete']> {
    this.#putAt.delete(key.toString())
    return super.delete(key)
  }

  /** Deletes the records nobody put again within `olderThanMs`. */
  async sweep(olderThanMs: number): Promise<void> {
    const now = this.#clock.now()
    for (const { key, at } of this.#putAt.values()) if (now - at > olderThanMs) await this.delete(key)
  }
}
