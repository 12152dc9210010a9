import test from 'ava'
import fc from 'fast-check'
import type { EventInput } from '../../protocols/common/ports.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import {
  parseBootstrapAddress,
  parseBootstrapAddresses,
  validBootstrapAddresses,
} from '../../bootstrap/addresses.ts'
import { BootstrapError } from '../../bootstrap/errors.ts'
import { resolveInviteArgument } from '../../bootstrap/invite-argument.ts'
import {
  ADDRESS_LIST_MAX,
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  BACKOFF_RECENT_MS,
  DIALS_MAX,
  DIAL_TIMEOUT_MS,
  RECENT_MS,
  RECONNECT_TICK_MS,
  REMEMBERED_MAX,
} from '../../bootstrap/limits.ts'
import { createReconnect, lastFailure, step, type Target } from '../../bootstrap/reconnect.ts'
import { classifyDialError, ReconnectLoop } from '../../bootstrap/reconnect-loop.ts'
import { seededRandom } from '../protocols/membership/world.ts'

const peerOf = (n: number) => peerIdFromKey(new Uint8Array(32).fill(n))
const PEER = peerOf(7)

test('an address names a place and an Ed25519 peer; behind a relay, the peer and not the relay', (t) => {
  t.like(parseBootstrapAddress(` /ip4/192.0.2.1/tcp/4701/p2p/${PEER}\n`), {
    peer: PEER,
    address: `/ip4/192.0.2.1/tcp/4701/p2p/${PEER}`,
  })
  t.is(parseBootstrapAddress(`/ip4/192.0.2.1/tcp/1/p2p/${peerOf(1)}/p2p-circuit/p2p/${PEER}`).peer, PEER)
  const code = (text: string) =>
    t.throws(() => parseBootstrapAddress(text), { instanceOf: BootstrapError }).code
  t.is(code('192.0.2.1:4701'), 'address-malformed')
  t.is(code(`/ip4/999.0.2.1/tcp/4701/p2p/${PEER}`), 'address-malformed')
  t.is(code(`/dns4/${'a'.repeat(300)}/tcp/1/p2p/${PEER}`), 'address-malformed')
  t.is(code('/ip4/192.0.2.1/tcp/4701'), 'address-without-peer')
  t.is(code(`/p2p/${PEER}`), 'address-without-peer')
  t.is(code(`/ip4/192.0.2.1/tcp/1/p2p/${PEER}/p2p-circuit`), 'address-without-peer')
  t.is(
    code('/ip4/192.0.2.1/tcp/4701/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'),
    'address-wrong-key-type',
  )
  fc.assert(
    fc.property(
      fc.string(),
      (text) => void t.throws(() => parseBootstrapAddress(text), { instanceOf: BootstrapError }),
    ),
  )
})

test('a list counts repeated addresses once and has a limit; one from outside loses only its bad lines', (t) => {
  const good = `/ip4/192.0.2.1/tcp/1/p2p/${PEER}`
  t.is(parseBootstrapAddresses([good, good]).length, 1)
  t.throws(() => parseBootstrapAddresses(Array.from({ length: ADDRESS_LIST_MAX + 1 }, () => good)), {
    code: 'address-list-too-long',
  })
  t.deepEqual(
    validBootstrapAddresses(['nonsense', good]).map(({ address }) => address),
    [good],
  )
})

test('an invite is given as itself, as a file or on standard input', async (t) => {
  const sources = {
    readFile: async (path: string) => {
      if (path !== 'invite.txt') throw new Error('ENOENT')
      return Buffer.from('kith://join/FILE\n')
    },
    readStdin: async () => Buffer.from('\nkith://join/STDIN\n'),
  }
  t.is(await resolveInviteArgument(' kith://join/ABC ', sources), 'kith://join/ABC')
  t.is(await resolveInviteArgument('invite.txt', sources), 'kith://join/FILE')
  t.is(await resolveInviteArgument('-', sources), 'kith://join/STDIN')
  t.is(
    (await t.throwsAsync(resolveInviteArgument('nowhere', sources), { instanceOf: BootstrapError })).code,
    'invite-unreadable',
  )
})

const target = (peer: string): Target => ({ peer, addresses: [`/x/${peer}`] })
const refused = { code: 'dial-refused' as const, text: 'refused' }
const NONE: ReadonlySet<string> = new Set()

test('back-off doubles with full jitter, stays short for a peer just lost, and a success resets it', (t) => {
  const state = createReconnect()
  const delays: number[] = []
  let now = 0
  const look = (connected: ReadonlySet<string> = NONE) =>
    step(state, { type: 'look', wanted: [target('a')], fallback: [], connected }, now, () => 0.999)
  t.is(look().length, 1, 'the first dial is at once')
  for (let i = 0; i < 60; i++) {
    step(state, { type: 'dialled', peer: 'a', failure: refused }, now, () => 0.999)
    const failedAt = now
    while (look().length === 0) now += 50
    delays.push(now - failedAt)
  }
  t.true((delays[0] as number) <= BACKOFF_FIRST_MS)
  t.true((delays[1] as number) > (delays[0] as number))
  t.true(delays.slice(0, 20).every((delay) => delay <= BACKOFF_RECENT_MS))
  t.true((delays.at(-1) as number) > BACKOFF_MAX_MS / 2 && (delays.at(-1) as number) <= BACKOFF_MAX_MS)
  t.true(now > RECENT_MS)
  t.like(lastFailure(state, 'a'), { code: 'dial-refused', count: 60 })

  step(state, { type: 'dialled', peer: 'a', failure: refused }, now, () => 0.999)
  step(state, { type: 'hint', peer: 'a' }, now, () => 0.999)
  now += BACKOFF_FIRST_MS
  t.is(look().length, 1, 'a hint dials a returning peer at once')
  step(state, { type: 'dialled', peer: 'a', failure: null }, now, () => 0)
  t.is(lastFailure(state, 'a'), null)
  t.is(look(new Set(['a'])).length, 0)
  now += 100_000
  look()
  now += BACKOFF_FIRST_MS
  t.is(look().length, 1, 'a lost peer is dialled again at once')
})

test('one dial a peer, a bounded number in all, and fallback only while alone', (t) => {
  const state = createReconnect()
  const wanted = Array.from({ length: 20 }, (_, n) => target(`w${n}`))
  const fallback = [target('door'), { peer: 'w0', addresses: ['/other'] }]
  const look = (connected: ReadonlySet<string>) =>
    step(state, { type: 'look', wanted, fallback, connected }, 0, () => 0)
  t.is(look(NONE).length, DIALS_MAX)
  t.is(look(NONE).length, 0)
  step(state, { type: 'dialled', peer: 'w0', failure: refused }, 0, () => 0)
  t.is(look(NONE).length, 1)
  t.false(state.peers.get('door') === undefined)
  t.deepEqual(state.peers.get('w0')?.addresses, ['/x/w0', '/other'], 'addresses of both lists')
  const alone = createReconnect()
  step(alone, { type: 'look', wanted: [], fallback, connected: new Set(['x']) }, 0, () => 0)
  t.is(alone.peers.size, 0)
})

test('peers no longer wanted are forgotten beyond the limit', (t) => {
  const state = createReconnect()
  for (let n = 0; n < REMEMBERED_MAX + 50; n++) {
    for (const { peer } of step(
      state,
      { type: 'look', wanted: [target(`p${n}`)], fallback: [], connected: NONE },
      n,
      () => 0,
    )) {
      step(state, { type: 'dialled', peer, failure: refused }, n, () => 0)
    }
  }
  t.is(state.peers.size, REMEMBERED_MAX)
  t.is(state.peers.get('p0'), undefined)
})

test('whatever happens, no peer is dialled twice at once and never more than the limit', (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k']
  const action = fc.oneof(
    fc.record({
      kind: fc.constant('look' as const),
      wanted: fc.subarray(names),
      fallback: fc.subarray(names),
      connected: fc.subarray(names),
    }),
    fc.record({ kind: fc.constant('end' as const), peer: fc.constantFrom(...names), ok: fc.boolean() }),
    fc.record({ kind: fc.constant('hint' as const), peer: fc.constantFrom(...names) }),
  )
  fc.assert(
    fc.property(
      fc.array(action, { maxLength: 100 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (actions, fraction) => {
        const state = createReconnect()
        const dialling = new Set<string>()
        for (const [n, each] of actions.entries()) {
          const now = n * 300
          if (each.kind === 'end' && dialling.delete(each.peer))
            step(
              state,
              { type: 'dialled', peer: each.peer, failure: each.ok ? null : refused },
              now,
              () => fraction,
            )
          if (each.kind === 'hint') step(state, { type: 'hint', peer: each.peer }, now, () => fraction)
          if (each.kind !== 'look') continue
          const { wanted, fallback, connected } = each
          for (const { peer } of step(
            state,
            {
              type: 'look',
              wanted: wanted.map(target),
              fallback: fallback.map(target),
              connected: new Set(connected),
            },
            now,
            () => fraction,
          )) {
            t.false(dialling.has(peer))
            t.false(connected.includes(peer) && state.peers.get(peer)?.phase === 'connected')
            dialling.add(peer)
          }
          t.true(dialling.size <= DIALS_MAX)
        }
      },
    ),
  )
})

test('the loop dials what is wanted, tells why it fails, times out, and stops', async (t) => {
  let now = 0
  const every: (() => void)[] = []
  const later: { at: number; run: () => void }[] = []
  const events: EventInput[] = []
  const failures: string[] = []
  const signals: AbortSignal[] = []
  let answer: (target: Target, signal: AbortSignal) => Promise<unknown> = async () => {
    throw new AggregateError([Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })], 'all failed')
  }
  const loop = new ReconnectLoop({
    clock: { now: () => now },
    timers: {
      every: (intervalMs, run) => {
        t.is(intervalMs, RECONNECT_TICK_MS)
        every.push(run)
        return () => every.splice(0)
      },
      after: (delayMs, run) => {
        const item = { at: now + delayMs, run }
        later.push(item)
        return () => void later.splice(later.indexOf(item), 1)
      },
    },
    random: seededRandom('loop'),
    emit: (event) => events.push(event),
    wanted: () => [target('a'), { peer: 'nowhere', addresses: [] }],
    fallback: () => [],
    connected: () => [],
    dial: (each, signal) => {
      signals.push(signal)
      return answer(each, signal)
    },
    failed: (peer, { code }) => failures.push(`${peer} ${code}`),
  })
  const settle = async (ms: number) => {
    now += ms
    for (const run of every) run()
    for (const item of later.filter(({ at }) => at <= now)) item.run()
    await new Promise((resolve) => setImmediate(resolve))
  }
  loop.start()
  await settle(0)
  t.deepEqual(failures.sort(), ['a dial-refused', 'nowhere dial-no-address'])
  t.like(loop.lastFailure('a'), { code: 'dial-refused', count: 1 })
  t.is(events.length, 2)
  answer = (_, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  await settle(BACKOFF_FIRST_MS)
  await settle(DIAL_TIMEOUT_MS)
  t.like(loop.lastFailure('a'), { code: 'dial-timeout', count: 2 })
  t.is(events.length, 2, 'the first failure of a row is an event, the others are counted')
  loop.hint('a')
  await settle(BACKOFF_RECENT_MS)
  await loop.stop()
  t.true(signals.at(-1)?.aborted)
  t.is(every.length, 0)
})

test('what a dial throws is named', (t) => {
  const withCode = (code: string) => Object.assign(new Error(code), { code })
  t.is(
    classifyDialError(
      new AggregateError([withCode('EHOSTUNREACH'), new Error('x', { cause: withCode('ECONNREFUSED') })], ''),
    ).code,
    'dial-refused',
  )
  t.is(classifyDialError(withCode('ENETUNREACH')).code, 'dial-unreachable')
  t.is(classifyDialError(withCode('ETIMEDOUT')).code, 'dial-timeout')
  t.is(classifyDialError(new DOMException('x', 'TimeoutError')).code, 'dial-timeout')
  t.deepEqual(classifyDialError('text'), { code: 'dial-failed', text: 'text' })
})
