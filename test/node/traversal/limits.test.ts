import type { Connection, StreamHandler } from '@libp2p/interface'
import { streamPair } from '@libp2p/utils'
import test from 'ava'
import { ATTEMPTS_MAX, PUNCH_STREAMS_MAX, REFLECT_STREAMS_MAX } from '../../../node/traversal/limits.ts'
import { PunchService, punchProtocol, type PunchServiceInit } from '../../../node/traversal/punch-service.ts'
import { EARLY_FRAMES_MAX, PunchStreams } from '../../../node/traversal/punch-streams.ts'
import { reflectProtocol, ReflectService } from '../../../node/traversal/reflect-service.ts'
import { Reflector } from '../../../node/traversal/reflector.ts'
import { FrameReader, lengthPrefixed } from '../../../protocols/common/length-prefix.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import { PUNCH_MESSAGE_BYTES_MAX } from '../../../protocols/traversal/limits.ts'
import { punchFormat } from '../../../protocols/traversal/wire.ts'
import { until } from '../../../simulations/lab/program.ts'
import { checkStreamLimit } from '../membership/stream-limit.ts'
import { ports } from './ports.ts'

const meshId = new Uint8Array(32).fill(3)
const never = new AbortController().signal

function punchInit(change: Partial<PunchServiceInit>): PunchServiceInit {
  return {
    ...ports,
    network: { handle: () => Promise.resolve(), unhandle: () => Promise.resolve() },
    meshId,
    selfId: 'a',
    hasV6: () => false,
    openStream: () => Promise.reject(new Error('nobody is asked')),
    isMember: () => true,
    vouchedOf: () => null,
    standing: () => null,
    standingOf: () => null,
    reflect: () => new Promise<never>(() => undefined),
    made: () => undefined,
    emit: () => undefined,
    ...change,
  }
}

test('a member holds so many streams of the exchange of punches', (t) =>
  checkStreamLimit(t, punchProtocol(meshId), PUNCH_STREAMS_MAX, (network) =>
    new PunchService(punchInit({ network })).start(),
  ))

test('a member holds so many questions to a reflector', (t) =>
  checkStreamLimit(t, reflectProtocol(meshId), REFLECT_STREAMS_MAX, (network) =>
    new ReflectService({
      ...ports,
      network,
      meshId,
      reflector: new Reflector({ ...ports, hasExtraPort: false }),
      openStream: () => Promise.reject(new Error('nobody is asked')),
      isMember: () => true,
      emit: () => undefined,
    }).start(),
  ))

test('so many peers are tried at once; another is told that this node is busy, whoever begins', async (t) => {
  const events: EventInput[] = []
  const failing: ((error: Error) => void)[] = []
  let serve: StreamHandler | undefined
  const service = new PunchService(
    punchInit({
      network: {
        handle: (_protocol, handler) => Promise.resolve(void (serve = handler)),
        unhandle: () => Promise.resolve(),
      },
      openStream: () => new Promise((_, fail) => failing.push(fail)),
      emit: (event) => events.push(event),
    }),
  )
  await service.start()
  const tries = Array.from({ length: ATTEMPTS_MAX }, (_, n) => service.attempt(`peer ${n}`, never))
  t.is(service.attempting.length, ATTEMPTS_MAX)
  t.like(await service.attempt('one more', never), { path: 'relay', reason: 'punch-busy' })

  const heard: Uint8Array[] = []
  const [outbound, inbound] = await streamPair()
  const reader = new FrameReader(PUNCH_MESSAGE_BYTES_MAX)
  outbound.addEventListener('message', ({ data }) => heard.push(...reader.push(data.subarray())))
  void serve?.(inbound, { remotePeer: { toString: () => 'one more' } } as unknown as Connection)
  const nonce = new Uint8Array(16).fill(1)
  const endpoints = [{ ip: Uint8Array.of(52, 0, 0, 1), port: 41_000 }]
  const standing = { mapping: 'endpoint-independent', filtering: 'endpoint-independent' } as const
  outbound.send(lengthPrefixed(punchFormat.encode({ kind: 1, version: 1, nonce, endpoints, standing })))
  const answer = punchFormat.decode(await until('the answer', () => heard[0]))
  t.like(answer, { kind: 4, code: 'punch-busy' })
  t.like(events, { length: 1, 0: { kind: 'punch.refused', peer: 'one more', reason: 'punch-busy' } })

  failing[0]?.(new Error('away'))
  await tries[0]
  const again = service.attempt('one more', never)
  t.true(service.attempting.includes('one more'), 'in the place of one that ended')
  for (const fail of failing) fail(new Error('away'))
  t.like(await again, { reason: 'exchange-lost' })
  await Promise.all(tries)
  await service.stop()
})

test('so many frames wait for an attempt to begin, and of more the later ones are dropped', async (t) => {
  for (const [count, kept] of [
    [EARLY_FRAMES_MAX, EARLY_FRAMES_MAX],
    [EARLY_FRAMES_MAX + 1, EARLY_FRAMES_MAX],
  ] as const) {
    const streams = new PunchStreams()
    for (let n = 0; n < count; n++) streams.frame(Uint8Array.of(n))
    const taken: number[] = []
    streams.use({ onFrame: ([first = -1]) => void taken.push(first), onClose: () => undefined })
    await Promise.resolve()
    t.deepEqual(
      taken,
      Array.from({ length: kept }, (_, n) => n),
    )
    streams.frame(Uint8Array.of(99))
    t.is(taken.at(-1), 99, 'what comes later goes straight through')
  }
})
