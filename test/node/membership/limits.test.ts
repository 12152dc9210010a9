import type { Connection, StreamHandler } from '@libp2p/interface'
import { streamPair } from '@libp2p/utils'
import test from 'ava'
import type { EventInput, Timers } from '../../../protocols/common/ports.ts'
import {
  FORWARDED_MAX,
  FORWARDED_PER_CONNECTION_MAX,
  JoinForward,
  joinForwardProtocol,
  type JoinForwardInit,
} from '../../../node/membership/join-forward.ts'
import { Renewal, renewalProtocol, RENEWALS_PER_CONNECTION_MAX } from '../../../node/membership/renewal.ts'
import { until } from '../../../simulations/lab/program.ts'
import { checkStreamLimit } from './stream-limit.ts'

const meshId = new Uint8Array(32).fill(7)
const timers: Timers = { every: () => () => undefined, after: () => () => undefined }

function forwardInit(change: Partial<JoinForwardInit>): JoinForwardInit {
  return {
    network: { handle: () => Promise.resolve(), unhandle: () => Promise.resolve() },
    meshId,
    openStream: () => Promise.reject(new Error('nobody is asked')),
    isMember: () => true,
    redeem: (request) => Promise.resolve(request),
    timers,
    emit: () => undefined,
    ...change,
  }
}

test('one connection carries so many forwarded joins at a time', (t) =>
  checkStreamLimit(t, joinForwardProtocol(meshId), FORWARDED_PER_CONNECTION_MAX, (network) =>
    new JoinForward(forwardInit({ network })).start(),
  ))

test('one connection carries so many renewals at a time', (t) =>
  checkStreamLimit(t, renewalProtocol(meshId), RENEWALS_PER_CONNECTION_MAX, (network) =>
    new Renewal({
      network,
      meshId,
      openStream: () => Promise.reject(new Error('nobody is asked')),
      // A stream counts until both sides have ended it, and the client here never does.
      proved: () => ({ name: 'nas' }) as never,
      issue: () => Uint8Array.of(1),
      emit: () => undefined,
    }).start(),
  ))

test('of all doors together an issuer works on so many joins at a time, and says that it refuses one more', async (t) => {
  const events: EventInput[] = []
  let serve: StreamHandler | undefined
  const forward = new JoinForward(
    forwardInit({
      network: {
        handle: (_protocol, handler) => Promise.resolve(void (serve = handler)),
        unhandle: () => Promise.resolve(),
      },
      emit: (event) => events.push(event),
    }),
  )
  await forward.start()
  const open = async () => {
    const [outbound, inbound] = await streamPair()
    void serve?.(inbound, { remotePeer: { toString: () => 'door' } } as unknown as Connection)
    return outbound
  }
  const held = []
  for (let n = 1; n <= FORWARDED_MAX; n++) held.push(await open())
  t.deepEqual(events, [])
  const more = await open()
  await until('the refusal', () => more.status !== 'open')
  t.like(events, { length: 1, 0: { kind: 'join.forward-refused', text: 'too many joins at once' } })
  t.true(held.every(({ status }) => status === 'open'))
  held[0]?.abort(new Error('gone'))
  await until('its end', () => events.length === 2)
  const again = await open()
  let reply: number[] = []
  again.addEventListener('message', ({ data }) => (reply = [...data.subarray()]))
  again.send(Uint8Array.of(1, 9))
  await until('the reply', () => reply.length > 0)
  t.deepEqual(reply, [1, 9])
})
