import type { Clock, EventInput, Severity, Store } from '../../protocols/common/ports.ts'
import type { LogEvent } from '../api/schemas.ts'
import { EVENTS_KEPT, EventStore } from './event-store.ts'

/** Events kept in memory, so that most queries and every tail stay off the disk. */
export const EVENTS_IN_MEMORY = 1000
/** Events waiting for the disk; beyond it they are counted instead, and the next one that is taken says how many. */
export const EVENTS_WAITING_MAX = 1000
/** Events written at once: so many share one wait for the disk. */
export const BATCH_MAX = 100
const SEVERITIES: readonly Severity[] = ['info', 'notice', 'warning', 'alert']

/** Which events. With `since` the first ones after that id, else the newest ones (before `before`, where given). */
export interface EventFilter {
  readonly since?: number
  /** Only ids below this. */
  readonly before?: number
  /** At least this severity. */
  readonly severity?: Severity
  /** What the kind begins with: `rotation` or `rotation.failed`. */
  readonly kind?: string
  /** Peer id. */
  readonly peer?: string
  /** At most this many; 1,000 when absent. */
  readonly limit?: number
}

/**
 * The append-only record of what happened on this node, with consecutive ids from 1. An event is shown to nobody before it is on
 * the disk: an id that was seen once never stands for another event, whatever kills the process in between.
 */
export interface EventLog {
  append(event: EventInput): void
  /** Matching events, ascending, from memory and disk. */
  list(filter: EventFilter): Promise<LogEvent[]>
  /** Calls back for each new event, in the order of ids, until the signal aborts. */
  subscribe(listener: (event: LogEvent) => void, signal: AbortSignal): void
  /** Resolves when all that was appended is in the store, or could not be written. */
  flush(): Promise<void>
}

/**
 * Opens the log kept in `store`.
 * @param onWriteError told about a store that cannot be written. Its events are then shown without being on the disk, since
 *   somebody has to see what is wrong; they are tried again with the next event.
 */
export async function openEventLog(
  store: Store,
  clock: Clock,
  onWriteError: (error: unknown) => void,
): Promise<EventLog> {
  const disk = new EventStore(store)
  return new Log(disk, clock, onWriteError, await disk.open(EVENTS_IN_MEMORY))
}

class Log implements EventLog {
  readonly #disk: EventStore
  readonly #clock: Clock
  readonly #onWriteError: (error: unknown) => void
  /** The newest shown, ascending. */
  readonly #recent: LogEvent[]
  readonly #listeners = new Set<(event: LogEvent) => void>()
  /** Not on the disk yet, ascending. */
  readonly #waiting: LogEvent[] = []
  #lastId: number
  #shownId: number
  #lost = 0
  #writing: Promise<void> | null = null

  constructor(disk: EventStore, clock: Clock, onWriteError: (error: unknown) => void, recent: LogEvent[]) {
    this.#disk = disk
    this.#clock = clock
    this.#onWriteError = onWriteError
    this.#recent = recent
    this.#lastId = this.#shownId = recent.at(-1)?.id ?? 0
  }

  append(input: EventInput): void {
    if (this.#waiting.length >= EVENTS_WAITING_MAX) {
      this.#lost += 1
      this.#writing ??= this.#write()
      return
    }
    this.#lastId += 1
    this.#waiting.push({
      id: this.#lastId,
      at: this.#clock.now(),
      kind: input.kind,
      severity: input.severity,
      peer: input.peer ?? null,
      reason: input.reason ?? null,
      text: input.text ?? '',
      fields: { ...input.fields, ...(this.#lost === 0 ? {} : { lost: this.#lost }) },
    })
    this.#lost = 0
    this.#writing ??= this.#write()
  }

  subscribe(listener: (event: LogEvent) => void, signal: AbortSignal): void {
    if (signal.aborted) return
    this.#listeners.add(listener)
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true })
  }

  async flush(): Promise<void> {
    if (this.#waiting.length > 0) this.#writing ??= this.#write()
    await this.#writing
  }

  async list(filter: EventFilter): Promise<LogEvent[]> {
    await this.#writing
    const { since, before = Number.POSITIVE_INFINITY, limit = EVENTS_IN_MEMORY } = filter
    const end = Math.min(this.#shownId, before - 1)
    const found: LogEvent[] = []
    if (since !== undefined) {
      // A reader that says how far it got goes on from there: the newest would leave a gap it cannot see.
      for (let id = Math.max(since + 1, this.#firstKept()); id <= end && found.length < limit;) {
        const { last, events } = await this.#block(id)
        found.push(...events.filter((event) => event.id >= id && event.id <= end && matches(event, filter)))
        id = last + 1
      }
      return found.slice(0, limit)
    }
    for (let id = end; id >= this.#firstKept() && found.length < limit;) {
      const { first, events } = await this.#block(id)
      found.unshift(...events.filter((event) => event.id <= id && matches(event, filter)))
      id = first - 1
    }
    return found.slice(-limit)
  }

  /** Nothing older than this is on the disk. */
  #firstKept(): number {
    return Math.max(1, this.#shownId - EVENTS_KEPT)
  }

  /** Events around `id`: from memory where it has them, which may be more than are on the disk. */
  async #block(id: number): Promise<{ first: number; last: number; events: readonly LogEvent[] }> {
    const oldest = this.#recent[0]?.id ?? Number.POSITIVE_INFINITY
    if (id >= oldest) return { first: oldest, last: this.#shownId, events: this.#recent }
    const { first, last, events } = await this.#disk.block(id)
    return { first, last: Math.min(last, oldest - 1), events: events.filter((event) => event.id < oldest) }
  }

  async #write(): Promise<void> {
    // What is appended in the same turn shares a write.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH_MAX)
      try {
        await this.#disk.append(batch)
        this.#waiting.splice(0, batch.length)
      } catch (error) {
        this.#onWriteError(error)
        this.#show(this.#waiting)
        break
      }
      this.#show(batch)
    }
    this.#writing = null
  }

  #show(events: readonly LogEvent[]): void {
    for (const event of events) {
      if (event.id <= this.#shownId) continue // shown when it could not be written
      this.#shownId = event.id
      this.#recent.push(event)
      if (this.#recent.length > EVENTS_IN_MEMORY) this.#recent.shift()
      for (const listener of this.#listeners) listener(event)
    }
  }
}

function matches(event: LogEvent, { severity = 'info', kind, peer }: EventFilter): boolean {
  return (
    SEVERITIES.indexOf(event.severity) >= SEVERITIES.indexOf(severity) &&
    (kind === undefined || event.kind.startsWith(kind)) &&
    (peer === undefined || event.peer === peer)
  )
}
