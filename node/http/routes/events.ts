import { z } from 'zod'
import type { Control } from '../../api/control.ts'
import { EventSchema, EventsQuerySchema } from '../../api/schemas.ts'
import type { EventsQuery, LogEvent } from '../../api/schemas.ts'
import { defineRoute, Lines } from '../route.ts'

/** The event log: a page of it, or its tail for as long as the client listens. */
export const eventRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/events',
    permission: 'events.read',
    query: EventsQuerySchema,
    answer: z.union([z.array(EventSchema), EventSchema]),
    async handler({ query }, { control, signal, acceptsLines }) {
      if (query.follow !== '1' && !acceptsLines) return control.events(filterOf(query, query.since))
      // Asked once before any byte is sent, so that an unknown peer is a plain error.
      await control.events({ ...filterOf(query, query.since), limit: 1 })
      return new Lines(follow(control, query, signal))
    },
  }),
]

function filterOf(query: EventsQuery, since: number | undefined): Parameters<Control['events']>[0] {
  const { before, severity, kind, peer, limit } = query
  return {
    ...(since !== undefined && { since }),
    ...(before !== undefined && { before }),
    ...(severity && { severity }),
    ...(kind && { kind }),
    ...(peer && { peer }),
    ...(limit && { limit }),
  }
}

/**
 * The log itself is the queue: each round reads what came after the last event looked at, then waits for news. A slow reader
 * therefore costs no memory, and nothing is lost between the backlog and the tail.
 */
async function* follow(control: Control, query: EventsQuery, signal: AbortSignal): AsyncGenerator<LogEvent> {
  let news = Promise.withResolvers<void>()
  let newest = 0
  const wake = (event?: LogEvent): void => {
    newest = event?.id ?? newest
    news.resolve()
  }
  control.onEvent(wake, signal)
  signal.addEventListener('abort', () => wake(), { once: true })
  let since = query.since
  while (!signal.aborted) {
    const heard = newest
    const batch = await control.events(filterOf(query, since))
    for (const event of batch) {
      yield event
      since = event.id
    }
    if (batch.length > 0) continue
    // None of those up to here match: they need not be looked at again.
    if (heard > 0) since = Math.max(since ?? 0, heard)
    await news.promise
    news = Promise.withResolvers<void>()
  }
}
