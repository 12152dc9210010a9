import type { Connection, Stream, StreamHandler } from '@libp2p/interface'
import { streamPair } from '@libp2p/utils'
import test from 'ava'
import { PunchService, punchProtocol, type PunchServiceInit } from '../../../node/traversal/punch-service.ts'
import { directAddress, reflectProtocol, ReflectService } from '../../../node/traversal/reflect-service.ts'
import { Reflector } from '../../../node/traversal/reflector.ts'
import { askTickets } from '../../../node/traversal/reflecting.ts'
import { lengthPrefixed } from '../../../protocols/common/length-prefix.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import type { PathStanding } from '../../../protocols/traversal/nat.ts'
import { OFFERS_MAX } from '../../../protocols/traversal/limits.ts'
import { punchFormat } from '../../../protocols/traversal/wire.ts'
import { multiaddr } from '@multiformats/multiaddr'
import { until } from '../../../simulations/lab/program.ts'
import { ports } from './ports.ts'

const MESH = new Uint8Array(32).fill(3)
const never = new AbortController().signal
const OUTSIDE = { ip: Uint8Array.of(52, 0, 0, 1), port: 41_000 }
const SYMMETRIC: PathStanding = {
  mapping: 'address-and-port-dependent',
  filtering: 'address-and-port-dependent',
}

/** Peers whose streams go straight to each other's handlers. */
class Wire {
  readonly handlers = new Map<string, StreamHandler>()
  readonly streams: Stream[] = []

  network(id: string): PunchServiceInit['network'] {
    return {
      handle: (protocol, handler, options) => {
        this.handlers.set(`${id} ${[protocol].flat().join()}`, handler)
        if (options?.maxInboundStreams === undefined) throw new Error('no limit')
        return Promise.resolve()
      },
      unhandle: (protocol) => {
        this.handlers.delete(`${id} ${[protocol].flat().join()}`)
        return Promise.resolve()
      },
    }
  }

  async open(from: string, to: string, protocol: string, address = '/ip4/127.0.0.1/tcp/9'): Promise<Stream> {
    const handler = this.handlers.get(`${to} ${protocol}`)
    if (handler === undefined) throw new Error(`${to} is not there`)
    const [outbound, inbound] = await streamPair()
    this.streams.push(outbound, inbound)
    const connection = { remotePeer: { toString: () => from }, remoteAddr: multiaddr(address) }
    void handler(inbound, connection as unknown as Connection)
    return outbound
  }
}

async function peer(wire: Wire, id: string, change: Partial<PunchServiceInit> = {}) {
  const events: EventInput[] = []
  const service = new PunchService({
    ...ports,
    network: wire.network(id),
    meshId: MESH,
    selfId: id,
    hasV6: () => false,
    openStream: (to, protocol) => wire.open(id, to, protocol),
    isMember: () => true,
    vouchedOf: () => null,
    standing: () => SYMMETRIC,
    standingOf: () => null,
    reflect: () => Promise.resolve([OUTSIDE]),
    made: () => undefined,
    emit: (event) => void events.push(event),
    ...change,
  })
  await service.start()
  return { service, events }
}

const kinds = (events: readonly EventInput[]): string[] =>
  events.map(({ kind, reason }) => `${kind} ${reason ?? ''}`.trim())

test('what cannot work is told over the stream and ends on both sides with the reason', async (t) => {
  const wire = new Wire()
  const [a, b] = [await peer(wire, 'a'), await peer(wire, 'b')]
  const punched = await a.service.attempt('b', never)
  t.like(punched, { path: 'relay', reason: 'both-ports-unknown' })
  await until('the other end', () => b.events.length > 0)
  t.deepEqual(kinds(a.events), ['punch.failed both-ports-unknown'])
  t.deepEqual(kinds(b.events), ['punch.failed both-ports-unknown'])
  await until('the streams to end', () => wire.streams.every(({ status }) => status !== 'open'))
  t.deepEqual([...a.service.attempting, ...b.service.attempting], [])
})

test('both at once is one attempt on each side', async (t) => {
  const wire = new Wire()
  const [a, b] = [await peer(wire, 'a'), await peer(wire, 'b')]
  const all = [a.service.attempt('b', never), b.service.attempt('a', never), a.service.attempt('b', never)]
  t.is(all[0], all[2], 'who asks again joins')
  for (const punched of await Promise.all(all)) t.like(punched, { reason: 'both-ports-unknown' })
  t.is(a.events.length, 1)
  t.is(b.events.length, 1)
})

test('an attempt ends with the reason when there is no stream, no reflector, or nobody wants it', async (t) => {
  const wire = new Wire()
  const a = await peer(wire, 'a')
  t.like(await a.service.attempt('away', never), { reason: 'exchange-lost', text: 'away is not there' })
  const b = await peer(wire, 'b', { reflect: () => Promise.reject(new Error('nobody')) })
  t.like(await b.service.attempt('a', never), { reason: 'reflector-unreachable', text: 'nobody' })
  const hangs = { reflect: () => new Promise<never>(() => undefined) }
  const c = await peer(wire, 'c', hangs)
  const aborted = new AbortController()
  const attempt = c.service.attempt('a', aborted.signal)
  aborted.abort()
  t.like(await attempt, { reason: 'punch-cancelled' })
  const late = c.service.attempt('a', never)
  await c.service.stop()
  t.like(await late, { reason: 'punch-cancelled' })
  t.is(wire.handlers.has(`c ${punchProtocol(MESH)}`), false)
  await until('the streams to end', () => wire.streams.every(({ status }) => status !== 'open'))
})

/** Sends frames over a stream of one's own, and what comes back. */
async function say(wire: Wire, from: string, ...frames: readonly Uint8Array[]) {
  const stream = await wire.open(from, 'a', punchProtocol(MESH))
  const heard: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => heard.push(data.subarray().slice(1)))
  for (const frame of frames) stream.send(lengthPrefixed(frame))
  return { stream, heard }
}

const offer = (n: number): Uint8Array =>
  punchFormat.encode({
    kind: 1,
    version: 1,
    nonce: Uint8Array.from({ length: 16 }, () => n),
    endpoints: [OUTSIDE],
    standing: SYMMETRIC,
  })

test('who is no member, says something else, or offers too often is refused', async (t) => {
  const wire = new Wire()
  const a = await peer(wire, 'a', { isMember: (id) => id !== 'stranger' })
  const stranger = await say(wire, 'stranger')
  await until('the end', () => stranger.stream.status !== 'open')
  const broken = await say(wire, 'b', Uint8Array.of(1, 2, 3))
  await until('the end', () => broken.stream.status !== 'open')
  const early = await say(wire, 'b', punchFormat.encode({ kind: 3, nonce: new Uint8Array(16) }))
  await until('the end', () => early.stream.status !== 'open')
  const long = await say(wire, 'b', new Uint8Array(5_000))
  await until('the end', () => long.stream.status !== 'open')
  t.deepEqual(kinds(a.events), ['punch.refused exchange-malformed', 'punch.refused exchange-malformed'])
  const codes: string[] = []
  for (const n of [...Array.from({ length: OFFERS_MAX }, (_, i) => i), 0, 99]) {
    const { heard } = await say(wire, 'b', offer(n))
    const bytes = await until('the answer', () => heard[0])
    const message = punchFormat.decode(bytes)
    codes.push(message.kind === 4 ? message.code : '')
    await until('the attempt to end', () => a.service.attempting.length === 0)
  }
  t.deepEqual(codes, [
    ...Array.from({ length: OFFERS_MAX }, () => 'both-ports-unknown'),
    'exchange-replayed',
    'exchange-flood',
  ])
})

test('a second offer of one peer, while the first is answered, is told that this node is busy', async (t) => {
  const wire = new Wire()
  const a = await peer(wire, 'a', {
    standing: () => null,
    reflect: () => new Promise<never>(() => undefined),
  })
  await say(wire, 'b', offer(1))
  await until('the attempt', () => a.service.attempting.length === 1)
  const { heard } = await say(wire, 'b', offer(2))
  const message = punchFormat.decode(await until('the answer', () => heard[0]))
  t.like(message, { kind: 4, code: 'punch-busy' })
  await a.service.stop()
})

test('questions to a reflector go over streams, and only members are answered', async (t) => {
  const wire = new Wire()
  const emitted: EventInput[] = []
  const make = (id: string): ReflectService =>
    new ReflectService({
      ...ports,
      network: wire.network(id),
      meshId: MESH,
      reflector: new Reflector({ ...ports, hasExtraPort: false }),
      openStream: (to, protocol) => wire.open(id, to, protocol),
      isMember: (from) => from !== 'stranger',
      emit: (event) => void emitted.push(event),
    })
  const [a, b, stranger] = [make('a'), make('b'), make('stranger')]
  await a.start()
  const ask = b.ask.bind(b)
  const { tickets } = await askTickets(ask, 'a', 3, true, AbortSignal.timeout(5_000))
  t.is(tickets.length, 3)
  await t.throwsAsync(askTickets(stranger.ask.bind(stranger), 'a', 1, true, AbortSignal.timeout(5_000)))
  await t.throwsAsync(b.ask('a', Uint8Array.of(9), AbortSignal.timeout(5_000)))
  await until('both events', () => emitted.length === 2)
  t.deepEqual(kinds(emitted), ['reflect.refused', 'reflect.refused'])
  await a.stop()
  t.false(wire.handlers.has(`a ${reflectProtocol(MESH)}`))
})

test('the address a question comes from is that of a direct connection only', (t) => {
  const of = (address: string): Uint8Array | null => directAddress({ remoteAddr: multiaddr(address) })
  t.deepEqual(of('/ip4/52.0.0.1/tcp/4001'), Uint8Array.of(52, 0, 0, 1))
  t.is(of('/ip6/2003::1/tcp/4001')?.length, 16)
  t.is(of('/ip4/52.0.0.1/tcp/4001/p2p-circuit'), null)
  t.is(of('/dns4/example.org/tcp/4001'), null)
})
