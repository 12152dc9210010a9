import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { StreamMuxerFactory } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { yamux } from '@libp2p/yamux'
import test from 'ava'
import { encode } from 'cborg'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import type { ChannelError } from '../../../protocols/secure-channel/errors.ts'
import { JoinDoor } from '../../../protocols/secure-channel/exchange.ts'
import { HalfOpenConnections } from '../../../protocols/secure-channel/half-open.ts'
import {
  CREDENTIALS_MAX_BYTES,
  FAILURES_MAX,
  HALF_OPEN_MAX,
  HALF_OPEN_PER_ADDRESS_MAX,
  MUXER_NAME_MAX,
  MUXERS_MAX,
  PENDING_JOINS_MAX,
  SESSIONS_MAX,
  SESSIONS_PER_PEER_MAX,
} from '../../../protocols/secure-channel/limits.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { SessionRegistry, type ListedSession } from '../../../protocols/secure-channel/sessions.ts'
import { HELLO, WELCOME } from '../../../protocols/secure-channel/wire.ts'
import { rawPair, reasons, side, type Side } from './mesh.ts'

const name = 'm'.repeat(MUXER_NAME_MAX)
const names = Array.from({ length: MUXERS_MAX }, () => name)
const credentials = new Uint8Array(CREDENTIALS_MAX_BYTES)
const hello = [1, new Uint8Array(32), Number.MAX_SAFE_INTEGER, names, credentials]
const welcome = [1, 0, Number.MAX_SAFE_INTEGER, name, credentials]

test('the largest hello and welcome decode; one more of anything is malformed', (t) => {
  t.is(HELLO.decode(encode(hello)).muxers.length, MUXERS_MAX)
  t.is(WELCOME.decode(encode(welcome)).muxer, name)
  const longer = new Uint8Array(CREDENTIALS_MAX_BYTES + 1)
  for (const [format, values] of [
    [HELLO, hello.with(3, [...names, ''])],
    [HELLO, hello.with(3, [`${name}m`])],
    [HELLO, hello.with(4, longer)],
    [WELCOME, welcome.with(3, `${name}m`)],
    [WELCOME, welcome.with(4, longer)],
  ] as const)
    t.throws(() => format.decode(encode(values)), {
      instanceOf: MalformedError,
      message: /Too big|more than/u,
    })
})

/** What libp2p hands to a channel, with these muxers. */
function muxers(...called: readonly string[]): never {
  const known = new Map<string, StreamMuxerFactory>(called.map((each) => [each, yamux()()]))
  return { upgrader: { getStreamMuxers: () => known } } as never
}

for (const [which, index, isChosen] of [
  ['the last that fits is offered', MUXERS_MAX - 1, true],
  ['one more is left out of the offer', MUXERS_MAX, false],
] as const) {
  test(`a node with too many muxers offers the first of them: ${which}`, async (t) => {
    const [a, b] = [side(), side()]
    const all = Array.from({ length: MUXERS_MAX + 1 }, (_, i) => `/m/${i}`)
    const [dialling, answering] = rawPair()
    const [out, inward] = await Promise.all([
      secureChannel(a.init)(muxers(...all)).secureOutbound(dialling, {
        remotePeer: peerIdFromPublicKey(publicKeyFromRaw(ed25519Signer(b.seed).publicKey)),
      }),
      secureChannel(b.init)(muxers(`/m/${index}`)).secureInbound(answering),
    ])
    t.deepEqual([out.streamMuxer !== undefined, inward.streamMuxer !== undefined], [isChosen, isChosen])
    dialling.abort(new Error('test over'))
  })
}

test('unproved connections are bounded for each address and in all: one more cuts the oldest, with an error', (t) => {
  const halfOpen = new HalfOpenConnections()
  const cut: string[] = []
  const enter = (address: string, id: string): (() => void) =>
    halfOpen.enter(address, (error: ChannelError) => void cut.push(`${id} ${error.code}`))
  enter('first', 'the oldest of all')
  for (let i = 0; i < HALF_OPEN_PER_ADDRESS_MAX; i++) enter('house', `house ${i}`)
  t.deepEqual(cut, [])
  enter('house', 'house, one more')
  t.deepEqual(cut.splice(0), ['house 0 too-many-handshakes'])
  const proved = enter('elsewhere', 'proved')
  for (let i = halfOpen.size; i < HALF_OPEN_MAX; i++) enter(`n${i}`, `n${i}`)
  t.deepEqual([halfOpen.size, cut], [HALF_OPEN_MAX, []])
  proved()
  enter('late', 'takes the place of the proved one')
  t.deepEqual([halfOpen.size, cut], [HALF_OPEN_MAX, []])
  enter('later', 'one more')
  t.deepEqual([halfOpen.size, cut], [HALF_OPEN_MAX, ['the oldest of all too-many-handshakes']])
})

test('so many joins are served at once; one more ends with its reason, and room comes back', async (t) => {
  const b = side()
  const door = new JoinDoor(b.init, (request) => Promise.resolve(request))
  const signal = AbortSignal.timeout(5000)
  // Nonsense is under way too, until it was read.
  const join = async (): Promise<boolean> => {
    const [, answering] = rawPair()
    await door.serve(answering, new Uint8Array(100), { signal })
    return answering.status === 'aborted'
  }
  await Promise.all(Array.from({ length: PENDING_JOINS_MAX }, join))
  t.false(reasons(b).includes('too-many-handshakes'))
  t.is(reasons(b).length, PENDING_JOINS_MAX)
  const ended = await Promise.all(Array.from({ length: PENDING_JOINS_MAX + 1 }, join))
  t.true(ended.every(Boolean))
  t.is(reasons(b).filter((code) => code === 'too-many-handshakes').length, 1)
  b.events.length = 0
  await join()
  t.deepEqual([reasons(b).length, reasons(b).includes('too-many-handshakes')], [1, false])
})

/** A session that only counts. */
function listed(peerId: string): ListedSession {
  return { read: () => ({ peerId }) as ReturnType<ListedSession['read']>, rotate: () => false }
}

const dial = async (from: Side, to: Side): Promise<unknown> =>
  secureChannel(from.init)(muxers()).secureOutbound(rawPair()[0], {
    remotePeer: peerIdFromPublicKey(publicKeyFromRaw(ed25519Signer(to.seed).publicKey)),
    signal: AbortSignal.abort(new Error('far enough')),
  })

test('so many sessions are listed; then handshakes are refused until one has ended', async (t) => {
  const a = side()
  const { sessions } = a.init
  for (let i = 1; i < SESSIONS_MAX; i++) sessions.add(listed(`p${i}`))
  await t.throwsAsync(dial(a, side()), { code: 'handshake-timeout' }, 'there is room for one')
  const remove = sessions.add(listed('the last'))
  await t.throwsAsync(dial(a, side()), { code: 'too-many-sessions' })
  t.deepEqual(reasons(a), ['handshake-timeout', 'too-many-sessions'])
  remove()
  t.true(sessions.hasRoom)
})

test('one peer has so many sessions and no more', (t) => {
  const sessions = new SessionRegistry()
  for (let i = 0; i < SESSIONS_PER_PEER_MAX; i++) {
    t.true(sessions.hasRoomFor('p'))
    sessions.add(listed('p'))
  }
  t.deepEqual([sessions.hasRoomFor('p'), sessions.hasRoomFor('q')], [false, true])
})

test('the failures of so many peers are kept; one more forgets the oldest', (t) => {
  const sessions = new SessionRegistry()
  const fail = (n: number): void => sessions.recordFailure(`p${n}`, { code: 'truncated', text: '', at: n })
  for (let n = 0; n < FAILURES_MAX; n++) fail(n)
  t.is(sessions.lastFailure('p0')?.at, 0)
  fail(FAILURES_MAX)
  t.deepEqual(
    [0, 1, FAILURES_MAX].map((n) => sessions.lastFailure(`p${n}`)?.at),
    [undefined, 1, FAILURES_MAX],
  )
})
