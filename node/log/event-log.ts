import type { Clock, EventInput, Severity, Store } from '../../protocols/common/ports.ts'
import type { LogEvent } from '../api/schemas.ts'

/** Events kept on disk: weeks of a quiet mesh, about 3 MB. Older ones are deleted in order, so ids stay without gaps. */
export const EVENTS_KEPT = 10_000
/** Events kept in memory for queries and the dashboard. */
export const EVENTS_IN_MEMORY = 1000
const PREFIX = 'event/'
const SEVERITIES: readonly Severity[] = ['info', 'notice', 'warning', 'alert']

/** The append-only record of what happened on this node, with consecutive ids from 1. */
export interface EventLog {
  append(event: EventInput): LogEvent
  /** Newest last: with `since` the first ones after that id, without it the newest ones. */
  list(filter: { since?: number; severity?: Severity; limit?: number }): LogEvent[]
  /** Calls back for each new event until the signal aborts. */
  subscribe(listener: (event: LogEvent) => void, signal: AbortSignal): void
  /** Resolves when all that was appended is in the store. */
  flush(): Promise<void>
}

/**
 * Opens the log kept in `store`.
 * @param onWriteError told about a store that cannot be written; the event then still is in memory.
 */
export async function openEventLog(
  store: Store,
  clock: Clock,
  onWriteError: (error: unknown) => void,
): Promise<EventLog> {
  const recent = await readRecent(store)
  let lastId = recent.at(-1)?.id ?? 0
  const listeners = new Set<(event: LogEvent) => void>()
  let writes = Promise.resolve()

  const persist = async (event: LogEvent): Promise<void> => {
    await store.put(keyOf(event.id), new TextEncoder().encode(JSON.stringify(event)))
    if (event.id > EVENTS_KEPT) await store.delete(keyOf(event.id - EVENTS_KEPT))
  }
  return {
    append(input) {
      lastId += 1
      const event: LogEvent = {
        id: lastId,
        at: clock.now(),
        kind: input.kind,
        severity: input.severity,
        peer: input.peer ?? null,
        reason: input.reason ?? null,
        text: input.text ?? '',
        fields: { ...input.fields },
      }
      recent.push(event)
      if (recent.length > EVENTS_IN_MEMORY) recent.shift()
      writes = writes.then(() => persist(event)).catch(onWriteError)
      for (const listener of listeners) listener(event)
      return event
    },
    list({ since, severity = 'info', limit = EVENTS_IN_MEMORY }) {
      const least = SEVERITIES.indexOf(severity)
      const matching = recent.filter(
        (event) => event.id > (since ?? 0) && SEVERITIES.indexOf(event.severity) >= least,
      )
      // A reader that says how far it got goes on from there: the newest would leave a gap it cannot see.
      return since === undefined ? matching.slice(-limit) : matching.slice(0, limit)
    },
    subscribe(listener, signal) {
      if (signal.aborted) return
      listeners.add(listener)
      signal.addEventListener('abort', () => listeners.delete(listener), { once: true })
    },
    flush: () => writes,
  }
}

/** Zero-padded, so that key order is id order up to 2^53. */
function keyOf(id: number): string {
  return PREFIX + String(id).padStart(16, '0')
}

async function readRecent(store: Store): Promise<LogEvent[]> {
  const recent: LogEvent[] = []
  for await (const [, bytes] of store.entries(PREFIX)) {
    recent.push(JSON.parse(new TextDecoder().decode(bytes)) as LogEvent)
    if (recent.length > EVENTS_IN_MEMORY) recent.shift()
  }
  return recent
}
