import { computed, signal } from '@preact/signals'
import type { LogEvent, Severity } from '../../../node/api/schemas.ts'
import type { Api } from '../api.ts'

/** Events kept in the page; what lies before or after them is asked for again. */
const EVENTS_MAX = 1000
/** Events that come while a page is asked for; the rest shows as a gap and is fetched. */
const EARLY_MAX = 100
/** One page of history. */
const PAGE_SIZE = 200
const ORDER: readonly Severity[] = ['info', 'notice', 'warning', 'alert']

/** Which events are shown; empty texts mean all. */
export interface EventFilter {
  readonly severity: Severity
  /** What the kind begins with. */
  readonly kind: string
  /** Peer id. */
  readonly peer: string
}

const EVERYTHING: EventFilter = { severity: 'info', kind: '', peer: '' }

/** The event log of the page: a window on the node's log that follows its end unless paused. */
export type EventModel = ReturnType<typeof createEventModel>

export function createEventModel(api: Pick<Api, 'events'>) {
  /** Ascending, all matching the filter. */
  const events = signal<LogEvent[] | null>(null)
  const waitingCount = signal(0)
  const paused = signal(false)
  const filter = signal<EventFilter>(EVERYTHING)
  const marked = signal<number | null>(null)
  const failure = signal<unknown>(null)
  const hasOlder = signal(false)
  /** Last id looked at, whether it matched or not. */
  let lastId = 0
  /** Came while the first page was under way. */
  let early: LogEvent[] = []

  const ask = (part: { since?: number; before?: number; limit: number }): Promise<LogEvent[]> =>
    api.events({ ...part, ...filter.value })
  const matches = (event: LogEvent): boolean => {
    const { severity, kind, peer } = filter.value
    return (
      ORDER.indexOf(event.severity) >= ORDER.indexOf(severity) &&
      event.kind.startsWith(kind) &&
      (peer === '' || event.peer === peer)
    )
  }
  const merge = (more: readonly LogEvent[], keep: 'newest' | 'oldest'): void => {
    const byId = new Map((events.value ?? []).map((event) => [event.id, event]))
    for (const event of more) byId.set(event.id, event)
    const all = [...byId.values()].sort((a, b) => a.id - b.id)
    if (keep === 'newest' && all.length > EVENTS_MAX) hasOlder.value = true
    events.value = keep === 'newest' ? all.slice(-EVENTS_MAX) : all.slice(0, EVENTS_MAX)
    lastId = Math.max(lastId, more.at(-1)?.id ?? 0)
  }
  /** An answer to a question asked under another filter is dropped. */
  const guarded = async (action: (isCurrent: () => boolean) => Promise<void>): Promise<void> => {
    const asked = filter.value
    const isCurrent = (): boolean => filter.value === asked
    try {
      await action(isCurrent)
      if (isCurrent()) failure.value = null
    } catch (error) {
      if (isCurrent()) failure.value = error
    }
  }
  const load = (): Promise<void> =>
    guarded(async (isCurrent) => {
      const page = await ask({ limit: PAGE_SIZE })
      if (!isCurrent()) return
      hasOlder.value = page.length === PAGE_SIZE && (page[0]?.id ?? 1) > 1
      merge([...page, ...early.filter(matches)], 'newest')
      early = []
    })
  const start = (): void => {
    events.value = null
    early = []
    marked.value = null
    waitingCount.value = 0
    void load()
  }

  return {
    events,
    paused,
    filter,
    marked,
    failure,
    waitingCount,
    hasOlder,
    load,
    /** Newest first, as shown. */
    shown: computed(() => (events.value ?? []).toReversed()),
    isFiltered: computed(() => isNarrow(filter.value)),
    /** Shows only what matches, from the newest back; asked of the node, so that what is rare is found however old it is. */
    choose(part: Partial<EventFilter>): void {
      filter.value = { ...filter.value, ...part }
      start()
    },
    /** Shows everything again. */
    clear(): void {
      if (!isNarrow(filter.value)) return
      filter.value = EVERYTHING
      start()
    },
    /** One event from the live socket. Ids have no gaps, so one that skips means some were missed, and they are fetched. */
    receive(event: LogEvent): void {
      if (paused.value) {
        if (matches(event)) waitingCount.value++
        return
      }
      if (events.value === null) {
        early = [...early, event].slice(-EARLY_MAX)
        return
      }
      const since = lastId
      lastId = Math.max(lastId, event.id)
      if (since > 0 && event.id > since + 1) {
        void guarded(async (isCurrent) => {
          const missed = await ask({ since, limit: EVENTS_MAX })
          if (isCurrent()) merge(missed, 'newest')
        })
      }
      if (matches(event)) merge([event], 'newest')
    },
    pause(): void {
      paused.value = true
    },
    resume(): void {
      paused.value = false
      // The window may have been moved into the past; start again at the end.
      start()
    },
    /** One page further back. A window that is full then loses its newest, so it stops following. */
    older: (): Promise<void> =>
      guarded(async (isCurrent) => {
        const first = events.value?.[0]?.id ?? 1
        const page = await ask({ before: first, limit: PAGE_SIZE })
        if (!isCurrent()) return
        hasOlder.value = page.length === PAGE_SIZE && (page[0]?.id ?? 1) > 1
        if ((events.value?.length ?? 0) + page.length > EVENTS_MAX) paused.value = true
        merge(page, 'oldest')
      }),
    /** Shows the log around an id, unfiltered, and stops following. */
    async jump(id: number): Promise<void> {
      filter.value = { ...EVERYTHING }
      paused.value = true
      await guarded(async (isCurrent) => {
        const page = await ask({ since: Math.max(0, id - 1 - PAGE_SIZE / 2), limit: PAGE_SIZE })
        if (!isCurrent()) return
        events.value = page
        marked.value = id
        hasOlder.value = (page[0]?.id ?? 1) > 1
      })
    },
  }
}

function isNarrow({ severity, kind, peer }: EventFilter): boolean {
  return severity !== 'info' || kind !== '' || peer !== ''
}
