import { noise } from '@chainsafe/libp2p-noise'
import type { Stream } from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import test, { type ExecutionContext } from 'ava'
import { createHash, randomBytes } from 'node:crypto'
import { connect, createServer, type AddressInfo } from 'node:net'
import { SESSIONS_PER_PEER_MAX } from '../../../protocols/secure-channel/limits.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { components, dialRaw, node, reasons, side, until } from './mesh.ts'

const PROTOCOL = '/test/echo/1'

async function send(stream: Stream, bytes: Uint8Array): Promise<void> {
  if (!stream.send(bytes)) {
    await new Promise<void>((resolve, reject) => {
      stream.addEventListener('drain', () => resolve(), { once: true })
      stream.addEventListener('close', (event) => reject(event.error ?? new Error('closed')), { once: true })
    })
  }
}

function received(stream: Stream): Promise<{ hash: string; sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  return new Promise((resolve, reject) => {
    stream.addEventListener('message', (event) => {
      sizeBytes += event.data.byteLength
      hash.update(event.data.subarray())
    })
    stream.addEventListener('remoteCloseWrite', () => resolve({ hash: hash.digest('hex'), sizeBytes }))
    stream.addEventListener('close', (event) => reject(event.error ?? new Error('closed early')))
  })
}

test('two nodes carry 16 MB intact both ways, list the session, and close it in order', async (t) => {
  const [a, b] = [side(), side()]
  const [alice, bob] = await Promise.all([node(t, a), node(t, b)])
  const data = randomBytes(16 * 1024 * 1024)
  const hash = createHash('sha256').update(data).digest('hex')
  const atBob = Promise.withResolvers<{ hash: string; sizeBytes: number }>()
  await bob.handle(PROTOCOL, async (stream) => {
    received(stream).then(atBob.resolve, atBob.reject)
    for (let i = 0; i < data.length; i += 65_536) await send(stream, data.subarray(i, i + 65_536))
    await stream.close()
  })
  const connection = await alice.dial(bob.getMultiaddrs())
  t.is(connection.encryption, '/kith/abababab/ik/1')
  t.is(connection.multiplexer, '/yamux/1.0.0')
  const stream = await connection.newStream(PROTOCOL)
  const atAlice = received(stream)
  for (let i = 0; i < data.length; i += 50_000) await send(stream, data.subarray(i, i + 50_000))
  await stream.close()
  t.deepEqual(await atBob.promise, { hash, sizeBytes: data.length })
  t.deepEqual(await atAlice, { hash, sizeBytes: data.length })

  const [session] = a.init.sessions.list()
  t.like(session, {
    peerId: bob.peerId.toString(),
    suite: 'aesgcm',
    epoch: 0,
    rotatedAt: null,
    initiator: true,
  })
  t.true((session?.txBytes ?? 0) > data.length && (session?.rxBytes ?? 0) > data.length)
  t.is(b.init.sessions.forPeer(alice.peerId.toString()).length, 1)
  await connection.close()
  await until(() => b.init.sessions.list().length === 0, 'bob forgets the session')
  t.is(a.init.sessions.list().length, 0)
  t.deepEqual([reasons(a), reasons(b)], [[], []])
  t.deepEqual(a.events[0]?.fields, { direction: 'outbound', suite: 'aesgcm' })
  await Promise.all([alice.stop(), bob.stop()])
})

test('fifty members dial at once and all succeed, also in the other suite', async (t) => {
  const b = side()
  const bob = await node(t, b)
  const [address] = bob.getMultiaddrs()
  if (address === undefined) throw new Error('no address')
  const dialled = await Promise.all(
    Array.from({ length: 50 }, () => {
      const channel = secureChannel(side({ suite: 'chachapoly' }).init)(components())
      return dialRaw(t, address, channel.protocol, (raw) =>
        channel.secureOutbound(raw, { remotePeer: bob.peerId }),
      )
    }),
  )
  t.true(dialled.every(({ result }) => result.streamMuxer?.protocol === '/yamux/1.0.0'))
  await until(() => b.init.sessions.list().length === 50, 'fifty sessions')
  t.true(b.init.sessions.list().every((session) => session.suite === 'chachapoly'))
  await Promise.all(dialled.map(({ raw }) => raw.close()))
  await until(() => b.init.sessions.list().length === 0, 'no session is left')
  t.deepEqual(reasons(b), [])
})

test('one member cannot take every session of a node', async (t) => {
  const b = side()
  const bob = await node(t, b)
  const [address] = bob.getMultiaddrs()
  if (address === undefined) throw new Error('no address')
  const channel = secureChannel(side().init)(components())
  const dial = () =>
    dialRaw(t, address, channel.protocol, (raw) => channel.secureOutbound(raw, { remotePeer: bob.peerId }))
  for (let i = 0; i < SESSIONS_PER_PEER_MAX; i++) {
    await dial()
    await until(() => b.init.sessions.list().length === i + 1, 'the session')
  }
  await t.throwsAsync(dial())
  t.deepEqual(reasons(b), ['too-many-sessions-of-peer'])
})

test('an address without a peer id is refused with its reason', async (t) => {
  const [a, b] = [side(), side()]
  const [alice, bob] = await Promise.all([node(t, a), node(t, b)])
  const [address] = bob.getMultiaddrs()
  const bare = multiaddr(address?.toString().replace(/\/p2p\/.*/u, ''))
  await t.throwsAsync(alice.dial(bare))
  t.deepEqual(reasons(a), ['peer-id-required'])
  await Promise.all([alice.stop(), bob.stop()])
})

test('a node of another mesh cannot even name the protocol', async (t) => {
  const [a, b] = [side({ meshId: new Uint8Array(32).fill(1) }), side()]
  const [alice, bob] = await Promise.all([node(t, a), node(t, b)])
  await t.throwsAsync(alice.dial(bob.getMultiaddrs()))
  t.deepEqual(b.init.sessions.list(), [])
  await Promise.all([alice.stop(), bob.stop()])
})

test('a stock libp2p noise peer gets nothing, in both directions', async (t) => {
  const [a, b] = [side(), side()]
  const [stock, bob] = await Promise.all([node(t, a, [noise()]), node(t, b)])
  await t.throwsAsync(stock.dial(bob.getMultiaddrs()), { message: /negotiat|protocol/iu })
  await t.throwsAsync(bob.dial(stock.getMultiaddrs()), { message: /negotiat|protocol/iu })
  t.deepEqual(b.init.sessions.list(), [])
  await Promise.all([stock.stop(), bob.stop()])
})

test('a refused caller reads silence; a refused answerer is named at the dialler', async (t) => {
  const refuse = {
    checkPeer: () => ({ ok: false as const, code: 'certificate-missing', text: 'no certificate' }),
  }
  const strict = side(refuse)
  const open = side()
  const [strictNode, openNode] = await Promise.all([node(t, strict), node(t, open)])
  await t.throwsAsync(openNode.dial(strictNode.getMultiaddrs()))
  t.is(open.init.sessions.lastFailure(strictNode.peerId.toString())?.code, 'handshake-closed')
  t.deepEqual(reasons(strict), ['certificate-missing'])
  t.is(strict.events[0]?.peer, openNode.peerId.toString())

  await t.throwsAsync(strictNode.dial(openNode.getMultiaddrs()), { message: /no certificate/u })
  t.like(strict.init.sessions.lastFailure(openNode.peerId.toString()), {
    code: 'certificate-missing',
    text: 'no certificate',
  })
  await until(() => reasons(open).includes('confirm-missing'), 'the answerer notices')
  t.deepEqual(open.init.sessions.list(), [])
  await Promise.all([strictNode.stop(), openNode.stop()])
})

for (const [name, offsetMs] of [
  ['a day behind', -86_400_000],
  ['a day ahead', 86_400_000],
  ['in 1970', -Date.now() + 1000],
] as const) {
  test(`a member whose clock is ${name} is told by how much`, async (t) => {
    const [a, b] = [side(), side()]
    a.clock.offsetMs = offsetMs
    const [alice, bob] = await Promise.all([node(t, a), node(t, b)])
    await t.throwsAsync(alice.dial(bob.getMultiaddrs()))
    const failure = a.init.sessions.lastFailure(bob.peerId.toString())
    t.is(failure?.code, 'clock-skew')
    t.true(Math.abs((failure?.offsetMs ?? 0) + offsetMs) < 5000, `${failure?.offsetMs}`)
    t.deepEqual(reasons(b), ['clock-skew'])
    a.clock.offsetMs = 0
    await alice.dial(bob.getMultiaddrs())
    t.is(a.init.sessions.lastFailure(bob.peerId.toString()), undefined)
  })
}

/** Port of a loopback TCP address. */
function portOf(address: Multiaddr): number {
  return Number(address.getComponents().find((component) => component.name === 'tcp')?.value)
}

/** A TCP proxy that keeps what the dialler sent. */
async function recorder(
  t: ExecutionContext,
  target: Multiaddr,
): Promise<{ address: Multiaddr; sent: Buffer[] }> {
  const sent: Buffer[] = []
  const server = createServer((socket) => {
    const upstream = connect(portOf(target), '127.0.0.1')
    socket.on('data', (data) => sent.push(Buffer.from(data)))
    socket.pipe(upstream).pipe(socket)
    for (const end of [socket, upstream])
      end.on('error', () => [socket, upstream].map((one) => one.destroy()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const id = target.toString().split('/p2p/')[1]
  return { address: multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${id}`), sent }
}

/** Sends each part once the answer to the previous one is there; gives all bytes the server ever sent. */
async function replay(target: Multiaddr, parts: readonly Buffer[]): Promise<Buffer> {
  const socket = connect(portOf(target), '127.0.0.1')
  const answer: Buffer[] = []
  const closed = new Promise<void>((resolve) =>
    socket.on('close', () => resolve()).on('error', () => resolve()),
  )
  for (const [i, part] of parts.entries()) {
    socket.write(part)
    if (i < parts.length - 1)
      await new Promise<void>((resolve) =>
        socket.once('data', (data: Buffer) => resolve(void answer.push(data))),
      )
  }
  socket.on('data', (data: Buffer) => answer.push(data))
  await closed
  return Buffer.concat(answer)
}

test('recorded bytes, played again over TCP, draw no byte beyond the protocol negotiation', async (t) => {
  const b = side()
  const bob = await node(t, b)
  const [target] = bob.getMultiaddrs()
  if (target === undefined) throw new Error('no address')
  const { address, sent } = await recorder(t, target)
  const alice = await node(t, side())
  const connection = await alice.dial(address)
  await until(() => b.init.sessions.list().length === 1, 'the session opens')
  await connection.close()
  await until(() => b.init.sessions.list().length === 0, 'the recorded session ends')
  b.events.length = 0

  const bytes = Buffer.concat(sent)
  // Two multistream lines (length u8 | text), then message 1 (opening | length u16 | bytes).
  const hello = 1 + (bytes[0] ?? 0)
  const lines = hello + 1 + (bytes[hello] ?? 0)
  const first = lines + 4 + bytes.readUInt16BE(lines + 2)
  const answer = await replay(target, [
    bytes.subarray(0, hello),
    bytes.subarray(hello, lines),
    bytes.subarray(lines, first),
  ])
  t.is(answer.toString(), bytes.subarray(0, lines).toString())
  t.deepEqual(reasons(b), ['handshake-replayed'])

  const flood = await replay(target, [
    bytes.subarray(0, hello),
    bytes.subarray(hello, lines),
    bytes.subarray(lines),
  ])
  t.is(flood.toString(), bytes.subarray(0, lines).toString())
  t.deepEqual(reasons(b).slice(1), ['handshake-oversize'])
  t.is(b.init.sessions.list().length, 0)
})

test('a process that dies leaves a truncated event at the other side', async (t) => {
  const [a, b] = [side(), side()]
  const bob = await node(t, b)
  const [target] = bob.getMultiaddrs()
  if (target === undefined) throw new Error('no address')
  const channel = secureChannel(a.init)(components())
  const { raw } = await dialRaw(t, target, channel.protocol, (raw) =>
    channel.secureOutbound(raw, { remotePeer: bob.peerId }),
  )
  await until(() => b.init.sessions.list().length === 1, 'the session opens')
  raw.abort(new Error('killed'))
  await until(() => b.init.sessions.list().length === 0, 'the session ends')
  t.like(b.events.at(-1), { kind: 'session.truncated', reason: 'truncated', severity: 'notice' })
})
