import type { MessageStream } from '@libp2p/interface'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id'
import { ed25519 } from '@noble/curves/ed25519.js'
import test from 'ava'
import * as fc from 'fast-check'
import { randomBytes } from 'node:crypto'
import { concat, fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { AESGCM } from '../../../protocols/noise-ik/suite.ts'
import { CHANNEL_REASONS, type ChannelError } from '../../../protocols/secure-channel/errors.ts'
import { sendFrame } from '../../../protocols/secure-channel/frames.ts'
import { dialHandshake } from '../../../protocols/secure-channel/handshake.ts'
import { initiate } from '../../../protocols/secure-channel/machine.ts'
import { createParty } from '../../../protocols/secure-channel/party.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { SessionRegistry } from '../../../protocols/secure-channel/sessions.ts'
import {
  encodeOpening,
  encodePrologue,
  HELLO,
  WELCOME,
  type Hello,
  type Welcome,
} from '../../../protocols/secure-channel/wire.ts'
import { components, MESH_ID, rawPair, reasons, side, until, type Side } from './mesh.ts'

const keyOf = (of: Side): Uint8Array => ed25519Signer(of.seed).publicKey
const peerOf = (key: Uint8Array) => peerIdFromPublicKey(publicKeyFromRaw(key))
const channelOf = (of: Side) => secureChannel(of.init)(components())

/** Everything `stream` delivers, as bytes so far. */
function tap(stream: MessageStream): { bytes: () => Uint8Array } {
  const parts: Uint8Array[] = []
  stream.addEventListener('message', (event) => parts.push(event.data.subarray().slice()))
  return { bytes: () => concat(...parts) }
}

/** Runs the answering side against bytes made by hand; as libp2p does, the stream is aborted when it refuses. */
async function answer(
  b: Side,
  act: (dialling: MessageStream, heard: { bytes: () => Uint8Array }) => void | Promise<void>,
): Promise<{ code: string; heard: Uint8Array }> {
  const [dialling, answering] = rawPair()
  const heard = tap(dialling)
  const secured = channelOf(b).secureInbound(answering, { signal: AbortSignal.timeout(2000) })
  const refused = secured.then(
    () => 'accepted',
    (error: Error) => ('code' in error ? String(error.code) : error.message),
  )
  await act(dialling, heard)
  const code = await refused
  if (code !== 'accepted') answering.abort(new Error('refused'))
  return { code, heard: heard.bytes() }
}

const NOTHING = new Uint8Array(0)
const MEMBER = encodeOpening('member')
const offer = { muxers: [], credentials: NOTHING }

test('every reason has a summary', (t) => {
  for (const [code, reason] of Object.entries(CHANNEL_REASONS)) {
    t.regex(code, /^[a-z]+(-[a-z]+)*$/u)
    t.true(reason.summary.endsWith('.'), code)
  }
})

test('golden prologue', (t) => {
  const prologue = {
    protocol: '/kith/abababab/ik/1',
    suite: 1,
    purpose: 'member',
    meshId: MESH_ID,
    responderKey: new Uint8Array(32).fill(5),
  } as const
  t.is(
    toHex(encodePrologue(prologue)),
    `13${Buffer.from(prologue.protocol).toString('hex')}0101${'ab'.repeat(32)}${'05'.repeat(32)}`,
  )
})

const HELLO_GOLDEN: Hello = {
  version: 1,
  key: new Uint8Array(32).fill(2),
  timeMs: 1_800_000_000_000,
  muxers: ['/yamux/1.0.0'],
  credentials: fromHex('c0ffee'),
}
const WELCOME_GOLDEN: Welcome = {
  version: 1,
  status: 1,
  timeMs: 1_800_000_000_000,
  muxer: null,
  credentials: NOTHING,
}

test('golden handshake payloads', (t) => {
  t.is(
    toHex(HELLO.encode(HELLO_GOLDEN)),
    `85015820${'02'.repeat(32)}1b000001a3185c5000816c2f79616d75782f312e302e3043c0ffee`,
  )
  t.is(toHex(WELCOME.encode(WELCOME_GOLDEN)), '8501011b000001a3185c5000f640')
})

test('handshake payloads survive a round trip; arbitrary and changed bytes are malformed', (t) => {
  const bytes = fc.uint8Array({ maxLength: 4096 })
  const time = fc.maxSafeNat()
  const name = fc.string({ maxLength: 64, unit: 'grapheme-ascii' })
  const hello = fc.record({
    version: fc.constant(1 as const),
    key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    timeMs: time,
    muxers: fc.array(name, { maxLength: 8 }),
    credentials: bytes,
  })
  const welcome = fc.record({
    version: fc.constant(1 as const),
    status: fc.nat(9),
    timeMs: time,
    muxer: fc.option(name),
    credentials: bytes,
  })
  fc.assert(
    fc.property(hello, (value) => t.deepEqual(HELLO.decode(HELLO.encode(value)), value)),
    { numRuns: 50 },
  )
  fc.assert(
    fc.property(welcome, (value) => t.deepEqual(WELCOME.decode(WELCOME.encode(value)), value)),
    { numRuns: 50 },
  )
  for (const [format, golden] of [
    [HELLO, HELLO.encode(HELLO_GOLDEN)],
    [WELCOME, WELCOME.encode(WELCOME_GOLDEN)],
  ] as const) {
    const onlyMalformed = (input: Uint8Array): void => {
      try {
        t.deepEqual(format.encode(format.decode(input) as never), input)
      } catch (error) {
        t.true(error instanceof MalformedError)
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), onlyMalformed), { numRuns: 300 })
    fc.assert(
      fc.property(fc.nat(golden.length - 1), fc.nat(255), (at, value) =>
        onlyMalformed(golden.with(at, value)),
      ),
      { numRuns: 300 },
    )
    t.throws(() => format.decode(new Uint8Array(6000)), { instanceOf: MalformedError })
  }
})

test('both sides learn the other identity and credentials before anything is sent', async (t) => {
  const seen: string[] = []
  const remember = (name: string) => ({
    credentials: () => new TextEncoder().encode(`of ${name}`),
    checkPeer: (peer: { id: string; credentials: Uint8Array }) => {
      seen.push(`${name} sees ${peer.id} ${new TextDecoder().decode(peer.credentials)}`)
      return { ok: true as const }
    },
  })
  const [a, b] = [side(remember('a')), side(remember('b'))]
  const [dialling, answering] = rawPair()
  const [out, inward] = await Promise.all([
    channelOf(a).secureOutbound(dialling, { remotePeer: peerOf(keyOf(b)) }),
    channelOf(b).secureInbound(answering),
  ])
  const [idA, idB] = [peerOf(keyOf(a)).toString(), peerOf(keyOf(b)).toString()]
  t.deepEqual(seen.sort(), [`a sees ${idB} of b`, `b sees ${idA} of a`])
  t.is(out.remotePeer.toString(), idB)
  t.is(inward.remotePeer.toString(), idA)
  t.is(out.streamMuxer?.protocol, '/yamux/1.0.0')
  t.is(inward.streamMuxer?.protocol, '/yamux/1.0.0')
})

test('the muxer is left to libp2p when it asks for that', async (t) => {
  const [a, b] = [side(), side()]
  const [dialling, answering] = rawPair()
  const [out, inward] = await Promise.all([
    channelOf(a).secureOutbound(dialling, { remotePeer: peerOf(keyOf(b)), skipStreamMuxerNegotiation: true }),
    channelOf(b).secureInbound(answering),
  ])
  t.is(out.streamMuxer, undefined)
  t.is(inward.streamMuxer, undefined)
})

test('dialling the negation of a key, which has the same X25519 key, does not reach its owner', async (t) => {
  const [a, b] = [side(), side()]
  const alias = keyOf(b).slice()
  alias[31] = (alias[31] ?? 0) ^ 0x80
  t.deepEqual(ed25519.utils.toMontgomery(alias), ed25519.utils.toMontgomery(keyOf(b)))
  const [dialling, answering] = rawPair()
  const dialled = t.throwsAsync(channelOf(a).secureOutbound(dialling, { remotePeer: peerOf(alias) }), {
    code: 'handshake-closed',
  })
  await t.throwsAsync(channelOf(b).secureInbound(answering), { code: 'decrypt-failed' })
  answering.abort(new Error('refused'))
  await dialled
  t.like(a.init.sessions.lastFailure(peerOf(alias).toString()), { code: 'handshake-closed' })
})

const FORGERIES: [string, (a: Side, b: Side) => Uint8Array, string][] = [
  [
    'claims the identity of another',
    (a, b) =>
      initiate({ ...createParty(a.init, 'member'), publicKey: keyOf(side()) }, AESGCM, keyOf(b), offer)
        .message,
    'identity-mismatch',
  ],
  [
    'claims an identity of small order',
    (a, b) =>
      initiate(
        { ...createParty(a.init, 'member'), publicKey: Uint8Array.of(1, ...new Uint8Array(31)) },
        AESGCM,
        keyOf(b),
        offer,
      ).message,
    'identity-key-invalid',
  ],
  [
    'is of another mesh',
    (a, b) =>
      initiate(createParty({ ...a.init, meshId: new Uint8Array(32) }, 'member'), AESGCM, keyOf(b), offer)
        .message,
    'decrypt-failed',
  ],
  [
    'is for another node',
    (a) => initiate(createParty(a.init, 'member'), AESGCM, keyOf(side()), offer).message,
    'decrypt-failed',
  ],
  [
    'is a join',
    (a, b) => initiate(createParty(a.init, 'join'), AESGCM, keyOf(b), offer).message,
    'decrypt-failed',
  ],
  [
    'names the other suite than it is in',
    (a, b) => initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer).message.with(0, 2),
    'decrypt-failed',
  ],
  [
    'names an unknown suite',
    (a, b) => initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer).message.with(0, 9),
    'suite-unsupported',
  ],
  ['is empty', () => NOTHING, 'suite-unsupported'],
  ['has a low-order ephemeral key', () => concat(Uint8Array.of(1), new Uint8Array(150)), 'low-order-key'],
  [
    'is cut',
    (a, b) => initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer).message.subarray(0, 60),
    'message-length',
  ],
  ['is random', () => concat(Uint8Array.of(1), randomBytes(300)), 'decrypt-failed'],
  [
    'has a changed payload',
    (a, b) => {
      const { message } = initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer)
      return message.with(message.length - 1, (message.at(-1) ?? 0) ^ 1)
    },
    'decrypt-failed',
  ],
]

for (const [name, forge, code] of FORGERIES) {
  test(`a first message that ${name} draws no byte and an event`, async (t) => {
    const [a, b] = [side(), side()]
    const result = await answer(b, (dialling) => sendFrame(dialling, forge(a, b), MEMBER))
    t.deepEqual(result, { code, heard: NOTHING })
    t.like(b.events[0], { kind: 'handshake.failed', reason: code, fields: { direction: 'inbound' } })
    t.true(code in CHANNEL_REASONS)
    t.deepEqual(b.init.sessions.list(), [])
  })
}

test('a first message that is too long, or followed by more, is refused before it is read', async (t) => {
  const [a, b] = [side(), side()]
  const { message } = initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer)
  const long = await answer(
    b,
    (dialling) => void dialling.send(concat(MEMBER, Uint8Array.of(0x20, 0x01), new Uint8Array(10))),
  )
  t.is(long.code, 'handshake-oversize')
  const flood = await answer(
    b,
    (dialling) => void dialling.send(concat(MEMBER, Uint8Array.of(0x20, 0), new Uint8Array(8193))),
  )
  t.is(flood.code, 'handshake-oversize')
  const trailing = await answer(
    b,
    (dialling) =>
      void dialling.send(
        concat(MEMBER, Uint8Array.of(message.length >> 8, message.length & 255), message, Uint8Array.of(0)),
      ),
  )
  t.deepEqual(trailing, { code: 'handshake-oversize', heard: NOTHING })
})

test('a first message in single bytes is as good as in one piece', async (t) => {
  const [a, b] = [side(), side()]
  const { message } = initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer)
  const result = await answer(b, async (dialling, heard) => {
    for (const byte of concat(MEMBER, Uint8Array.of(message.length >> 8, message.length & 255), message))
      dialling.send(Uint8Array.of(byte))
    await until(() => heard.bytes().length > 70, 'message 2')
    dialling.abort(new Error('no confirmation follows'))
  })
  t.is(result.code, 'confirm-missing')
  t.true(result.heard.length > 70)
})

test('the same first message in a second connection draws nothing', async (t) => {
  const [a, b] = [side(), side()]
  const { message } = initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer)
  const channel = channelOf(b)
  const codes: string[] = []
  for (let i = 0; i < 2; i++) {
    const [dialling, answering] = rawPair()
    const heard = tap(dialling)
    const secured = channel
      .secureInbound(answering)
      .catch((error: ChannelError) => codes.push(`${error.code} ${heard.bytes().length > 0}`))
    sendFrame(dialling, message, MEMBER)
    await until(() => heard.bytes().length > 0 || codes.length > i, 'an answer or a refusal')
    dialling.abort(new Error('done'))
    await secured
  }
  t.deepEqual(codes, ['confirm-missing true', 'handshake-replayed false'])
})

test('a handshake that is not answered, or not confirmed, ends with the signal', async (t) => {
  const [a, b] = [side(), side()]
  const stop = new AbortController()
  const waiting = channelOf(a).secureOutbound(rawPair()[0], {
    remotePeer: peerOf(keyOf(b)),
    signal: stop.signal,
  })
  const [dialling, answering] = rawPair()
  const inbound = channelOf(b).secureInbound(answering, { signal: stop.signal })
  const heard = tap(dialling)
  sendFrame(dialling, initiate(createParty(a.init, 'member'), AESGCM, keyOf(b), offer).message, MEMBER)
  await until(() => heard.bytes().length > 0, 'message 2')
  stop.abort()
  await t.throwsAsync(waiting, { code: 'handshake-timeout' })
  await t.throwsAsync(inbound, { code: 'confirm-missing' })
  await t.throwsAsync(channelOf(b).secureInbound(rawPair()[1], { signal: stop.signal }), {
    code: 'handshake-timeout',
  })
})

for (const [name, change, code] of [
  ['data before CONFIRM', 'data', 'record-order'],
  ['a CLOSE before CONFIRM', 'close', 'record-order'],
] as const) {
  test(`${name} is refused`, async (t) => {
    const [a, b] = [side(), side()]
    const [dialling, answering] = rawPair()
    const inbound = t.throwsAsync(channelOf(b).secureInbound(answering), { code })
    const { writer } = await dialHandshake(
      dialling,
      createParty(a.init, 'member'),
      { ...offer, suite: AESGCM, responderKey: keyOf(b) },
      undefined,
    )
    dialling.send(concat(...writer.seal(change, [])))
    await inbound
    t.deepEqual([reasons(b), b.init.sessions.list()], [[code], []])
  })
}

test('a full registry refuses sessions on both sides', async (t) => {
  const b = side({ sessions: new SessionRegistry({ sessionsMax: 0, failuresMax: 1 }) })
  await t.throwsAsync(channelOf(b).secureInbound(rawPair()[1]), { code: 'too-many-sessions' })
  await t.throwsAsync(channelOf(b).secureOutbound(rawPair()[0], { remotePeer: peerOf(keyOf(side())) }), {
    code: 'too-many-sessions',
  })
})

test('failures of dialled peers are kept up to the limit, the newest ones', (t) => {
  const registry = new SessionRegistry({ sessionsMax: 1, failuresMax: 2 })
  for (const id of ['a', 'b', 'a', 'c']) registry.recordFailure(id, { code: 'truncated', text: id, at: 1 })
  t.deepEqual(
    ['a', 'b', 'c'].map((id) => registry.lastFailure(id)?.text),
    ['a', undefined, 'c'],
  )
})

test('only Ed25519 peer ids can be dialled, and none of small order', async (t) => {
  const a = side()
  const rsa = peerIdFromString('QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC')
  await t.throwsAsync(channelOf(a).secureOutbound(rawPair()[0], { remotePeer: rsa }), {
    code: 'peer-id-unsupported',
  })
  const small = peerOf(Uint8Array.of(1, ...new Uint8Array(31)))
  await t.throwsAsync(channelOf(a).secureOutbound(rawPair()[0], { remotePeer: small }), {
    code: 'identity-key-invalid',
  })
  t.deepEqual(reasons(a), ['peer-id-unsupported', 'identity-key-invalid'])
})

/** A session whose dialling end may change what it sends. */
async function session(change: (wire: Uint8Array) => Uint8Array[]) {
  const [a, b] = [side(), side()]
  const [dialling, answering] = rawPair()
  const [out, inward] = await Promise.all([
    channelOf(a).secureOutbound(dialling, { remotePeer: peerOf(keyOf(b)) }),
    channelOf(b).secureInbound(answering),
  ])
  const send = dialling.send.bind(dialling)
  dialling.send = (data) => change(data.subarray()).every((part) => send(part))
  const heard = tap(inward.connection)
  return { a, b, out: out.connection, inward: inward.connection, heard, dialling, answering }
}

test('what is sent arrives, small sends in one record, and closing is told', async (t) => {
  let records = 0
  const { b, out, heard, dialling } = await session((wire) => {
    records++
    return [wire]
  })
  for (let i = 0; i < 100; i++) out.send(Uint8Array.of(i))
  await until(() => heard.bytes().length === 100, 'all bytes')
  t.deepEqual(
    [...heard.bytes()],
    Array.from({ length: 100 }, (_, i) => i),
  )
  t.is(records, 1)
  await dialling.close()
  await until(() => b.init.sessions.list().length === 0, 'the end of the session')
  t.is(records, 2)
  t.deepEqual(reasons(b), [])
})

test('a record changed on the way ends the session with an alert and delivers nothing', async (t) => {
  for (const at of [0, 1, 4, 8, 15, 16, 30, 36]) {
    const { b, out, inward, heard } = await session((wire) => [wire.with(at, (wire[at] ?? 0) ^ 0x10)])
    out.send(new TextEncoder().encode('twenty-one bytes long'))
    out.send(new Uint8Array(0))
    await until(() => inward.status !== 'open' || at === 1, `the end, byte ${at}`)
    if (at === 1) continue // a length that grew: the record never completes
    t.is(heard.bytes().length, 0)
    t.like(b.events.at(-1), { kind: 'session.failed', severity: 'alert' }, `byte ${at}`)
    t.deepEqual(b.init.sessions.list(), [])
  }
})

for (const [name, change, code] of [
  ['repeated', (wire: Uint8Array) => [wire, wire], 'record-counter'],
  [
    'dropped',
    (() => {
      let n = 0
      return (wire: Uint8Array) => (n++ === 0 ? [] : [wire])
    })(),
    'record-counter',
  ],
  [
    'reordered',
    (() => {
      let held: Uint8Array | undefined
      return (wire: Uint8Array) => {
        if (held === undefined) {
          held = wire
          return []
        }
        return [wire, held]
      }
    })(),
    'record-counter',
  ],
] as const) {
  test(`a ${name} record ends the session`, async (t) => {
    const { b, out, inward } = await session(change)
    out.send(Uint8Array.of(1))
    await new Promise((resolve) => setImmediate(resolve))
    if (out.status === 'open') out.send(Uint8Array.of(2))
    await until(() => inward.status !== 'open', 'the end')
    t.deepEqual(reasons(b), [code])
  })
}

test('a stream cut in the middle of a record is told as truncated', async (t) => {
  const { b, out, dialling, answering } = await session((wire) => [wire.subarray(0, 20)])
  out.send(new Uint8Array(100))
  await until(() => answering.readBufferLength === 0, 'arrival')
  await new Promise((resolve) => setTimeout(resolve, 20))
  dialling.abort(new Error('cut'))
  await until(() => b.events.at(-1)?.kind === 'session.truncated', 'the event')
  t.regex(b.events.at(-1)?.text ?? '', /middle of a record/u)
})
