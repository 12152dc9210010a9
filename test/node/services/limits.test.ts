import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import test from 'ava'
import { DEFAULT_CONFIG } from '../../../node/config/schema.ts'
import { FORWARD_CONNECTIONS_MAX, openForward } from '../../../node/services/forward.ts'
import { HEAD_BYTES_MAX } from '../../../node/services/gateway/gateway.ts'
import {
  CONNECTIONS_PER_LISTENER_MAX,
  openServiceListeners,
  SERVICE_LISTENERS_MAX,
} from '../../../node/services/listeners.ts'
import { GATEWAY_CONNECTIONS_MAX, startLocal } from '../../../node/services/local.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import type { Directory, ServiceEntry } from '../../../protocols/naming/directory.ts'
import { listening, makeWorld } from './world.ts'

/** The server that takes the connections to a port; found by one connection, which stays. */
async function serverOf(port: number, host: string): Promise<{ server: Server; first: Socket }> {
  const found = Promise.withResolvers<Server>()
  const onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket & { _server: Server } }
    if (socket.localPort === port && socket.localAddress === host) found.resolve(socket._server) // node:http puts its own into `server`
  }
  subscribe('net.server.socket', onSocket)
  const first = connect(port, host)
  first.on('error', () => undefined)
  const server = await found.promise
  unsubscribe('net.server.socket', onSocket)
  return { server, first }
}

/** Resolves when a connection was closed without having been served. */
async function refused(port: number, host: string): Promise<void> {
  const socket = connect(port, host)
  socket.on('error', () => undefined) // `close` tells
  await once(socket.resume(), 'close')
}

/**
 * With the limit of a listener brought down to the one connection that is open, another is closed.
 * @returns what the limit was.
 */
async function limitOf(port: number, host: string): Promise<number> {
  const { server, first } = await serverOf(port, host)
  const limit = server.maxConnections
  server.maxConnections = 1
  await refused(port, host)
  first.destroy()
  return limit
}

test('a forward at its limit closes a connection more and says so', async (t) => {
  const world = await makeWorld()
  const target = createServer((socket) => socket.on('error', () => undefined))
  await world.publish({ name: 'wiki', target: `tcp://127.0.0.1:${await listening(target)}` })
  const stop = new AbortController()
  const failures: Error[] = []
  const { address, port } = await openForward(
    world.reach,
    world.reach.find('wiki'),
    0,
    (error) => failures.push(error),
    stop.signal,
  )
  t.is(await limitOf(port, address), FORWARD_CONNECTIONS_MAX)
  t.like(failures[0], { code: 'too-many-streams' })
  stop.abort()
  world.close()
  target.close()
})

test('the gateway at its limit on one address closes a connection more and says so, the others go on', async (t) => {
  const world = await makeWorld()
  const events: EventInput[] = []
  const local = await startLocal({
    reach: world.reach,
    nodeId: 'pc',
    domain: 'home.internal',
    localLabel: 'abcd1234',
    config: { ...DEFAULT_CONFIG, dns: { port: 0 }, gateway: { port: 0, address: '127.0.0.2' } },
    answer: () => t.fail(),
    emit: (event) => events.push(event),
  })
  t.is(await limitOf(local.gatewayPort, '127.0.0.1'), GATEWAY_CONNECTIONS_MAX)
  t.like(events, { length: 1, 0: { kind: 'gateway.failed', reason: 'too-many-streams' } })
  const { first } = await serverOf(local.gatewayPort, '127.0.0.2')
  first.end('GET / HTTP/1.1\r\nHost: ghost.home.internal\r\n\r\n')
  t.regex(String((await once(first, 'data'))[0]), /^HTTP\/1\.1 4/)
  first.destroy()
  await local.stop()
  world.close()
})

test('a head the gateway reads is so long and no longer', async (t) => {
  const world = await makeWorld()
  const statusOf = async (sizeBytes: number): Promise<string> => {
    const socket = connect(world.gatewayPort, '127.0.0.1')
    socket.on('error', () => undefined) // a head that is refused is not read to its end
    const head = 'GET / HTTP/1.1\r\nHost: ghost.home.internal\r\nCookie: '
    socket.write(`${head.padEnd(sizeBytes - 4, 'x')}\r\n\r\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return answer.toString('latin1').slice(9, 12)
  }
  t.is(await statusOf(HEAD_BYTES_MAX - 100), '404')
  t.is(await statusOf(HEAD_BYTES_MAX + 100), '431')
  world.close()
})

function directoryOf(count: number, port: number): Directory {
  const services = Array.from({ length: count }, (_, n) => ({
    name: `s${n}`,
    proto: 'tcp' as const,
    port,
    healthy: true,
    allow: [],
    crossSite: false,
    publishedAt: 1,
  }))
  const key = new Uint8Array(32)
  const provider = { id: 'nas', key, name: 'nas', state: 'alive' as const, addresses: [], services }
  const entries = services.map((service): [string, ServiceEntry] => [service.name, { service, provider }])
  return { services: new Map(entries), nodes: new Map(), clashes: [] }
}

test('so many services are listened for, each with so many connections; of more the gateway port stays', async (t) => {
  const events: EventInput[] = []
  const listeners = openServiceListeners({
    nodeId: 'pc',
    gatewayPort: 4743,
    extraHttpPorts: [],
    hasOwnAddresses: true,
    accept: (connection) => connection.on('error', () => undefined),
    emit: (event) => events.push(event),
  })
  const port = 65_534
  const all = directoryOf(SERVICE_LISTENERS_MAX + 1, port)
  await listeners.update(directoryOf(SERVICE_LISTENERS_MAX, port))
  t.deepEqual(events, [])
  await listeners.update(all)
  await listeners.update(all)
  t.like(events, { length: 1, 0: { kind: 'service.not-listening' } }, 'said once')
  const last = `s${SERVICE_LISTENERS_MAX}`
  t.not(listeners.endpoint(`s${SERVICE_LISTENERS_MAX - 1}`), undefined)
  t.is(listeners.endpoint(last), undefined)
  const { address } = listeners.endpoint('s0') ?? { address: '' }
  t.is(await limitOf(port, address), CONNECTIONS_PER_LISTENER_MAX)
  t.like(events.at(-1), { kind: 'service.failed', reason: 'too-many-streams', fields: { service: 's0' } })
  const fewer = new Map([...all.services].filter(([name]) => name !== 's0'))
  await listeners.update({ ...all, services: fewer })
  t.not(listeners.endpoint(last), undefined, 'there is a place again')
  await listeners.close()
})
