import test from 'ava'
import fc from 'fast-check'
import { chooseEndpoints } from '../../../protocols/traversal/endpoint-rule.ts'
import { describeEndpoint, type Endpoint } from '../../../protocols/traversal/endpoint.ts'
import {
  ACCEPTED_MAX,
  ATTEMPT_MS,
  CONNECTS_MAX,
  DIALLED_ADDRESSES_MAX,
  ENDPOINTS_MAX,
  NONCES_MAX,
  OFFERING_PEERS_MAX,
  OFFERS_MAX,
  OFFERS_WINDOW_MS,
  REPORTS_MAX,
} from '../../../protocols/traversal/limits.ts'
import { admitOffer, createOfferGate } from '../../../protocols/traversal/offer-gate.ts'
import { answerPunch, startPunch } from '../../../protocols/traversal/punch.ts'
import type { PunchEvent } from '../../../protocols/traversal/punch-events.ts'
import { nextWakeAt, type PunchOptions } from '../../../protocols/traversal/punch-state.ts'
import { encodeNomination, punchFormat, type PunchMessage } from '../../../protocols/traversal/wire.ts'
import { PunchDriver } from './punch-driver.ts'

const at = (port: number, ...ip: number[]): Endpoint => ({ ip: Uint8Array.from(ip), port })
const OWN = at(41_000, 52, 0, 0, 1)
const THEIRS = at(42_000, 52, 0, 0, 2)
const STRANGER = at(43_000, 52, 0, 0, 3)
const NONCE = new Uint8Array(16).fill(7)
const OTHER_NONCE = new Uint8Array(16).fill(8)
const OPTIONS: PunchOptions = {
  ownId: 'a',
  peerId: 'b',
  nonce: NONCE,
  standing: null,
  peerStanding: null,
  hasV6: false,
  vouched: null,
}
const SYMMETRIC = {
  mapping: 'address-and-port-dependent',
  filtering: 'address-and-port-dependent',
} as const
const half = { version: 1 as const, endpoints: [THEIRS], standing: null }
const offer = { kind: 1 as const, nonce: OTHER_NONCE, ...half }
const frame = (message: PunchMessage): PunchEvent => ({ type: 'frame', bytes: punchFormat.encode(message) })
const answer = frame({ kind: 2, nonce: NONCE, readyMs: 20, ...half })
const reflected: PunchEvent = { type: 'reflected', endpoints: [OWN] }

const initiating = (options: Partial<PunchOptions> = {}): PunchDriver =>
  new PunchDriver(startPunch({ ...OPTIONS, ...options }, 0))
/** An initiator that punches; its first connect is `out1`. */
const punching = (): PunchDriver => initiating().tell(reflected).tell(answer).pass(0)
const reasonOf = ({ outcome }: PunchDriver): string | undefined =>
  outcome?.path === 'relay' ? outcome.reason : outcome?.path

test('the initiator dials half a round trip after GO, without what the responder took', (t) => {
  const driver = initiating().tell(reflected)
  driver.now = 120
  driver.tell(answer)
  t.deepEqual(
    driver.sent().map(({ kind }) => kind),
    [1, 3],
  )
  driver.pass(49)
  t.is(driver.of('connect').length, 0)
  driver.pass(1)
  t.deepEqual(driver.effects.slice(-2), [
    { type: 'connect', socket: 'out1', endpoint: THEIRS },
    { type: 'listen' },
  ])
  driver.tell({ type: 'connected', socket: 'out1' })
  t.deepEqual(driver.effects.at(-1), { type: 'write', socket: 'out1', bytes: encodeNomination(NONCE) })
  driver.tell({ type: 'received', socket: 'out1', bytes: encodeNomination(NONCE) })
  t.deepEqual(driver.outcome, { path: 'direct', socket: 'out1', role: 'initiator', rttMs: 100 })
})

test('the responder dials on GO and keeps the socket the nomination comes on', (t) => {
  const driver = new PunchDriver(answerPunch(OPTIONS, offer, 0)).tell(reflected)
  driver.tell(frame({ kind: 3, nonce: OTHER_NONCE })).tell({ type: 'connected', socket: 'out1' })
  driver.tell({ type: 'accepted', socket: 'in1', from: { ...THEIRS, port: 5 } })
  t.is(driver.of('write').length, 0)
  driver.tell({ type: 'received', socket: 'in1', bytes: encodeNomination(OTHER_NONCE) })
  t.deepEqual([...driver.open], ['in1'])
  t.deepEqual(driver.of('write'), [{ type: 'write', socket: 'in1', bytes: encodeNomination(OTHER_NONCE) }])
  t.deepEqual(driver.outcome, { path: 'direct', socket: 'in1', role: 'responder', rttMs: null })
})

test('each way to fail has its reason', (t) => {
  const silent = (driver: PunchDriver): PunchDriver => driver.pass(ATTEMPT_MS)
  const table: readonly (readonly [PunchDriver, string])[] = [
    [silent(initiating()), 'reflector-unreachable'],
    [initiating().tell({ type: 'reflect-failed', text: 'refused' }), 'reflector-unreachable'],
    [initiating().tell({ type: 'reflected', endpoints: [] }), 'reflector-unreachable'],
    [silent(initiating().tell(reflected)), 'exchange-timeout'],
    [initiating().tell(reflected).tell({ type: 'exchange-closed' }), 'exchange-lost'],
    [initiating().tell(reflected).tell({ type: 'frame', bytes: NONCE }), 'exchange-malformed'],
    [
      initiating()
        .tell(reflected)
        .tell(frame({ kind: 4, nonce: NONCE, code: 'later' })),
      'peer-refused',
    ],
    [
      initiating()
        .tell(reflected)
        .tell(frame({ kind: 4, nonce: NONCE, code: 'port-unknown' })),
      'port-unknown',
    ],
    [initiating().tell({ type: 'cancel' }), 'punch-cancelled'],
    [
      initiating()
        .tell(reflected)
        .tell(frame({ kind: 2, nonce: NONCE, readyMs: 0, ...half, endpoints: [] })),
      'no-endpoint',
    ],
    [
      initiating({ vouched: [STRANGER.ip] })
        .tell(reflected)
        .tell(answer),
      'no-endpoint',
    ],
    [initiating({ standing: SYMMETRIC, peerStanding: SYMMETRIC }), 'both-ports-unknown'],
    [silent(punching()), 'punch-timeout'],
    [silent(new PunchDriver(answerPunch(OPTIONS, offer, 0)).tell(reflected)), 'exchange-timeout'],
  ]
  for (const [driver, reason] of table) {
    t.is(reasonOf(driver), reason)
    t.is(driver.of('done').length, 1)
    t.is(driver.of('release').length, 1)
    t.is(driver.open.size, 0, reason)
    t.is(nextWakeAt(driver.state), null)
  }
})

test('refusals are answered with new connects, after other pauses on each side, and an end', (t) => {
  const pausesOf = (driver: PunchDriver): [number, number] => {
    driver.tell({ type: 'connect-failed', socket: 'out1' }, 0)
    const shortest = (nextWakeAt(driver.state) ?? 0) - driver.now
    driver.pass(shortest)
    driver.tell({ type: 'connect-failed', socket: 'out2' }, 1)
    return [shortest, (nextWakeAt(driver.state) ?? 0) - driver.now]
  }
  t.deepEqual(pausesOf(punching()), [40, 120])
  const responder = new PunchDriver(answerPunch(OPTIONS, offer, 0)).tell(reflected)
  t.deepEqual(pausesOf(responder.tell(frame({ kind: 3, nonce: OTHER_NONCE }))), [300, 600])
  const driver = punching()
  for (let tries = 1; tries <= CONNECTS_MAX; tries++)
    driver.tell({ type: 'connect-failed', socket: `out${tries}` }).pass(200)
  t.is(driver.of('connect').length, CONNECTS_MAX)
  t.is(driver.of('unlisten').length, CONNECTS_MAX - 1)
  t.is(reasonOf(driver.pass(ATTEMPT_MS)), 'attempt-limit')
})

test('a stranger on the port is closed and told of, and does not stop the other side', (t) => {
  const driver = punching()
  driver.tell({ type: 'accepted', socket: 'in1', from: STRANGER })
  driver.tell({ type: 'accepted', socket: 'in2', from: THEIRS })
  driver.tell({ type: 'received', socket: 'in2', bytes: encodeNomination(OTHER_NONCE) })
  t.deepEqual([...driver.open], ['out1'])
  t.deepEqual(
    driver.of('report').map(({ code }) => code),
    ['punch-stranger', 'nomination-wrong'],
  )
  driver.tell({ type: 'connected', socket: 'out1' })
  driver.tell({ type: 'received', socket: 'out1', bytes: encodeNomination(NONCE) })
  t.is(reasonOf(driver), 'direct')

  const alone = punching().tell({ type: 'connected', socket: 'out1' })
  alone.tell({ type: 'received', socket: 'out1', bytes: encodeNomination(OTHER_NONCE) })
  t.is(reasonOf(alone.pass(ATTEMPT_MS)), 'nomination-wrong')
})

test('what no message could carry of a reflector’s answer is left out', (t) => {
  const odd = [at(0, 52, 0, 0, 1), at(70_000, 52, 0, 0, 1), at(1.5, 52, 0, 0, 1), at(5, 1, 2, 3)]
  t.is(reasonOf(initiating().tell({ type: 'reflected', endpoints: odd })), 'reflector-unreachable')
  const mapped = at(41_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 52, 0, 0, 1)
  const driver = initiating().tell({
    type: 'reflected',
    endpoints: [...odd, mapped, ...Array.from({ length: 9 }, () => OWN)],
  })
  const [sent] = driver.sent()
  t.deepEqual(
    sent?.kind === 1 ? sent.endpoints : null,
    Array.from({ length: 4 }, () => OWN),
  )
})

test('a flood of connections is bounded, and so is what is told of it', (t) => {
  const driver = punching()
  for (let n = 0; n < 100; n++) driver.tell({ type: 'accepted', socket: `in${n}`, from: THEIRS })
  t.is(driver.open.size, ACCEPTED_MAX + 1)
  t.is(driver.of('report').length, REPORTS_MAX)
  t.true(driver.of('report').every(({ code }) => code === 'socket-limit'))
})

test('a socket that does not echo is followed by another one', (t) => {
  const driver = punching().tell({ type: 'connected', socket: 'out1' })
  driver.tell({ type: 'accepted', socket: 'in1', from: THEIRS })
  driver.pass(1_000)
  t.deepEqual(
    driver.of('write').map(({ socket }) => socket),
    ['out1', 'in1'],
  )
  driver.tell({ type: 'received', socket: 'out1', bytes: encodeNomination(NONCE) })
  t.deepEqual([...driver.open], ['out1'])
})

test('when both offer at once, the lower peer id stays initiator', (t) => {
  const low = initiating().tell(reflected).tell(frame(offer))
  t.is(low.state.role, 'initiator')
  const high = initiating({ ownId: 'c' }).tell(reflected).tell(frame(offer))
  t.is(high.state.role, 'responder')
  t.deepEqual(
    high.sent().map(({ kind, nonce }) => [kind, nonce]),
    [
      [1, NONCE],
      [2, OTHER_NONCE],
    ],
  )
  // An OFFER that has not left gives way.
  const early = initiating().tell(frame(offer)).tell(reflected)
  t.deepEqual(
    early.sent().map(({ kind }) => kind),
    [2],
  )
})

test('who names a victim gets few connects, to public addresses and high ports only', (t) => {
  const table: readonly (readonly [Endpoint, string])[] = [
    [at(22, 52, 0, 0, 2), 'port-reserved'],
    [at(8080, 192, 168, 1, 1), 'address-not-public'],
    [at(8080, 127, 0, 0, 1), 'address-not-public'],
    [at(8080, 169, 254, 169, 254), 'address-not-public'],
    [at(8080, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1), 'address-not-public'],
    [OWN, 'address-own'],
  ]
  for (const [endpoint, code] of table)
    t.deepEqual(
      chooseEndpoints([endpoint], [OWN], null),
      { dialled: [], refused: [{ endpoint, code }] },
      describeEndpoint(endpoint),
    )
  const three = [THEIRS, STRANGER, at(44_000, 52, 0, 0, 4)]
  t.deepEqual(
    chooseEndpoints(three, [OWN], null).refused.map(({ code }) => code),
    ['candidate-limit'],
  )
  t.deepEqual(chooseEndpoints(three, [OWN], [THEIRS.ip]).dialled, [THEIRS])
  fc.assert(
    fc.property(
      fc.array(fc.record({ ip: fc.uint8Array({ minLength: 4, maxLength: 4 }), port: fc.nat(65_535) })),
      (named) => {
        const { dialled } = chooseEndpoints(named, [OWN], null)
        t.true(new Set(dialled.map(({ ip }) => ip.join('.'))).size <= DIALLED_ADDRESSES_MAX)
        t.true(dialled.length <= ENDPOINTS_MAX)
      },
    ),
  )
})

test('an OFFER counts once, and a peer gets a few answered', (t) => {
  const gate = createOfferGate()
  const nonce = (n: number): Uint8Array =>
    Uint8Array.from({ length: 16 }, (_, i) => (i < 2 ? (n >> (8 * i)) & 255 : 0))
  t.is(admitOffer(gate, 'b', nonce(0), 0), null)
  t.is(admitOffer(gate, 'b', nonce(0), 1), 'exchange-replayed')
  for (let n = 1; n < OFFERS_MAX; n++) t.is(admitOffer(gate, 'b', nonce(n), n), null)
  t.is(admitOffer(gate, 'b', nonce(99), 100), 'exchange-flood')
  t.is(admitOffer(gate, 'c', nonce(99), 100), null)
  t.is(admitOffer(gate, 'b', nonce(100), OFFERS_WINDOW_MS), null)
  for (let n = 0; n < 3 * OFFERING_PEERS_MAX; n++) admitOffer(gate, `p${n}`, nonce(n), n)
  t.is(gate.peers.size, OFFERING_PEERS_MAX)
  for (let n = 0; n < 100; n++) admitOffer(gate, 'd', nonce(n), n * OFFERS_WINDOW_MS)
  t.is(gate.peers.get('d')?.nonces.length, NONCES_MAX)
})

const socket = fc.constantFrom('out1', 'out2', 'out3', 'in1', 'in2', 'in3')
const nonce = fc.constantFrom(NONCE, OTHER_NONCE)
const endpoint = fc.constantFrom(OWN, THEIRS, STRANGER, at(80, 10, 0, 0, 1))
const event: fc.Arbitrary<PunchEvent> = fc.oneof(
  { arbitrary: fc.constant(reflected), weight: 2 },
  { arbitrary: fc.constant(answer), weight: 2 },
  nonce.map((each) => frame({ kind: 3, nonce: each })),
  fc
    .tuple(nonce, fc.array(endpoint, { maxLength: 4 }))
    .map(([each, endpoints]) => frame({ ...offer, nonce: each, endpoints })),
  socket.map((each) => ({ type: 'connected', socket: each }) as const),
  socket.map((each) => ({ type: 'connect-failed', socket: each }) as const),
  socket.map((each) => ({ type: 'closed', socket: each }) as const),
  fc
    .tuple(fc.constantFrom('in1', 'in2', 'in3'), endpoint)
    .map(([each, from]) => ({ type: 'accepted', socket: each, from }) as const),
  fc
    .tuple(socket, nonce)
    .map(([each, of]) => ({ type: 'received', socket: each, bytes: encodeNomination(of) }) as const),
  fc.constantFrom<PunchEvent>(
    { type: 'wake' },
    { type: 'listen-failed' },
    { type: 'exchange-closed' },
    { type: 'frame', bytes: NONCE },
  ),
)
const moment = fc.tuple(event, fc.nat(1_500), fc.double({ min: 0, max: 0.99, noNaN: true }))
const going = [
  reflected,
  answer,
  frame({ kind: 3, nonce: OTHER_NONCE }),
  { type: 'connected', socket: 'out1' } as const,
].map((each): [PunchEvent, number, number] => [each, 30, 0.5])
/** As far into an attempt that goes well as chance has it, and then anything. */
const history = fc
  .tuple(fc.nat(4), fc.array(moment, { maxLength: 40 }))
  .map(([count, rest]) => going.slice(0, count).concat(rest))

test('whatever is lost, late, repeated or forged, an attempt ends by its deadline with at most one socket', (t) => {
  const seen = new Map<string, number>()
  fc.assert(
    fc.property(fc.boolean(), fc.boolean(), history, (isInitiator, isLow, events) => {
      const options = { ...OPTIONS, ownId: isLow ? 'a' : 'c' }
      const driver = new PunchDriver(isInitiator ? startPunch(options, 0) : answerPunch(options, offer, 0))
      for (const [each, ms, random] of events) driver.pass(ms % 5 === 0 ? ms : ms % 50).tell(each, random)
      driver.pass(Math.max(0, ATTEMPT_MS - driver.now))
      const { outcome } = driver
      t.is(driver.of('done').length, 1)
      t.is(driver.of('release').length, 1)
      const kept = outcome?.path === 'direct' ? [outcome.socket] : []
      // A kept socket may have been closed by the other side since.
      for (const each of driver.open) t.true(kept.includes(each), each)
      t.true(driver.of('connect').length <= CONNECTS_MAX)
      t.true(driver.of('report').length <= REPORTS_MAX)
      for (const { endpoint: dialled } of driver.of('connect')) t.true(dialled.port >= 1024)
      const name = reasonOf(driver) ?? 'none'
      seen.set(name, (seen.get(name) ?? 0) + 1)
    }),
    { numRuns: 2_000 },
  )
  t.log([...seen].map(([name, count]) => `${name} ${count}`).join(', '))
  t.true((seen.get('direct') ?? 0) > 0, 'some succeed')
})
