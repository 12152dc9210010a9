import test from 'ava'
import { classify, type Observations, type View } from '../../../protocols/traversal/classify.ts'
import { chooseEndpoints } from '../../../protocols/traversal/endpoint-rule.ts'
import type { Endpoint } from '../../../protocols/traversal/endpoint.ts'
import {
  ATTEMPT_MS,
  CODE_CHARACTERS_MAX,
  DIALLED_ADDRESSES_MAX,
  ENDPOINTS_MAX,
  OBSERVATIONS_MAX,
  PUNCH_MESSAGE_BYTES_MAX,
  PUNCH_NONCE_BYTES,
  PUNCH_VERSION,
  REFLECT_MESSAGE_BYTES_MAX,
  RTT_MS_MAX,
  TICKET_BYTES,
  TICKETS_MAX,
} from '../../../protocols/traversal/limits.ts'
import { nextWakeAt } from '../../../protocols/traversal/punch-state.ts'
import { startPunch, step } from '../../../protocols/traversal/punch.ts'
import {
  REFLECT_KIND,
  reflectAnswerFormat,
  reflectRequestFormat,
} from '../../../protocols/traversal/reflect-wire.ts'
import { PUNCH_KIND, punchFormat } from '../../../protocols/traversal/wire.ts'
import { decodesUpTo, readsUpTo } from '../common/format-bounds.ts'

const NONCE = new Uint8Array(PUNCH_NONCE_BYTES).fill(7)
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const at = (last: number, port = 40_000): Endpoint => ({ ip: Uint8Array.of(52, 0, 0, last), port })
const six = (last: number): Uint8Array => Uint8Array.from([0x20, 0x03, ...range(13).map(() => 0), last])

test('each bound of the exchange and of reflectors: at it a message is read, with one more it is malformed', (t) => {
  const half = (count: number): unknown[] => [
    PUNCH_VERSION,
    NONCE,
    range(count).map((n) => [six(n), 65_535]),
    0,
  ]
  const code = 'characters of a code'
  const codeOf = (length: number): string => 'a'.repeat(length)
  decodesUpTo(t, punchFormat, [
    ['endpoints of an offer', ENDPOINTS_MAX, (count) => [PUNCH_KIND.offer, ...half(count)]],
    ['endpoints of an answer', ENDPOINTS_MAX, (count) => [PUNCH_KIND.answer, ...half(count), 0]],
    ['time an answer took', ATTEMPT_MS, (readyMs) => [PUNCH_KIND.answer, ...half(0), readyMs]],
    [code, CODE_CHARACTERS_MAX, (length) => [PUNCH_KIND.failed, NONCE, codeOf(length)]],
  ])
  decodesUpTo(t, reflectRequestFormat, [
    ['tickets asked for', TICKETS_MAX, (count) => [REFLECT_KIND.tickets, count, true]],
  ])
  decodesUpTo(t, reflectAnswerFormat, [
    [
      'tickets',
      TICKETS_MAX,
      (count) => [REFLECT_KIND.tickets, range(count).map(() => new Uint8Array(TICKET_BYTES)), 65_535],
    ],
    [code, CODE_CHARACTERS_MAX, (length) => [REFLECT_KIND.refused, codeOf(length)]],
  ])
  readsUpTo(t, punchFormat, PUNCH_MESSAGE_BYTES_MAX)
  readsUpTo(t, reflectRequestFormat, REFLECT_MESSAGE_BYTES_MAX)
  readsUpTo(t, reflectAnswerFormat, REFLECT_MESSAGE_BYTES_MAX)
})

test('of the addresses another node names so many are dialled, at whatever ports; others are refused with the reason', (t) => {
  const named = [...range(DIALLED_ADDRESSES_MAX + 1).map((n) => at(n + 2)), at(2, 40_001)]
  t.true(named.length <= ENDPOINTS_MAX)
  const { dialled, refused } = chooseEndpoints(named, [at(1)], null)
  const beyond = named[DIALLED_ADDRESSES_MAX] as Endpoint
  t.deepEqual(
    dialled,
    named.filter((endpoint) => endpoint !== beyond),
  )
  t.deepEqual(refused, [{ endpoint: beyond, code: 'candidate-limit' }])
})

test('a round trip is believed up to its limit: who answers later is not waited for any longer', (t) => {
  for (const [answeredAfterMs, rttMs] of [
    [RTT_MS_MAX - 1, RTT_MS_MAX - 1],
    [RTT_MS_MAX, RTT_MS_MAX],
    [RTT_MS_MAX + 1_000, RTT_MS_MAX],
  ] as const) {
    const options = {
      ownId: 'a',
      peerId: 'b',
      nonce: NONCE,
      standing: null,
      peerStanding: null,
      hasV6: false,
      vouched: null,
    }
    const [state] = startPunch(options, 0)
    step(state, { type: 'reflected', endpoints: [at(1)] }, 0, () => 0)
    const bytes = punchFormat.encode({
      kind: PUNCH_KIND.answer,
      version: PUNCH_VERSION,
      nonce: NONCE,
      endpoints: [at(2)],
      standing: null,
      readyMs: 0,
    })
    step(state, { type: 'frame', bytes }, answeredAfterMs, () => 0)
    t.is(state.rttMs, rttMs)
    t.is(nextWakeAt(state), answeredAfterMs + rttMs / 2, 'it dials half of it later')
  }
})

test('so many views and arrivals count, and what comes behind them is not looked at', (t) => {
  const local = { ip: Uint8Array.of(192, 168, 7, 2), port: 40_000 }
  const nothing: Observations = {
    local,
    views: [],
    arrivals: [],
    hairpin: null,
    reached: null,
    routerOutside: null,
  }
  const seen = (n: number, port: number): View => ({ reflector: at(n + 10), outside: at(1, port) })
  const mapping = (agreeing: number) =>
    classify({ ...nothing, views: [...range(agreeing).map((n) => seen(n, 1)), seen(agreeing, 2)] }).mapping
  t.is(mapping(OBSERVATIONS_MAX - 1).unknown, 'nat-views-contradict', 'the last one that counts contradicts')
  t.is(mapping(OBSERVATIONS_MAX).value, 'endpoint-independent', 'one more contradicts in vain')

  const filtering = (unheard: number) =>
    classify({
      ...nothing,
      arrivals: range(unheard + 1).map((n) => ({ sentTo: [], from: at(n + 10), arrived: n === unheard })),
    }).filtering
  t.is(filtering(OBSERVATIONS_MAX - 1).value, 'endpoint-independent')
  t.is(filtering(OBSERVATIONS_MAX).unknown, 'nat-not-probed')
})
