import type { Store } from '../../protocols/common/ports.ts'
import { EventSchema, type LogEvent } from '../api/schemas.ts'

/** Events kept on disk: weeks of a quiet mesh, about 3 MB. Older ones are deleted in order, so ids stay without gaps. */
export const EVENTS_KEPT = 10_000
const PREFIX = 'event/'
const DIGITS = 16
/** Ids read at once: those whose keys differ in the last two digits. */
const BLOCK_IDS = 100
const BLOCK_DIGITS = 2

/** The events on the disk, one key each, in the order of their ids. */
export class EventStore {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** The newest `count` events. Deletes what a crash left beyond the limit. */
  async open(count: number): Promise<LogEvent[]> {
    const newest: [key: string, bytes: Uint8Array][] = []
    const keys: string[] = []
    for await (const pair of this.#store.entries(PREFIX)) {
      keys.push(pair[0])
      newest.push(pair)
      if (newest.length > count) newest.shift()
    }
    for (const key of keys.slice(0, -EVENTS_KEPT)) await this.#store.delete(key)
    return newest.map(([key, bytes]) => decode(key, bytes))
  }

  /**
   * Writes events of consecutive ids, in their order, and returns when they are on the disk. A crash on the way leaves the first
   * ones there, never a later one without the earlier.
   */
  async append(events: readonly LogEvent[]): Promise<void> {
    for (const [i, event] of events.entries()) {
      const bytes = new TextEncoder().encode(JSON.stringify(event))
      await this.#store.put(keyOf(event.id), bytes, { sync: i === events.length - 1 })
    }
    for (const { id } of events) if (id > EVENTS_KEPT) await this.#store.delete(keyOf(id - EVENTS_KEPT))
  }

  /** Events of the block that `id` is in, ascending, and the ids the block spans. */
  async block(id: number): Promise<{ first: number; last: number; events: LogEvent[] }> {
    const first = Math.floor(id / BLOCK_IDS) * BLOCK_IDS
    const events: LogEvent[] = []
    for await (const [key, bytes] of this.#store.entries(keyOf(first).slice(0, -BLOCK_DIGITS)))
      events.push(decode(key, bytes))
    return { first, last: first + BLOCK_IDS - 1, events }
  }
}

/** Zero-padded, so that key order is id order up to 2^53. */
function keyOf(id: number): string {
  return PREFIX + String(id).padStart(DIGITS, '0')
}

/** The key says the id. A row that cannot be read keeps it, and says so. */
function decode(key: string, bytes: Uint8Array): LogEvent {
  const id = Number(key.slice(PREFIX.length))
  try {
    return { ...EventSchema.parse(JSON.parse(new TextDecoder().decode(bytes))), id }
  } catch {
    return {
      id,
      at: 0,
      kind: 'log.damaged',
      severity: 'warning',
      peer: null,
      reason: null,
      text: 'This entry of the event log cannot be read any more.',
      fields: {},
    }
  }
}
