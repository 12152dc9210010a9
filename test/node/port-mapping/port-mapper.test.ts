import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { MappingClient } from '../../../node/port-mapping/client.ts'
import { ASK_MS, STOP_MS } from '../../../node/port-mapping/limits.ts'
import type { Mapping } from '../../../node/port-mapping/mapping-state.ts'
import { mappingClients, PortMapper } from '../../../node/port-mapping/port-mapper.ts'
import { systemClock, systemRandom, systemTimers } from '../../../node/system-ports.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'

/*
 * Against routers that real ones in the lab are not: behind another NAT and open about it, lying, silent. They stand on loopback
 * addresses of their own.
 */

const onLinux = process.platform === 'linux' ? test : test.skip

/** A mapper whose router is `gateway`, and what came of it. */
function mapperAt(gateway: string | null, method: string) {
  const events: EventInput[] = []
  const mappings: (Mapping | null)[] = []
  const { promise: settled, resolve } = Promise.withResolvers<void>()
  const mapper = new PortMapper({
    port: 7070,
    clients: mappingClients(systemRandom).filter((client) => client.method === method),
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    gateway: () => Promise.resolve(gateway),
    emit: (event) => {
      events.push(event)
      resolve()
    },
    changed: (mapping) => void mappings.push(mapping),
  })
  return { mapper, events, mappings, settled }
}

/** A UDP server that answers as told. */
async function udp(
  t: ExecutionContext,
  address: string,
  port: number,
  answer: (bytes: Buffer) => Uint8Array | string | null,
): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.on('message', (bytes, from) => {
    const given = answer(bytes)
    if (given !== null) socket.send(given, from.port, from.address)
  })
  socket.bind(port, address)
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  return socket
}

/** NAT-PMP as RFC 6886 has it, with this address outside. */
const natPmp =
  (outside: readonly number[], asked: Buffer[] = []) =>
  (bytes: Buffer): Uint8Array => {
    asked.push(bytes)
    if (bytes[1] === 0) return Uint8Array.of(0, 128, 0, 0, 0, 0, 0, 9, ...outside)
    const ports = bytes.subarray(4, 8)
    return Uint8Array.of(0, 130, 0, 0, 0, 0, 0, 9, ...ports, ...bytes.subarray(8, 12))
  }

for (const [address, outside, code] of [
  ['127.0.77.1', [10, 0, 0, 7], 'nat-double'],
  ['127.0.77.2', [100, 70, 0, 7], 'nat-carrier'],
] as const)
  onLinux(
    `a router whose outside is ${outside.join('.')} is told from one on the internet: ${code}`,
    async (t) => {
      const asked: Buffer[] = []
      await udp(t, address, 5351, natPmp(outside, asked))
      const { mapper, events, mappings, settled } = mapperAt(address, 'nat-pmp')
      mapper.start()
      await settled
      t.is(events[0]?.reason, code)
      t.like(mapper.state(), { phase: 'waiting', gateway: address, mapping: null })
      t.deepEqual(mappings, [])
      t.is(asked.at(-1)?.readUInt32BE(8), 0, 'the useless mapping is taken back')
      await mapper.stop()
    },
  )

onLinux('what comes from another address than the router’s is not read', async (t) => {
  const stranger = await udp(t, '127.0.77.4', 5351, () => null)
  const socket = createSocket('udp4')
  socket.on('message', (bytes, from) => stranger.send(natPmp([11, 0, 0, 1])(bytes), from.port, from.address))
  socket.bind(5351, '127.0.77.3')
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  const { mapper, events, mappings, settled } = mapperAt('127.0.77.3', 'nat-pmp')
  mapper.start()
  await settled
  t.is(events[0]?.reason, 'mapping-none')
  t.deepEqual(mappings, [])
  await mapper.stop()
})

onLinux('a stop does not wait for a router that has fallen silent', async (t) => {
  let isSilent = false
  const speak = natPmp([11, 0, 0, 1])
  await udp(t, '127.0.77.5', 5351, (bytes) => (isSilent ? null : speak(bytes)))
  const { mapper, mappings, settled } = mapperAt('127.0.77.5', 'nat-pmp')
  mapper.start()
  await settled
  t.is(mapper.state().mapping?.externalPort, 7070)
  isSilent = true
  const from = performance.now()
  await mapper.stop()
  t.true(performance.now() - from < STOP_MS + 500)
  t.is(mappings.length, 2)
  t.is(mappings[1], null)
})

test('without a default gateway nobody is asked', async (t) => {
  const { mapper, events, settled } = mapperAt(null, 'pcp')
  mapper.start()
  await settled
  t.is(events[0]?.reason, 'mapping-no-gateway')
  await mapper.stop()
})

/** UPnP on an address: what it was asked, by action, and a lease or a fault for each. */
async function upnp(
  t: ExecutionContext,
  address: string,
  outside: string,
  fault: (body: string) => number | null,
) {
  const bodies: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      if (request.method === 'GET') {
        const service = 'urn:schemas-upnp-org:service:WANIPConnection:1'
        return response.end(
          `<root><service><serviceType>${service}</serviceType><controlURL>/c</controlURL></service></root>`,
        )
      }
      bodies.push(body)
      const code = fault(body)
      if (code !== null) {
        response.statusCode = 500
        return response.end(`<s:Fault><UPnPError><errorCode>${code}</errorCode></UPnPError></s:Fault>`)
      }
      return response.end(`<x><NewExternalIPAddress>${outside}</NewExternalIPAddress></x>`)
    })
  })
  server.listen(0, address)
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('a TCP server has a port')
  const url = `http://${address}:${bound.port}/root.xml`
  await udp(t, address, 1900, () => `HTTP/1.1 200 OK\r\nLOCATION: ${url}\r\n\r\n`)
  return bodies
}

onLinux('UPnP: a router that knows permanent mappings only gets one, a taken port another', async (t) => {
  const bodies = await upnp(t, '127.0.77.6', '11.0.0.1', (body) => {
    if (!body.includes('AddPortMapping')) return null
    if (body.includes('<NewExternalPort>7070<')) return 718
    return body.includes('<NewLeaseDuration>0<') ? null : 725
  })
  const { mapper, settled } = mapperAt('127.0.77.6', 'upnp')
  mapper.start()
  await settled
  const { mapping } = mapper.state()
  t.is(mapping?.method, 'upnp')
  t.true((mapping?.externalPort ?? 0) >= 20_000)
  t.true(
    bodies.some((body) => body.includes('<NewInternalClient>127.0.0.1<')),
    'this host and no other',
  )
  await mapper.stop()
  t.regex(bodies.at(-1) ?? '', new RegExp(`DeletePortMapping.*<NewExternalPort>${mapping?.externalPort}<`))
})

onLinux('UPnP: a router behind another NAT that refuses is known by its address', async (t) => {
  await upnp(t, '127.0.77.7', '192.168.100.2', (body) => (body.includes('AddPortMapping') ? 501 : null))
  const { mapper, events, settled } = mapperAt('127.0.77.7', 'upnp')
  mapper.start()
  await settled
  t.is(events[0]?.reason, 'nat-double')
  await mapper.stop()
})

onLinux(
  'UPnP: a router that answers with another protocol is left alone, and does not hold anything up',
  async (t) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
      )
    })
    server.listen(0, '127.0.77.8')
    await once(server, 'listening')
    t.teardown(() => void server.close())
    const { port } = server.address() as AddressInfo
    const location = `http://127.0.77.8:${port}/root.xml`
    await udp(t, '127.0.77.8', 1900, () => `HTTP/1.1 200 OK\r\nLOCATION: ${location}\r\n\r\n`)
    const { mapper, events, settled } = mapperAt('127.0.77.8', 'upnp')
    mapper.start()
    await settled
    t.is(events[0]?.reason, 'mapping-malformed')
    t.is(mapper.state().phase, 'waiting')
    await mapper.stop()
  },
)

test('a client that is stuck is given up after its time', async (t) => {
  const settled = Promise.withResolvers<string | undefined>()
  const stuck: MappingClient = {
    method: 'pcp',
    map: () => new Promise<never>(() => undefined),
    unmap: () => new Promise<never>(() => undefined),
  }
  const mapper = new PortMapper({
    port: 7070,
    clients: [stuck],
    clock: systemClock,
    timers: {
      ...systemTimers,
      after: (ms, action) => systemTimers.after(ms === ASK_MS ? 0 : ms, action),
    },
    random: systemRandom,
    gateway: () => Promise.resolve('127.0.77.9'),
    emit: ({ reason }) => settled.resolve(reason),
    changed: () => t.fail(),
  })
  mapper.start()
  t.is(await settled.promise, 'mapping-none')
  t.is(mapper.state().phase, 'waiting')
  await mapper.stop()
})
