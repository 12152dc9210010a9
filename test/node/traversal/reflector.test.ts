import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import test from 'ava'
import { FreshPort } from '../../../node/traversal/fresh-port.ts'
import { netcheck, type NetcheckInit } from '../../../node/traversal/netcheck.ts'
import { RawOpenings, refuseTicket, WAITING_MAX } from '../../../node/traversal/raw-openings.ts'
import {
  askTickets,
  PLACES_MAX,
  reflect,
  reflectFrom,
  type AskReflector,
} from '../../../node/traversal/reflecting.ts'
import { Reflector, type ReflectorInit } from '../../../node/traversal/reflector.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import type { Timers } from '../../../protocols/common/ports.ts'
import { describeEndpoint } from '../../../protocols/traversal/endpoint.ts'
import {
  EXTRA_PORT_IDLE_MS,
  REFLECTION_HELD_MS,
  REFLECTIONS_MAX,
} from '../../../protocols/traversal/limits.ts'
import {
  encodeRawOpening,
  reflectAnswerFormat,
  reflectRequestFormat,
} from '../../../protocols/traversal/reflect-wire.ts'
import { until } from '../../../simulations/lab/program.ts'
import { listenAt, loopback, ports } from './ports.ts'

const signal = new AbortController().signal
const OURS = Uint8Array.of(127, 0, 0, 1)

/** Timers that are told when to go off. */
function handTimers(): Timers & { due: Map<() => void, number> } {
  const due = new Map<() => void, number>()
  return {
    due,
    every: () => () => undefined,
    after: (delayMs, run) => {
      due.set(run, delayMs)
      return () => void due.delete(run)
    },
  }
}

/** A reflector with its mesh port at `127.0.0.<last>`, and how it is asked. */
async function startReflector(last: number, init: Partial<ReflectorInit> = {}) {
  const reflector = new Reflector({ ...ports, hasExtraPort: true, localAddress: `127.0.0.${last}`, ...init })
  const { server, endpoint } = await listenAt(last, (socket) => reflector.raw.accept(socket))
  const ask: AskReflector = (peer, request, asked) => reflector.answer(peer, OURS, request, asked)
  const stop = async (): Promise<void> => {
    server.close()
    await reflector.stop()
  }
  return { reflector, endpoint, ask, stop, server }
}

const reach = (port: number, nonce: Uint8Array): Uint8Array =>
  reflectRequestFormat.encode({ kind: 2, port, nonce })

test('a reflector says from where it sees a port, at both of its own, for a ticket each', async (t) => {
  const { reflector, endpoint, ask, stop } = await startReflector(1)
  const { tickets, extraPort } = await askTickets(ask, 'a', 2, true, signal)
  const port = await FreshPort.open()
  const views = await Promise.all([
    reflect(port, endpoint, Promise.resolve(tickets[0] as Uint8Array), signal),
    reflect(port, loopback(extraPort as number), Promise.resolve(tickets[1] as Uint8Array), signal),
  ])
  t.deepEqual(
    views.map(({ outside }) => describeEndpoint(outside)),
    [`127.0.0.1:${port.number}`, `127.0.0.1:${port.number}`],
  )
  t.is(port.openSockets, 2, 'the connections stay')
  const other = await FreshPort.open()
  // The ticket was shown already.
  await t.throwsAsync(reflect(other, endpoint, Promise.resolve(tickets[0] as Uint8Array), signal), {
    message: /closed/,
  })
  t.is(reflector.raw.refused, 1)
  port.close()
  other.close()
  await stop()
})

test('a punch asks so many reflectors at most, and does not wait for one that is away', async (t) => {
  const { endpoint, ask, stop } = await startReflector(1)
  const silent = await listenAt(2, () => undefined)
  const asked: string[] = []
  const places = [
    { peer: 'away', endpoint: silent.endpoint },
    { peer: 'relay', endpoint },
    ...Array.from({ length: PLACES_MAX - 1 }, (_, n) => ({
      peer: `further ${n}`,
      endpoint: loopback(1, 3 + n),
    })),
  ]
  const counted: AskReflector = (peer, request, each) => {
    asked.push(peer)
    return peer === 'away' ? new Promise(() => undefined) : ask(peer, request, each)
  }
  const port = await FreshPort.open()
  const seen = await reflectFrom(port, places, counted, ports.timers, signal)
  t.deepEqual(seen.map(describeEndpoint), [`127.0.0.1:${port.number}`])
  t.deepEqual(
    asked,
    places.slice(0, PLACES_MAX).map(({ peer }) => peer),
  )
  port.close()
  await stop()
  silent.server.close()
})

test('without a reflector that answers there is an error, and it is the first one', async (t) => {
  const port = await FreshPort.open()
  await t.throwsAsync(
    reflectFrom(port, [], () => Promise.reject(new Error('asked')), ports.timers, signal),
    {
      message: /no reflector/,
    },
  )
  const refuses: AskReflector = () =>
    Promise.resolve(reflectAnswerFormat.encode({ kind: 3, code: 'reflect-flood' }))
  const places = [{ peer: 'a', endpoint: loopback(1) }]
  await t.throwsAsync(reflectFrom(port, places, refuses, ports.timers, signal), { message: /reflect-flood/ })
  const aborted = new AbortController()
  const hangs = reflectFrom(port, places, () => new Promise(() => undefined), ports.timers, aborted.signal)
  aborted.abort(new Error('enough'))
  await t.throwsAsync(hangs)
  port.close()
  t.is(port.openSockets, 0)
})

test('a raw connection without a ticket hears nothing and is closed', async (t) => {
  const { reflector, endpoint, stop } = await startReflector(1)
  for (const said of [
    encodeRawOpening({ kind: 'reflection', token: new Uint8Array(16) }),
    encodeRawOpening({ kind: 'reach', token: new Uint8Array(16) }),
    new TextEncoder().encode('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  ]) {
    const socket = connect(endpoint.port, '127.0.0.1')
    socket.on('data', () => t.fail('a byte'))
    socket.on('error', () => undefined)
    socket.write(said)
    await new Promise((resolve) => void socket.once('close', resolve))
  }
  t.is(reflector.raw.refused, 3)
  await stop()
})

test('of raw connections that say nothing, some wait for a while, and no more than that', async (t) => {
  const timers = handTimers()
  const openings = new RawOpenings(timers, {
    reflection: () => {
      t.fail()
      return false
    },
  })
  const { server, endpoint } = await listenAt(1, (socket) => openings.accept(socket))
  const sockets = Array.from({ length: WAITING_MAX + 1 }, () => connect(endpoint.port, '127.0.0.1'))
  let closed = 0
  for (const socket of sockets) socket.on('error', () => undefined).once('close', () => closed++)
  await until('the oldest to go', () => openings.refused === 1 && closed === 1)
  t.true(sockets[0]?.destroyed)
  for (const run of timers.due.keys()) run()
  await until('the others', () => closed === WAITING_MAX + 1)
  t.is(openings.refused, WAITING_MAX + 1)
  t.is(timers.due.size, 0)
  server.close()
})

test('only connections that begin as ours do are taken from the mesh port, with what was read of them', async (t) => {
  const { reflector, ask, stop } = await startReflector(1)
  const { tickets } = await askTickets(ask, 'a', 1, false, signal)
  let known = 0
  const server = createServer((socket) => {
    socket.once('data', (first: Buffer) => {
      t.false(reflector.raw.serve(socket, new TextEncoder().encode('something')))
      t.true(reflector.raw.serve(socket, first, () => known++))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = await FreshPort.open()
  const { port: at } = server.address() as { port: number }
  const { outside } = await reflect(port, loopback(at), Promise.resolve(tickets[0] as Uint8Array), signal)
  t.is(outside.port, port.number)
  t.is(known, 1)
  const again = await FreshPort.open()
  const spent = Promise.resolve(tickets[0] as Uint8Array)
  await t.throwsAsync(reflect(again, loopback(at), spent, signal))
  t.is(known, 1, 'whoever shows a spent ticket is a stranger')
  for (const each of [port, again]) each.close()
  server.close()
  await stop()
})

test('reflections are kept open for a while, and only so many', async (t) => {
  const timers = handTimers()
  const { endpoint, ask, stop, server } = await startReflector(1, { timers })
  const open = (): Promise<number> =>
    new Promise((resolve) => void server.getConnections((_, count) => resolve(count)))
  const hold = async (): Promise<FreshPort> => {
    const { tickets } = await askTickets(ask, 'a', 1, false, signal)
    const port = await FreshPort.open()
    await reflect(port, endpoint, Promise.resolve(tickets[0] as Uint8Array), signal)
    return port
  }
  const first = await hold()
  t.is(await open(), 1)
  for (const [run, delayMs] of timers.due) if (delayMs === REFLECTION_HELD_MS) run()
  await until('its end', async () => (await open()) === 0)
  const held = [first]
  for (let n = 0; n <= REFLECTIONS_MAX; n++) held.push(await hold())
  await until('the end of the oldest', async () => (await open()) === REFLECTIONS_MAX)
  for (const port of held) port.close()
  await stop()
})

test('the extra port is there while it is asked for', async (t) => {
  const timers = handTimers()
  const { ask, stop } = await startReflector(1, { timers })
  const { extraPort } = await askTickets(ask, 'a', 1, true, signal)
  t.is((await askTickets(ask, 'b', 1, true, signal)).extraPort, extraPort)
  const idle = [...timers.due].filter(([, delayMs]) => delayMs === EXTRA_PORT_IDLE_MS)
  t.is(idle.length, 1, 'the later one counts')
  idle[0]?.[0]()
  await until('nobody there', async () => {
    const socket = connect(extraPort as number, '127.0.0.1')
    return once(socket, 'connect').then(
      () => (socket.destroy(), false),
      () => true,
    )
  })
  await stop()
  const without = await startReflector(1, { hasExtraPort: false })
  t.is((await askTickets(without.ask, 'a', 1, true, signal)).extraPort, null)
  await without.stop()
})

test('connecting back goes to the address that asks, says the nonce, and tells whether it came back', async (t) => {
  const { reflector, stop } = await startReflector(2)
  const openings = new RawOpenings(ports.timers, {
    reflection: () => {
      t.fail()
      return false
    },
  })
  const { server, endpoint } = await listenAt(1, (socket) => openings.accept(socket))
  const nonce = ports.random.bytes(16)
  let from = ''
  openings.expect(nonce, (socket) => (from = socket.remoteAddress ?? ''))
  const tell = async (request: Uint8Array, address: Uint8Array | null = OURS) =>
    reflectAnswerFormat.decode(await reflector.answer('a', address, request, signal))
  t.deepEqual(await tell(reach(endpoint.port, nonce)), { kind: 2, arrived: true })
  t.is(from, '127.0.0.2')
  t.deepEqual(await tell(reach(endpoint.port, nonce)), { kind: 2, arrived: false }, 'expected once')
  server.close()
  const echo = await listenAt(1, (socket) =>
    socket.on('error', () => undefined).end('kithprob and something else'),
  )
  t.deepEqual(await tell(reach(echo.endpoint.port, nonce)), { kind: 2, arrived: false }, 'another says it')
  echo.server.close()
  t.deepEqual(await tell(reach(echo.endpoint.port, nonce)), { kind: 2, arrived: false }, 'nobody listens')
  t.deepEqual(await tell(reach(22, nonce)), { kind: 3, code: 'port-reserved' })
  t.deepEqual(await tell(reach(443, nonce)), { kind: 2, arrived: false })
  t.deepEqual(await tell(reach(4001, nonce), null), { kind: 3, code: 'reflect-relayed' })
  await t.throwsAsync(reflector.answer('a', OURS, Uint8Array.of(1, 2), signal), {
    instanceOf: MalformedError,
  })
  await stop()
})

test('a port that takes and says nothing is given up', async (t) => {
  const timers = handTimers()
  const { reflector, stop } = await startReflector(2, { timers })
  const { server, endpoint } = await listenAt(1, (socket) => void socket.on('error', () => undefined))
  const accepted = once(server, 'connection')
  const answer = reflector.answer('a', OURS, reach(endpoint.port, new Uint8Array(16)), signal)
  await accepted
  for (const [run, delayMs] of timers.due) if (delayMs === 3_000) run()
  t.deepEqual(reflectAnswerFormat.decode(await answer), { kind: 2, arrived: false })
  server.close()
  await stop()
})

async function checked(change: Partial<NetcheckInit> = {}) {
  const [one, other] = [await startReflector(1), await startReflector(2)]
  const openings = new RawOpenings(ports.timers, { reflection: refuseTicket })
  const mesh = await listenAt(1, (socket) => openings.accept(socket))
  const asked: NetcheckInit = {
    ...ports,
    places: [
      { peer: 'one', endpoint: one.endpoint },
      { peer: 'other', endpoint: other.endpoint },
    ],
    ask: (peer, request, each) => (peer === 'one' ? one : other).ask('self', request, each),
    meshPort: { port: mesh.endpoint.port, openings },
    routerOutside: null,
    signal,
    ...change,
  }
  const found = await netcheck(asked)
  mesh.server.close()
  await Promise.all([one.stop(), other.stop()])
  return found
}

test('netcheck: without a NAT everything is seen as it is, and everybody gets in', async (t) => {
  const { observations, classified, silent } = await checked()
  t.deepEqual(silent, [])
  t.is(observations.views.length, 4)
  t.is(observations.arrivals.length, 2)
  t.true(observations.arrivals.every(({ arrived }) => arrived))
  t.is(observations.hairpin, true)
  t.is(observations.reached, true)
  t.is(classified.standing, 'dialable')
  t.is(classified.mapping.value, 'endpoint-independent')
  t.is(classified.filtering.value, 'endpoint-independent')
  t.is(classified.keepsPort.value, true)
})

test('netcheck: what nobody says is not known, and why', async (t) => {
  const nobody = await checked({ places: [], meshPort: null })
  t.is(nobody.classified.mapping.unknown, 'nat-not-seen')
  t.is(nobody.classified.standing, null)
  const fails = await checked({ ask: () => Promise.reject(new Error('no stream')) })
  t.is(fails.classified.mapping.unknown, 'nat-not-seen')
  t.is(fails.classified.filtering.unknown, 'nat-not-probed')
  t.is(fails.observations.reached, null)
  t.true(fails.silent.length > 0 && fails.silent.every(({ text }) => text === 'no stream'))
})

test('netcheck: one reflector is not enough to tell the mapping, or to dial where it says this node is', async (t) => {
  const one = await startReflector(1)
  const { classified } = await checked({
    places: [{ peer: 'one', endpoint: one.endpoint }],
    ask: (_, request, each) => one.ask('self', request, each),
    meshPort: null,
  })
  t.is(classified.mapping.unknown, 'nat-one-reflector')
  t.is(classified.hairpins.unknown, 'nat-not-probed')
  t.is(classified.filtering.unknown, 'nat-not-probed')
  await one.stop()
})
