import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Dependence, NatBehaviour } from '../../protocols/traversal/nat.ts'

/*
 * Finds out what a NAT does, as RFC 5780 does it: two addresses with two ports each on the internet's side say what they see and
 * answer from where they are asked to. As a process:
 *   nat-tester.ts serve ADDRESS OTHER_ADDRESS   until it is ended; prints `ready`
 *   nat-tester.ts probe ADDRESS OTHER_ADDRESS   prints {"udp", "tcp", "web"} as JSON; null for a protocol that does not pass
 */

/** Two ports that are listened on, one that only calls back, and one that passes nearly everywhere. */
const PORTS = { one: 4001, two: 4002, back: 4003, web: 443 } as const
/** From where an answer is asked for. */
const FROM = { here: 0, otherPort: 1, otherAddress: 2 } as const
/** Nothing in the lab of this test delays packets by more than a few ms. */
const SILENCE_MS = 400

interface Endpoint {
  readonly address: string
  readonly port: number
}

/** Answers probes on both addresses. */
async function serve(addresses: readonly [string, string]): Promise<void> {
  const sockets = new Map<string, UdpSocket>()
  await listen(
    createServer((socket) => answer(socket, addresses)),
    {
      address: addresses[0],
      port: PORTS.web,
    },
  )
  for (const [which, address] of addresses.entries())
    for (const port of [PORTS.one, PORTS.two]) {
      const socket = createSocket('udp4')
      sockets.set(`${address}:${port}`, socket)
      socket.on('message', (message, from) => {
        const other = addresses[1 - which] ?? address
        const asked = message[0]
        const sender =
          asked === FROM.otherAddress
            ? `${other}:${PORTS.one}`
            : asked === FROM.otherPort
              ? `${address}:${PORTS.two}`
              : `${address}:${port}`
        sockets.get(sender)?.send(seen(from.address, from.port), from.port, from.address)
      })
      await new Promise<void>((done) => socket.bind(port, address, done))
      await listen(
        createServer((socket_) => answer(socket_, [address, addresses[1 - which] ?? address])),
        {
          address,
          port,
        },
      )
    }
}

/** A TCP visitor hears what is seen of it; for a byte it sends, somebody calls it back. */
function answer(socket: Socket, [address, other]: readonly [string, string]): void {
  socket.on('error', () => socket.destroy())
  const { remoteAddress = '', remotePort = 0 } = socket
  socket.write(seen(remoteAddress, remotePort))
  socket.on('data', ([asked]) => {
    const localAddress = asked === FROM.otherAddress ? other : address
    const caller = connect({ host: remoteAddress, port: remotePort, localAddress, localPort: PORTS.back })
    caller.on('connect', () => caller.end('called'))
    caller.on('error', () => caller.destroy())
    setTimeout(() => caller.destroy(), SILENCE_MS).unref()
  })
}

const seen = (address: string, port: number): string => JSON.stringify({ address, port })

function listen(server: Server, { address, port }: Endpoint): Promise<void> {
  return new Promise((done, fail) => void server.once('error', fail).listen(port, address, done))
}

/** What a tester found. `web`: TCP to port 443 passes. */
export interface Found {
  readonly udp: NatBehaviour | null
  readonly tcp: NatBehaviour | null
  readonly web: boolean
}

/** What the NAT before this host does. */
async function probe(addresses: readonly [string, string]): Promise<Found> {
  const [udp, tcp] = [await probeUdp(addresses), await probeTcp(addresses)]
  const web = await visitTcp({ address: addresses[0], port: PORTS.web }, await freePort())
  web?.socket.destroy()
  return { udp, tcp, web: web !== null }
}

/** From three outside views of one inside port: which differ, decides (RFC 5780 §4.3). */
function mappingOf([one, otherPort, otherAddress]: readonly Endpoint[]): Dependence {
  if (one?.port === otherPort?.port && one?.port === otherAddress?.port) return 'endpoint-independent'
  return one?.port === otherPort?.port ? 'address-dependent' : 'address-and-port-dependent'
}

async function probeUdp([first, second]: readonly [string, string]): Promise<NatBehaviour | null> {
  const socket = await bound()
  const { port } = socket.address()
  const views: Endpoint[] = []
  for (const [address, at] of [
    [first, PORTS.one],
    [first, PORTS.two],
    [second, PORTS.one],
  ] as const) {
    const view = await askUdp(socket, { address, port: at }, FROM.here)
    if (view === null) return (socket.close(), null)
    views.push(view)
  }
  const filtering = await filteringOf(async (from) => {
    const fresh = await bound()
    const answered = await askUdp(fresh, { address: first, port: PORTS.one }, from)
    fresh.close()
    return answered !== null
  })
  const neighbour = await bound()
  const [own] = views
  const hairpins = own !== undefined && (await arrives(socket, neighbour, own))
  socket.close()
  neighbour.close()
  return { mapping: mappingOf(views), filtering, keepsPort: own?.port === port, hairpins }
}

async function filteringOf(answers: (from: number) => Promise<boolean>): Promise<Dependence> {
  if (await answers(FROM.otherAddress)) return 'endpoint-independent'
  return (await answers(FROM.otherPort)) ? 'address-dependent' : 'address-and-port-dependent'
}

function bound(): Promise<UdpSocket> {
  const socket = createSocket('udp4')
  return new Promise((done) => socket.bind(0, () => done(socket)))
}

function askUdp(socket: UdpSocket, to: Endpoint, from: number): Promise<Endpoint | null> {
  return new Promise((done) => {
    const timer = setTimeout(() => finish(null), SILENCE_MS)
    const finish = (view: Endpoint | null): void => {
      clearTimeout(timer)
      socket.removeAllListeners('message')
      done(view)
    }
    socket.on('message', (message) => finish(JSON.parse(message.toString()) as Endpoint))
    socket.send(Uint8Array.of(from), to.port, to.address)
  })
}

/** Whether what a neighbour sends to the outside of `socket` comes in. */
function arrives(socket: UdpSocket, neighbour: UdpSocket, outside: Endpoint): Promise<boolean> {
  return new Promise((done) => {
    const timer = setTimeout(() => done(false), SILENCE_MS)
    socket.once('message', () => {
      clearTimeout(timer)
      done(true)
    })
    neighbour.send('hairpin', outside.port, outside.address)
  })
}

async function probeTcp([first, second]: readonly [string, string]): Promise<NatBehaviour | null> {
  const localPort = await freePort()
  const views: Endpoint[] = []
  const open: Socket[] = []
  for (const to of [
    { address: first, port: PORTS.one },
    { address: first, port: PORTS.two },
    { address: second, port: PORTS.one },
  ]) {
    const visit = await visitTcp(to, localPort)
    if (visit === null) return (open.forEach((socket) => socket.destroy()), null)
    views.push(visit.view)
    open.push(visit.socket)
  }
  for (const socket of open) socket.destroy()
  const filtering = await filteringOf((from) => calledBack({ address: first, port: PORTS.one }, from))
  const [own] = views
  const hairpins = await hairpinTcp({ address: first, port: PORTS.one })
  return { mapping: mappingOf(views), filtering, keepsPort: own?.port === localPort, hairpins }
}

/** Connects from a port; what the other side sees of it. */
function visitTcp(to: Endpoint, localPort: number): Promise<{ socket: Socket; view: Endpoint } | null> {
  return new Promise((done) => {
    const socket = connect({ host: to.address, port: to.port, localPort })
    const timer = setTimeout(() => {
      socket.destroy()
      done(null)
    }, SILENCE_MS)
    socket.on('error', () => undefined)
    socket.once('data', (bytes) => {
      clearTimeout(timer)
      done({ socket, view: JSON.parse(bytes.toString()) as Endpoint })
    })
  })
}

/** Connects first and listens on the same port then, which Node allows in this order only. */
async function listening(to: Endpoint): Promise<{ socket: Socket; view: Endpoint; server: Server } | null> {
  const localPort = await freePort()
  const visit = await visitTcp(to, localPort)
  if (visit === null) return null
  const server = createServer((inbound) => inbound.end())
  await listen(server, { address: '0.0.0.0', port: localPort })
  return { ...visit, server }
}

async function calledBack(to: Endpoint, from: number): Promise<boolean> {
  const place = await listening(to)
  if (place === null) return false
  const { socket, server } = place
  const called = await new Promise<boolean>((done) => {
    const timer = setTimeout(() => done(false), SILENCE_MS)
    server.once('connection', () => {
      clearTimeout(timer)
      done(true)
    })
    socket.write(Uint8Array.of(from))
  })
  socket.destroy()
  server.close()
  return called
}

async function hairpinTcp(to: Endpoint): Promise<boolean> {
  const place = await listening(to)
  if (place === null) return false
  const { socket, server, view } = place
  const reached = await new Promise<boolean>((done) => {
    const neighbour = connect({ host: view.address, port: view.port })
    const timer = setTimeout(() => end(false), SILENCE_MS)
    const end = (isReached: boolean): void => {
      clearTimeout(timer)
      neighbour.destroy()
      done(isReached)
    }
    neighbour.on('error', () => end(false))
    server.once('connection', () => end(true))
  })
  socket.destroy()
  server.close()
  return reached
}

async function freePort(): Promise<number> {
  const server = createServer()
  await listen(server, { address: '0.0.0.0', port: 0 })
  const address = server.address()
  await new Promise((done) => void server.close(done))
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return address.port
}

if (import.meta.main) {
  const [verb, ...addresses] = process.argv.slice(2)
  const [first = '', second = ''] = addresses
  if (verb === 'serve') {
    await serve([first, second])
    process.stdout.write('ready\n')
  } else process.stdout.write(`${JSON.stringify(await probe([first, second]))}\n`)
}
