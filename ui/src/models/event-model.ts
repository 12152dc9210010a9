import { computed, signal } from '@preact/signals'
import type { LogEvent, Severity } from '../../../node/api/schemas.ts'
import type { Api } from '../api.ts'

/** Events kept in the page; older ones are asked for again. */
const EVENTS_MAX = 1000
/** One page of history. */
const PAGE_SIZE = 200
const ORDER: readonly Severity[] = ['info', 'notice', 'warning', 'alert']

/** The event log of the page: a window on the node's log that follows its end unless paused. */
export type EventModel = ReturnType<typeof createEventModel>

export function createEventModel(api: Pick<Api, 'events'>) {
  const events = signal<LogEvent[] | null>(null)
  const waiting = signal<LogEvent[]>([])
  const paused = signal(false)
  const atLeast = signal<Severity>('info')
  const marked = signal<number | null>(null)
  const failure = signal<unknown>(null)

  const merge = (more: readonly LogEvent[]): void => {
    const byId = new Map((events.value ?? []).map((event) => [event.id, event]))
    for (const event of more) byId.set(event.id, event)
    events.value = [...byId.values()].sort((a, b) => a.id - b.id).slice(-EVENTS_MAX)
  }
  const guarded = async (action: () => Promise<void>): Promise<void> => {
    try {
      await action()
      failure.value = null
    } catch (error) {
      failure.value = error
    }
  }
  const load = (): Promise<void> => guarded(async () => merge(await api.events({ limit: PAGE_SIZE })))

  return {
    events,
    paused,
    atLeast,
    marked,
    failure,
    load,
    waitingCount: computed(() => waiting.value.length),
    /** Newest first, as shown. */
    shown: computed(() => {
      const least = ORDER.indexOf(atLeast.value)
      return (events.value ?? []).filter((event) => ORDER.indexOf(event.severity) >= least).reverse()
    }),
    /** True when the log has entries before the first one held. */
    hasOlder: computed(() => (events.value?.[0]?.id ?? 1) > 1),
    /** One event from the live socket. Ids have no gaps, so one that skips means some were missed, and they are fetched. */
    receive(event: LogEvent): void {
      if (paused.value) {
        waiting.value = [...waiting.value, event].slice(-EVENTS_MAX)
        return
      }
      const last = events.value?.at(-1)?.id
      if (last !== undefined && event.id > last + 1) {
        void guarded(async () => merge(await api.events({ since: last, limit: EVENTS_MAX })))
      }
      if (events.value) merge([event])
    },
    pause(): void {
      paused.value = true
    },
    resume(): void {
      paused.value = false
      marked.value = null
      waiting.value = []
      // The window may have been moved into the past; start again at the end.
      events.value = null
      void load()
    },
    older: (): Promise<void> =>
      guarded(async () => {
        const first = events.value?.[0]?.id ?? 1
        merge(await api.events({ since: Math.max(0, first - 1 - PAGE_SIZE), limit: PAGE_SIZE }))
      }),
    /** Shows the log around an id and stops following. */
    jump: (id: number): Promise<void> =>
      guarded(async () => {
        paused.value = true
        events.value = await api.events({ since: Math.max(0, id - 1 - PAGE_SIZE / 2), limit: PAGE_SIZE })
        marked.value = id
        atLeast.value = 'info'
      }),
  }
}
