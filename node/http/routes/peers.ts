import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Control } from '../../api/control.ts'
import {
  PeerSchema,
  PingInputSchema,
  PingReplySchema,
  RotatedSchema,
  RotateInputSchema,
} from '../../api/schemas.ts'
import type { PingReply } from '../../api/schemas.ts'
import { defineRoute, Lines } from '../route.ts'

/** The other members. */
export const peerRoutes = [
  defineRoute({
    method: 'GET',
    path: '/api/v1/peers',
    permission: 'peers.read',
    answer: z.array(PeerSchema),
    handler: (_input, { control }) => control.peers(),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/rotate',
    permission: 'peers.rotate',
    body: RotateInputSchema,
    answer: RotatedSchema,
    handler: ({ body }, { control }) => control.rotate(body),
  }),
  defineRoute({
    method: 'POST',
    path: '/api/v1/ping',
    permission: 'peers.ping',
    body: PingInputSchema,
    answer: PingReplySchema,
    async handler({ body }, { control, signal }) {
      // The first probe runs before any byte is sent, so that an unknown peer is a plain error.
      if (body.lookForDirect) control.lookForDirect(body.peer)
      const first = await control.ping(body.peer, 1, signal)
      return new Lines(pings(control, body, first, signal))
    },
  }),
]

async function* pings(
  control: Control,
  input: z.output<typeof PingInputSchema>,
  first: PingReply,
  signal: AbortSignal,
): AsyncGenerator<PingReply> {
  yield first
  for (let seq = 2; seq <= input.count && !signal.aborted; seq++) {
    await sleep(input.intervalMs, undefined, { signal })
    yield await control.ping(input.peer, seq, signal)
  }
}
