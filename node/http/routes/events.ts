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
    handler({ query }, { control, signal, acceptsLines }) {
      if (query.follow === '1' || acceptsLines) return new Lines(follow(control, query, signal))
      return control.events(filterOf(query, query.since))
    },
  }),
]

function filterOf(query: EventsQuery, since: number | undefined): Parameters<Control['events']>[0] {
  return {
    ...(since !== undefined && { since }),
    ...(query.severity && { severity: query.severity }),
    ...(query.limit && { limit: query.limit }),
  }
}

/**
 * The log itself is the queue: each round reads what came after the last line sent, then waits for news. A slow reader
 * therefore costs no memory, and nothing is lost between the backlog and the tail.
 */
async function* follow(control: Control, query: EventsQuery, signal: AbortSignal): AsyncGenerator<LogEvent> {
  let news = Promise.withResolvers<void>()
  const wake = (): void => news.resolve()
  control.onEvent(wake, signal)
  signal.addEventListener('abort', wake, { once: true })
  let since = query.since
  while (!signal.aborted) {
    const batch = control.events(filterOf(query, since))
    for (const event of batch) {
      yield event
      since = event.id
    }
    if (batch.length > 0) continue
    await news.promise
    news = Promise.withResolvers<void>()
  }
}
