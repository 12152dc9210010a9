import { multiaddr } from '@multiformats/multiaddr'
import test, { type ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { dialExchange } from '../../../node/transport/join-dial.ts'
import { concat, equalBytes } from '../../../protocols/common/bytes.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { ChannelError } from '../../../protocols/secure-channel/errors.ts'
import {
  exchangeDoor,
  JoinDoor,
  requestOverChannel,
  serveExchange,
  type ExchangeHandler,
  type ExchangeInit,
} from '../../../protocols/secure-channel/exchange.ts'
import { readOpening } from '../../../protocols/secure-channel/frames.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { meshNode } from '../../node/transport/mesh.ts'
import { rawPair, reasons, side, until, type Side } from './mesh.ts'

async function door(t: ExecutionContext, of: Side, handler: ExchangeHandler) {
  const libp2p = await meshNode(t, of, { door: new JoinDoor(of.init, handler) })
  const [address] = libp2p.getMultiaddrs()
  if (address === undefined) throw new Error('no address')
  return { libp2p, address }
}

function joiner(overrides: Partial<Side['init']> = {}): ExchangeInit & { of: Side } {
  const of = side(overrides)
  return { ...of.init, of }
}

const fiveSeconds = (): AbortSignal => AbortSignal.timeout(5000)

test('a joiner gets the whole reply through a listening node, which never sees a connection', async (t) => {
  const b = side()
  const seen: Uint8Array[] = []
  const { libp2p, address } = await door(t, b, async (request, joinerKey) => {
    seen.push(request, joinerKey)
    return new Uint8Array(16 * 1024).fill(request[0] ?? 0)
  })
  let opened = 0
  libp2p.addEventListener('connection:open', () => opened++)
  const me = joiner()
  const request = new Uint8Array(8 * 1024).fill(42)
  const reply = await dialExchange(address, me, request, fiveSeconds())
  t.is(Buffer.compare(reply, new Uint8Array(16 * 1024).fill(42)), 0)
  t.true(equalBytes(seen[0] ?? new Uint8Array(0), request))
  t.true(equalBytes(seen[1] ?? new Uint8Array(0), ed25519Signer(me.seed).publicKey))
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, i) => dialExchange(address, joiner(), Uint8Array.of(i), fiveSeconds())),
  )
  t.deepEqual(
    replies.map((bytes) => bytes[0]),
    Array.from({ length: 20 }, (_, i) => i),
  )
  t.deepEqual([opened, libp2p.getConnections().length, reasons(b).length], [0, 0, 0])
})

test('a handler that waits for another node longer than a turn is waited for', async (t) => {
  const release = Promise.withResolvers<void>()
  const { address } = await door(t, side(), async (request) => {
    await release.promise
    return request
  })
  const reply = dialExchange(address, joiner(), Uint8Array.of(7), fiveSeconds())
  await new Promise((resolve) => setImmediate(resolve))
  release.resolve()
  t.deepEqual(await reply, Uint8Array.of(7))
})

test('a joiner with a wrong clock, mesh, door or address gets the reason', async (t) => {
  const b = side()
  const { address } = await door(t, b, async (request) => request)
  const late = joiner()
  late.of.clock.offsetMs = -3_600_000
  const skew = await t.throwsAsync(dialExchange(address, late, new Uint8Array(1), fiveSeconds()), {
    code: 'clock-skew',
  })
  t.true(skew instanceof ChannelError && Math.abs((skew.offsetMs ?? 0) - 3_600_000) < 5000)

  const stranger = joiner({ meshId: new Uint8Array(32).fill(9) })
  await t.throwsAsync(dialExchange(address, stranger, new Uint8Array(1), fiveSeconds()), {
    code: 'handshake-closed',
  })

  const other = address
    .toString()
    .replace(/\/p2p\/.*/u, '/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5')
  await t.throwsAsync(dialExchange(multiaddr(other), joiner(), new Uint8Array(1), fiveSeconds()), {
    code: 'handshake-closed',
  })
  t.true(reasons(b).includes('decrypt-failed'))

  const bare = address.toString().replace(/\/p2p\/.*/u, '')
  await t.throwsAsync(dialExchange(multiaddr(bare), joiner(), new Uint8Array(1), fiveSeconds()), {
    code: 'peer-id-required',
  })
  const rsa = `${bare}/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC`
  await t.throwsAsync(dialExchange(multiaddr(rsa), joiner(), new Uint8Array(1), fiveSeconds()), {
    code: 'peer-id-unsupported',
  })
  const closed = multiaddr(`/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5`)
  await t.throwsAsync(dialExchange(closed, joiner(), new Uint8Array(1), fiveSeconds()), {
    code: 'door-unreachable',
  })
})

test('a handler that fails leaves the joiner without a reply and an event at the door', async (t) => {
  const b = side()
  const { address } = await door(t, b, () =>
    Promise.reject(new ChannelError('exchange-protocol', 'nonsense')),
  )
  await t.throwsAsync(dialExchange(address, joiner(), new Uint8Array(1), fiveSeconds()), {
    code: 'handshake-closed',
  })
  await until(() => reasons(b).includes('exchange-protocol'), 'the door tells')
})

test('a member handshake is noise to the door, and a join to the member channel', async (t) => {
  const [a, b] = [side(), side()]
  const [dialling, answering] = rawPair()
  const key = ed25519Signer(b.seed).publicKey
  const refused = t.throwsAsync(
    secureChannel(b.init)({ upgrader: { getStreamMuxers: () => new Map() } }).secureInbound(answering),
  )
  const asked = t.throwsAsync(requestOverChannel(dialling, a.init, key, new Uint8Array(1), fiveSeconds()))
  await refused
  answering.abort(new Error('as libp2p does'))
  await asked
  t.deepEqual(reasons(b), ['stranger-refused'])
})

test('a request above the limit is refused by the door before it is buffered', async (t) => {
  const b = side()
  const [dialling, answering] = rawPair()
  const key = ed25519Signer(b.seed).publicKey
  const served = t.throwsAsync(
    readOpening(answering, undefined).then(({ message }) =>
      serveExchange(answering, exchangeDoor(b.init), message, async (request) => request, fiveSeconds()),
    ),
    { code: 'record-length' },
  )
  const { dialHandshake } = await import('../../../protocols/secure-channel/handshake.ts')
  const { createParty } = await import('../../../protocols/secure-channel/party.ts')
  const { AESGCM } = await import('../../../protocols/noise-ik/suite.ts')
  const offer = { suite: AESGCM, responderKey: key, muxers: [], credentials: new Uint8Array(0) }
  const { writer } = await dialHandshake(dialling, createParty(side().init, 'join'), offer, fiveSeconds())
  dialling.send(concat(...writer.seal('confirm', [])))
  dialling.send(concat(...writer.seal('data', [randomBytes(8 * 1024 + 1)])))
  await served
})
