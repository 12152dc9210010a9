import { once } from 'node:events'
import { z } from 'zod'
import { ForwardInputSchema, ForwardSchema, PublishInputSchema, ServiceSchema } from '../../api/schemas.ts'
import type { Forward } from '../../api/schemas.ts'
import { defineRoute, Lines } from '../route.ts'

/** Publishing, consuming and forwarding. */
export const serviceRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/services',
    permission: 'services.read',
    answer: z.array(ServiceSchema),
    handler: (_input, { control }) => control.services(),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/services',
    permission: 'services.write',
    body: PublishInputSchema,
    answer: ServiceSchema,
    handler: ({ body }, { control }) => control.publish(body),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/api/v1/services/:name',
    permission: 'services.write',
    params: z.strictObject({ name: z.string().min(1).max(253) }),
    answer: z.strictObject({}),
    async handler({ params }, { control }) {
      await control.unpublish(params.name)
      return {}
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/forwards',
    permission: 'forwards.write',
    body: ForwardInputSchema,
    answer: ForwardSchema,
    // A listener lives as long as the command that asked for it; a browser tab has no use for one.
    entrances: ['unix'],
    async handler({ body }, { control, signal }) {
      return new Lines(held(await control.forward(body, signal), signal))
    },
  }),
]

/** One line, then silence until the client goes away: that is when `control` closes the listener. */
async function* held(forward: Forward, signal: AbortSignal): AsyncGenerator<Forward> {
  yield forward
  if (!signal.aborted) await once(signal, 'abort')
}
