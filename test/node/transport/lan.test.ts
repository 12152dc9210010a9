import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import test, { type ExecutionContext } from 'ava'
import packet from 'dns-packet'
import { ipBytes } from '../../../bootstrap/ip-bytes.ts'
import { classifyDialError } from '../../../bootstrap/reconnect-loop.ts'
import type { Target } from '../../../bootstrap/reconnect.ts'
import { findNearbyDoors } from '../../../node/membership/nearby-doors.ts'
import { Nearby } from '../../../node/membership/nearby.ts'
import { dialSeenFirst } from '../../../node/membership/reconnecting.ts'
import { steadyClock, systemClock, systemRandom, systemTimers } from '../../../node/system-ports.ts'
import { endpointOn, lanInterfaces, listensOn } from '../../../node/transport/lan-interfaces.ts'
import { LanSockets } from '../../../node/transport/lan-socket.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'

/* Real sockets, on the loopback interface alone. */

const MESH = systemRandom.bytes(32)
const listen = ['/ip4/127.0.0.1/tcp/0']
const peer = () => {
  const key = systemRandom.bytes(32)
  return { id: peerIdFromKey(key), key }
}

function start(
  t: ExecutionContext,
  self: ReturnType<typeof peer>,
  others: ReturnType<typeof peer>[],
  port: number,
): { nearby: Nearby; found: string[]; events: EventInput[] } {
  const found: string[] = []
  const events: EventInput[] = []
  const nearby = new Nearby({
    meshId: MESH,
    selfKey: self.key,
    listening: () => [`/ip4/127.0.0.1/tcp/${port}`],
    peers: () => others,
    connected: () => [],
    found: (id, addresses) => found.push(`${id} ${addresses.join()}`),
    wallClock: systemClock,
    steadyClock,
    timers: systemTimers,
    random: systemRandom,
    emit: (event) => events.push(event),
    loopback: true,
  })
  nearby.start()
  t.teardown(() => nearby.stop())
  return { nearby, found, events }
}

async function until(condition: () => boolean, ms = 5_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!condition() && performance.now() < deadline)
    await new Promise((resolve) => void setTimeout(resolve, 20))
}

test('two nodes and a joiner on one machine find each other by multicast; a stranger gets only what is public', async (t) => {
  const [one, two, unknown] = [peer(), peer(), peer()]
  const first = start(t, one, [two], 4701)
  const second = start(t, two, [one], 4702)
  start(t, unknown, [one, two], 4703)
  await until(() => first.found.length > 0 && second.found.length > 0)
  t.deepEqual(first.found, [`${two.id} /ip4/127.0.0.1/tcp/4702/p2p/${two.id}`])
  t.deepEqual(second.found, [`${one.id} /ip4/127.0.0.1/tcp/4701/p2p/${one.id}`])
  t.deepEqual(first.nearby.peers(), [two.id])
  t.deepEqual(first.nearby.addressesOf(unknown.id), [])
  t.like(first.events[0], { kind: 'lan.found', severity: 'info', peer: two.id })
  const doors = await findNearbyDoors({
    meshId: MESH,
    peers: [one],
    listen,
    emit: () => undefined,
    loopback: true,
  })
  t.deepEqual(
    doors.map(({ address }) => address),
    [`/ip4/127.0.0.1/tcp/4701/p2p/${one.id}`],
  )
  t.deepEqual(
    await findNearbyDoors({
      meshId: one.key,
      peers: [one],
      listen,
      emit: () => undefined,
      loopback: true,
      signal: AbortSignal.timeout(500),
    }),
    [],
  )
})

test('a farewell is said when a node stops, and the port is shared', async (t) => {
  const listener = createSocket({ type: 'udp4', reuseAddr: true })
  t.teardown(() => listener.close())
  const heard: Buffer[] = []
  listener.on('message', (bytes) => heard.push(bytes))
  await join(listener)
  const { nearby } = start(t, peer(), [], 4709)
  const ours = (ttl: number) =>
    heard.some((bytes) =>
      packet
        .decode(bytes)
        .answers?.some((each) => each.type === 'SRV' && each.data.port === 4709 && each.ttl === ttl),
    )
  await until(() => ours(120))
  t.true(ours(120))
  await nearby.stop()
  await until(() => ours(0))
  t.true(ours(0))
})

async function join(listener: Socket): Promise<void> {
  listener.bind({ port: 5353, address: '224.0.0.251' })
  await once(listener, 'listening')
  listener.addMembership('224.0.0.251', '127.0.0.1')
}

test('a link that cannot be opened is told once, and left alone for a minute', async (t) => {
  const events: EventInput[] = []
  let now = 0
  const sockets = new LanSockets({
    onPacket: () => undefined,
    onReady: () => t.fail('there is no such address'),
    emit: (event) => events.push(event),
    clock: { now: () => now },
  })
  const nowhere = [{ name: 'none0', addresses: ['192.0.2.77'], subnets: [] }]
  for (let i = 0; i < 3; i++) {
    t.is(sockets.update(nowhere).size, 0)
    await until(() => events.length > 0, 1_000)
    now += 100_000
  }
  t.is(events.length, 1)
  t.like(events[0], { kind: 'lan.unavailable', severity: 'info', reason: 'lan-unavailable' })
  await sockets.close()
})

test('interfaces: loopback alone or all but loopback; what is announced is where the node listens', (t) => {
  const names = Object.entries(networkInterfaces()).filter(([, all]) => all?.some(({ internal }) => internal))
  t.deepEqual(
    lanInterfaces({ loopback: true }).map(({ name }) => name),
    names.map(([name]) => name),
  )
  t.false(lanInterfaces({ loopback: false }).some(({ addresses }) => addresses.includes('127.0.0.1')))
  const eth = { name: 'eth0', addresses: ['192.0.2.7', '2001:db8::7', 'fe80::7'], subnets: [] }
  const shown = (...listening: string[]) => {
    const endpoint = endpointOn(eth, listening)
    return endpoint === null ? null : [endpoint.port, endpoint.ips.length]
  }
  t.deepEqual(shown('/ip4/0.0.0.0/tcp/4701', '/ip6/::/tcp/4701'), [4701, 2])
  t.deepEqual(shown('/ip4/0.0.0.0/tcp/4701', '/ip6/::/tcp/4702'), [4701, 1])
  t.deepEqual(shown('/ip6/::/tcp/4702'), [4702, 1])
  t.deepEqual(shown('/ip4/192.0.2.7/tcp/99/p2p/x', '/ip4/0.0.0.0/tcp/0'), [99, 1])
  t.is(shown('/ip4/127.0.0.1/tcp/4701', '/ip4/0.0.0.0/tcp/0', '/dns4/home.example/tcp/1'), null)
  t.true(listensOn(eth, ['/ip4/127.0.0.1/tcp/1', '/ip4/0.0.0.0/tcp/0']))
  t.false(listensOn(eth, ['/ip4/127.0.0.1/tcp/1', '/dns4/home.example/tcp/1']))
  t.deepEqual(endpointOn(eth, ['/ip4/192.0.2.7/tcp/1'])?.ips, [ipBytes('192.0.2.7')])
})

test('where the LAN shows a peer is tried first, and how that went is never evidence against it', async (t) => {
  const seen = ['/ip4/192.0.2.9/tcp/1']
  const announced = ['/ip4/198.51.100.1/tcp/2']
  const dial = async (outcomes: Record<string, string | undefined>, addresses: readonly string[]) => {
    const tried: string[] = []
    const connections = {
      dial: ({ addresses }: Target) => {
        const text = addresses.join()
        tried.push(text)
        const code = outcomes[text]
        // The loop under test never looks at the connection.
        return code === undefined
          ? Promise.resolve(undefined as never)
          : Promise.reject(Object.assign(new Error(code), { code }))
      },
    }
    const { signal } = new AbortController()
    const failure = await dialSeenFirst(connections, { peer: 'p', addresses }, seen, signal).then(
      () => null,
      (error: unknown) => classifyDialError(error).code,
    )
    return { tried, failure }
  }
  const both = [...seen, ...announced]
  t.deepEqual(await dial({}, both), { tried: seen, failure: null })
  t.deepEqual(await dial({ [seen.join()]: 'ECONNREFUSED' }, both), { tried: both, failure: null })
  t.deepEqual(await dial({ [seen.join()]: 'ECONNREFUSED', [announced.join()]: 'ETIMEDOUT' }, both), {
    tried: both,
    failure: 'dial-timeout',
  })
  t.deepEqual(await dial({ [seen.join()]: 'ECONNREFUSED' }, seen), { tried: seen, failure: 'dial-failed' })
})
