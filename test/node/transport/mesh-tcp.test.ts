import { createHash, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { noise } from '@chainsafe/libp2p-noise'
import type { Connection, Stream } from '@libp2p/interface'
import test, { type ExecutionContext } from 'ava'
import type { ByteChannel } from '../../../protocols/mux/channel.ts'
import { HANDSHAKE_BURST_PER_NETWORK } from '../../../protocols/secure-channel/limits.ts'
import { encodeRawOpening } from '../../../protocols/traversal/reflect-wire.ts'
import { node, reasons, side, until } from '../../protocols/secure-channel/mesh.ts'
import { refuseDowngrades } from '../../../node/transport/compat.ts'
import { delayProxy } from './delay-proxy.ts'
import { meshNode, type TestNode } from './mesh.ts'

const PROTOCOL = '/test/1'
const ONE_WAY_MS = 30
/** More than all handshake messages together, so that the flight that carries it is known by its size. */
const MARKED_BYTES = 12_000

/** Round trips after the TCP connection stood until the first application byte left the dialler. */
async function roundTrips(
  t: ExecutionContext,
  from: { dial: TestNode['dial'] },
  to: TestNode | Awaited<ReturnType<typeof node>>,
  send: (connection: Connection) => Promise<unknown>,
): Promise<number> {
  const [target] = to.getMultiaddrs()
  if (target === undefined) throw new Error('no address')
  const proxy = await delayProxy(t, target, ONE_WAY_MS)
  await send(await from.dial(proxy.address))
  await until(() => proxy.sent.some(({ sizeBytes }) => sizeBytes > MARKED_BYTES), 'the marked bytes leave')
  return proxy.sent.find(({ sizeBytes }) => sizeBytes > MARKED_BYTES)?.answers ?? 0
}

const writeMarked = async (connection: Connection): Promise<void> => {
  const stream = await connection.newStream(PROTOCOL)
  stream.send(new Uint8Array(MARKED_BYTES * 2))
}

test('the first application byte leaves one round trip after TCP stands; stock libp2p needs three', async (t) => {
  const [alice, bob] = [await meshNode(t, side()), await meshNode(t, side())]
  await bob.handle(PROTOCOL, () => undefined)
  const ours = await roundTrips(t, alice, bob, writeMarked)
  const [stockA, stockB] = [await node(t, side(), [noise()]), await node(t, side(), [noise()])]
  await stockB.handle(PROTOCOL, () => undefined)
  const stock = await roundTrips(t, stockA, stockB, writeMarked)
  t.log(`round trips before the first application byte: ${ours}, stock XX + yamux ${stock}`)
  t.is(ours, 1)
  t.is(stock, 3)
  await Promise.all([stockA.stop(), stockB.stop()])
})

test('a channel of a service needs no negotiation either', async (t) => {
  const [alice, bob] = [await meshNode(t, side()), await meshNode(t, side())]
  bob.muxes.handle(PROTOCOL, () => undefined)
  const trips = await roundTrips(t, alice, bob, async () => {
    alice.muxes.open(bob.peerId.toString(), PROTOCOL).write(new Uint8Array(MARKED_BYTES * 2))
  })
  t.is(trips, 1)
})

/** Sends back what comes and ends when it ends. */
function echo(channel: ByteChannel): void {
  channel.use({
    onData(bytes) {
      channel.write(bytes)
      channel.consumed(bytes.length)
    },
    onEnd: () => channel.end(),
    onReset: () => undefined,
    onDrain: () => undefined,
  })
}

/** Sends `data` in pieces as the channel takes them, and gives what came back. */
function exchange(channel: ByteChannel, data: Uint8Array): Promise<Buffer> {
  const back: Uint8Array[] = []
  let at = 0
  const more = (): void => {
    while (at < data.length) {
      const piece = data.subarray(at, (at += 50_000))
      if (!channel.write(piece)) return
    }
    channel.end()
  }
  return new Promise((resolve, reject) => {
    channel.use({
      onData(bytes) {
        back.push(bytes)
        channel.consumed(bytes.length)
      },
      onEnd: () => resolve(Buffer.concat(back)),
      onReset: reject,
      onDrain: more,
    })
    more()
  })
}

test('a thousand channels at once carry their bytes both ways, and leave nothing behind', async (t) => {
  const [a, b] = [side(), side()]
  const [alice, bob] = [await meshNode(t, a), await meshNode(t, b)]
  bob.muxes.handle(PROTOCOL, echo)
  await alice.dial(bob.getMultiaddrs())
  const sent = Array.from({ length: 1000 }, (_, i) => randomBytes(1000 + 50 * i))
  const got = await Promise.all(
    sent.map((data) => exchange(alice.muxes.open(bob.peerId.toString(), PROTOCOL), data)),
  )
  t.true(got.every((data, i) => data.equals(sent[i] as Buffer)))
  t.deepEqual([reasons(a), reasons(b)], [[], []])
})

test('libp2p streams and bare channels share a connection, and its session says how it is secured', async (t) => {
  const [a, b] = [side(), side()]
  const [alice, bob] = [await meshNode(t, a), await meshNode(t, b)]
  bob.muxes.handle('/bare/1', echo)
  await bob.handle(PROTOCOL, (stream: Stream) => {
    stream.addEventListener('message', ({ data }) => void stream.send(data.subarray()))
    stream.addEventListener('remoteCloseWrite', () => void stream.close())
  })
  const connection = await alice.dial(bob.getMultiaddrs())
  t.is(connection.multiplexer, '/kith/mux/1')
  const data = randomBytes(3_000_000)
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  const viaStream = async (): Promise<string> => {
    const stream = await connection.newStream(PROTOCOL)
    const back: Uint8Array[] = []
    const done = new Promise<void>((resolve) => stream.addEventListener('remoteCloseWrite', () => resolve()))
    stream.addEventListener('message', ({ data: bytes }) => back.push(bytes.subarray()))
    for (let at = 0; at < data.length; at += 60_000) {
      if (!stream.send(data.subarray(at, at + 60_000)))
        await new Promise((resolve) => stream.addEventListener('drain', resolve, { once: true }))
    }
    await stream.close()
    await done
    return hash(Buffer.concat(back))
  }
  const [bare, stream] = await Promise.all([
    exchange(alice.muxes.open(bob.peerId.toString(), '/bare/1'), data).then(hash),
    viaStream(),
  ])
  t.deepEqual([bare, stream], [hash(data), hash(data)])
  t.like(a.init.sessions.list()[0], { peerId: bob.peerId.toString(), suite: 'aesgcm', initiator: true })
  await connection.close()
  await until(() => b.init.sessions.list().length === 0, 'the other side forgets the session')
  t.false(alice.muxes.has(bob.peerId.toString()))
  t.throws(() => alice.muxes.open(bob.peerId.toString(), PROTOCOL), { code: 'mux-closed' })
  t.deepEqual([reasons(a), reasons(b)], [[], []])
})

test('a stream of a protocol nobody serves is reset', async (t) => {
  const [alice, bob] = [await meshNode(t, side()), await meshNode(t, side())]
  const connection = await alice.dial(bob.getMultiaddrs())
  const stream = await connection.newStream('/nobody/1')
  await until(() => stream.status === 'reset', 'the reset')
  const known = await bob.peerStore.get(alice.peerId)
  t.false(known.protocols.includes('/nobody/1'), 'its name is not kept for ever')
})

test('without a multiplexer in common there is no connection, least of all one in clear', async (t) => {
  const b = side()
  const [alice, bob] = [await meshNode(t, side()), await meshNode(t, b, { withoutMux: true })]
  await t.throwsAsync(alice.dial(bob.getMultiaddrs()), { message: /multiplexer/ })
  await until(() => b.init.sessions.list().length === 0, 'no session is left')
  t.deepEqual([alice.getConnections(), bob.getConnections()], [[], []])
})

/** Connects to the mesh port and keeps what it says. */
function knock(
  of: TestNode,
  bytes: Uint8Array,
): Promise<{ socket: Socket; heard: () => number; closed: Promise<void> }> {
  const port = Number(
    of
      .getMultiaddrs()[0]
      ?.getComponents()
      .find(({ name }) => name === 'tcp')?.value,
  )
  return new Promise((resolve) => {
    let heard = 0
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes)
      resolve({ socket, heard: () => heard, closed })
    })
    socket.on('data', (data) => (heard += data.length))
    socket.on('error', () => undefined)
    const closed = new Promise<void>((done) => socket.on('close', () => done()))
  })
}

for (const [name, bytes] of [
  ['HTTP', 'GET / HTTP/1.1\r\n\r\n'],
  ['TLS', '\u0016\u0003\u0001'],
  ['libp2p', '\u0013/multistream/1.0.0\n'],
  ['our opening for a purpose that is none', 'K\u0009'],
] as const) {
  test(`a stranger that speaks ${name} hears nothing and is told of`, async (t) => {
    const b = side()
    const bob = await meshNode(t, b)
    const { heard, closed } = await knock(bob, Buffer.from(bytes, 'latin1'))
    await closed
    t.is(heard(), 0)
    const event = b.events.find(({ kind }) => kind === 'connection.refused')
    t.like(event, { reason: 'stranger-refused', severity: 'notice' })
    t.regex(String(event?.fields?.['from']), /^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/)
  })
}

test('stock libp2p is let in only where compat is on, to ping and identify and nothing else', async (t) => {
  const stock = await node(t, side(), [noise()])
  const strict = await meshNode(t, side())
  await t.throwsAsync(stock.dial(strict.getMultiaddrs()))

  const open = await meshNode(t, side(), { compat: true })
  await open.handle(PROTOCOL, () => t.fail('a stock peer reached a protocol of the mesh'))
  const connection = await stock.dial(open.getMultiaddrs())
  t.deepEqual([connection.encryption, connection.multiplexer], ['/noise', '/yamux/1.0.0'])
  const ping = await connection.newStream('/kith/abababab/ping/1.0.0')
  const answer = new Promise<Uint8Array>((resolve) =>
    ping.addEventListener('message', ({ data }) => resolve(data.subarray())),
  )
  ping.send(new Uint8Array(32).fill(7))
  t.deepEqual(Buffer.from(await answer), Buffer.alloc(32, 7))
  for (const protocol of [PROTOCOL, '/kith/abababab/kad/1']) {
    const stream = await connection.newStream(protocol)
    await until(() => stream.status === 'reset', `the reset of ${protocol}`)
  }
  // Our own diallers never negotiate, so nobody on the way can make them fall back.
  const alice = await meshNode(t, side(), { compat: true })
  t.is((await alice.dial(open.getMultiaddrs())).encryption, 'native')
  await t.throwsAsync(alice.dial(stock.getMultiaddrs()))
})

test('a member that comes in by stock Noise is cut, with an alert', async (t) => {
  const [a, b] = [side(), side()]
  const open = await meshNode(t, b, { compat: true })
  const member = await node(t, a, [noise()])
  const known = new Set([member.peerId.toString()])
  refuseDowngrades(open, (id) => known.has(id), b.init.emit)
  const connection = await member.dial(open.getMultiaddrs())
  await until(() => connection.status !== 'open', 'the cut')
  t.like(
    b.events.find(({ kind }) => kind === 'channel.downgrade'),
    { peer: member.peerId.toString(), reason: 'downgraded', severity: 'alert' },
  )
})

test('who shows a ticket costs no handshake: members of the same network are let in after any number of them', async (t) => {
  let shown = 0
  const bob = await meshNode(t, side(), {
    reflection: {
      serve(socket, _first, known) {
        shown++
        known()
        socket.destroy()
        return true
      },
    },
  })
  const opening = encodeRawOpening({ kind: 'reflection', token: new Uint8Array(16) })
  for (let i = 0; i < 2 * HANDSHAKE_BURST_PER_NETWORK; i++) {
    const { closed } = await knock(bob, opening)
    await closed
  }
  t.is(shown, 2 * HANDSHAKE_BURST_PER_NETWORK)
  const alice = await meshNode(t, side())
  t.is((await alice.dial(bob.getMultiaddrs())).status, 'open')
})

test('strangers that stall do not keep members out', async (t) => {
  const b = side()
  const [alice, bob] = [await meshNode(t, side()), await meshNode(t, b)]
  const idle = await Promise.all(Array.from({ length: 200 }, () => knock(bob, Uint8Array.of(0x4b))))
  await until(
    () => b.events.filter(({ kind }) => kind === 'connection.refused').length >= 160,
    'the oldest are cut',
  )
  const startedAt = performance.now()
  await alice.dial(bob.getMultiaddrs())
  t.log(
    `a member behind 200 stalled strangers of one address: connected after ${Math.round(performance.now() - startedAt)} ms`,
  )
  await until(() => b.init.sessions.list().length === 1, 'the session')
  const open = idle.filter(({ socket }) => !socket.destroyed).length
  t.true(open <= 32, `${open} are still open`)
  for (const { socket } of idle) socket.destroy()
})
