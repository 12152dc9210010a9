import test from 'ava'
import type { EventInput } from '../../../protocols/common/ports.ts'
import type { RotationEffect, RotationEvent } from '../../../protocols/rotation/events.ts'
import { ANSWER_DOUBLINGS_MAX, EPOCH_MAX, ROTATION_LIMITS } from '../../../protocols/rotation/limits.ts'
import { step } from '../../../protocols/rotation/machine.ts'
import {
  canRotate,
  createRotation,
  due,
  nextWakeAt,
  rotationView,
  type RotationState,
} from '../../../protocols/rotation/state.ts'
import type { Usage } from '../../../protocols/rotation/usage.ts'
import { symbolicCrypto, termOf } from '../../../simulations/channel/symbolic.ts'

/* One test for each row of the table of cases in protocols/rotation/README.md, named like the row. */

const MINUTE = 60_000
const IDLE: Usage = { sentRecords: 0, sentBytes: 0, receivedRecords: 0, receivedBytes: 0 }

/** One side, with what its machine asked for since somebody looked. */
class Party {
  state: RotationState
  readonly #crypto: ReturnType<typeof symbolicCrypto>
  effects: RotationEffect[] = []
  readonly events: EventInput[] = []

  constructor(dialler: boolean, start: Partial<RotationState> = {}) {
    this.#crypto = symbolicCrypto(dialler ? 'a' : 'b')
    const root = new TextEncoder().encode('root')
    this.state = { ...createRotation({ dialler, root }, 0, this.#crypto), ...start }
  }

  take(event: RotationEvent, now = 0): this {
    const [state, effects] = step(this.state, event, now, this.#crypto)
    this.state = state
    for (const effect of effects) {
      if (effect.type === 'event') this.events.push(effect.event)
      else this.effects.push(effect)
    }
    return this
  }

  rotate(now = 0): this {
    return this.take({ type: 'rotate', usage: IDLE }, now)
  }

  /** What was asked for, but events, since the last call: `send rot`, `expect 1` … */
  asked(): string[] {
    const asked = this.effects.map((effect) => {
      if (effect.type === 'send') return `send ${effect.record}`
      if (effect.type === 'close') return `close ${effect.code}`
      return effect.type === 'event' ? '' : `${effect.type} ${effect.epoch}`
    })
    this.effects = []
    return asked
  }

  /** Contents of the last ROT or ACK. */
  sent(record: 'rot' | 'ack'): RotationEvent {
    const found = this.effects.findLast((effect) => effect.type === 'send' && effect.record === record)
    if (found?.type !== 'send') throw new Error(`no ${record} was sent`)
    return { type: record, payload: found.payload }
  }

  get shown(): string {
    return rotationView(this.state).state
  }

  /** Kinds, reasons and severities told since the start. */
  get told(): string[] {
    return this.events.map(({ kind, reason }) => (reason === undefined ? kind : `${kind} ${reason}`))
  }
}

function pair(): { a: Party; b: Party } {
  return { a: new Party(true), b: new Party(false) }
}

/** a's ROT, b's ACK: a has switched, b not. */
function switchedPair(): { a: Party; b: Party } {
  const { a, b } = pair()
  a.rotate().take({ type: 'sent' })
  b.take(a.sent('rot'))
  a.take(b.sent('ack'))
  return { a, b }
}

test('a whole rotation: each side has one switch point, and commits when a record of the other proves it', (t) => {
  const { a, b } = pair()
  t.is(a.shown, 'active')
  a.rotate(1000)
  t.is(a.shown, 'rotating')
  a.take({ type: 'sent' }, 1001)
  t.is(a.shown, 'handshaking')
  b.take(a.sent('rot'), 1010)
  t.is(b.shown, 'handshaking')
  t.is(rotationView(b.state).epoch, 0)
  const ack = b.sent('ack')
  t.deepEqual(b.asked(), ['expect 1', 'send ack'])
  a.asked()
  a.take(ack, 1020)
  t.deepEqual(a.asked(), ['expect 1', 'switch 1'])
  t.deepEqual([a.state.epoch, rotationView(a.state).epoch, a.shown], [0, 1, 'handshaking'])
  t.false(canRotate(a.state))
  b.asked()
  b.take({ type: 'promoted', epoch: 1 }, 1030)
  t.deepEqual(b.asked(), ['switch 1'])
  t.deepEqual([b.state.epoch, b.shown, b.state.rotatedAt], [1, 'active', 1030])
  a.take({ type: 'promoted', epoch: 1 }, 1040)
  t.deepEqual(a.asked(), [])
  t.is(termOf(a.state.root), termOf(b.state.root))
  t.deepEqual(rotationView(a.state), {
    epoch: 1,
    state: 'active',
    rotatedAt: 1040,
    lastRotAt: 1000,
    lastAckAt: 1020,
    failures: 0,
  })
  t.deepEqual(a.told, ['rotation.start', 'rotation.done'])
  t.deepEqual(b.told, ['rotation.start', 'rotation.done'])
  t.like(a.events[1], { severity: 'info', fields: { epoch: 1, reason: 'manual', ms: 40 } })
  t.like(b.events[1], { fields: { epoch: 1, reason: 'peer', ms: 20 } })
})

test('both send ROT', (t) => {
  const { a, b } = pair()
  const [rotA, rotB] = [a.rotate().sent('rot'), b.rotate().sent('rot')]
  a.asked()
  b.asked()
  t.deepEqual(a.take(rotB).asked(), [])
  t.is(a.shown, 'rotating')
  b.take(rotA)
  const ack = b.sent('ack')
  t.deepEqual(b.asked(), ['expect 1', 'send ack'])
  t.is(b.state.own, null)
  t.deepEqual(a.take(ack).asked(), ['expect 1', 'switch 1'])
  t.deepEqual(a.told, ['rotation.start', 'rotation.glare'])
  t.deepEqual(b.told, ['rotation.start', 'rotation.glare', 'rotation.start'])
  t.is(a.events[1]?.fields?.['won'], true)
  t.is(b.events[1]?.fields?.['won'], false)
})

test('ROT unanswered', (t) => {
  const a = new Party(true).rotate(0)
  t.is(nextWakeAt(a.state), null)
  a.take({ type: 'sent' }, 500)
  let now = 10_500
  for (const [waitMs, doublings] of [
    [1, 1],
    [2, 2],
    [4, ANSWER_DOUBLINGS_MAX],
    [4, ANSWER_DOUBLINGS_MAX],
    [4, ANSWER_DOUBLINGS_MAX],
  ] as const) {
    t.is(nextWakeAt(a.state), now)
    t.is(a.take({ type: 'wake' }, now - 1).shown, 'handshaking')
    t.is(a.take({ type: 'wake' }, now).shown, 'failed')
    t.is(a.state.own, null)
    t.is(nextWakeAt(a.state), now + waitMs * MINUTE)
    a.asked()
    now += waitMs * MINUTE
    t.deepEqual(a.take({ type: 'wake' }, now).asked(), ['send rot'])
    a.take({ type: 'sent' }, now)
    now += ROTATION_LIMITS.answerMs * 2 ** doublings
  }
  t.is(rotationView(a.state).failures, 5)
  t.deepEqual(a.told.slice(0, 3), ['rotation.start', 'rotation.failed rotation-timeout', 'rotation.start'])
  t.like(a.events[1], { severity: 'warning', fields: { epoch: 1, reason: 'manual', ms: 10_500 } })
  t.is(a.events[2]?.fields?.['reason'], 'retry')
})

test('late ACK', (t) => {
  const { a, b } = pair()
  const ack = b.take(a.rotate().take({ type: 'sent' }).sent('rot')).sent('ack')
  a.take({ type: 'wake' }, 10_000)
  a.asked()
  const before = a.state
  t.deepEqual(a.take(ack, 10_001).asked(), [])
  t.is(a.state, before)
  // With a newer ROT under way the nonce tells them apart.
  a.take({ type: 'wake' }, 10_000 + MINUTE)
  const second = a.sent('rot')
  a.asked()
  t.deepEqual(a.take(ack, 10_001 + MINUTE).asked(), [])
  t.deepEqual(a.take(b.take(second).sent('ack')).asked(), ['expect 1', 'switch 1'])
})

test('repeated ROT', (t) => {
  const { a, b } = pair()
  const rot = a.rotate().sent('rot')
  const first = b.take(rot).sent('ack')
  b.asked()
  const again = b.take(rot, 5000).sent('ack')
  t.deepEqual(again, first)
  t.deepEqual(b.asked(), ['send ack'])
  // The repeated ACK finds its ROT answered already.
  t.deepEqual(a.take(first).take(again).asked(), ['send rot', 'expect 1', 'switch 1'])
})

test('newer ROT', (t) => {
  const { a, b } = pair()
  b.take(a.rotate().take({ type: 'sent' }).sent('rot'))
  const unused = termOf(b.state.next?.keys.readKey ?? new Uint8Array(0))
  a.take({ type: 'wake' }, 10_000).take({ type: 'wake' }, 10_000 + MINUTE)
  b.asked()
  b.take(a.sent('rot'), 80_000)
  const ack = b.sent('ack')
  t.deepEqual(b.asked(), ['expect 1', 'send ack'])
  t.not(termOf(b.state.next?.keys.readKey ?? new Uint8Array(0)), unused)
  a.asked()
  t.deepEqual(a.take(ack, 81_000).asked(), ['expect 1', 'switch 1'])
  t.is(
    termOf(a.state.next?.keys.writeKey ?? new Uint8Array(0)),
    termOf(b.state.next?.keys.readKey ?? new Uint8Array(1)),
  )
})

test('overtaken ROT', (t) => {
  const { a, b } = pair()
  const first = a.rotate().take({ type: 'sent' }).sent('rot')
  a.take({ type: 'wake' }, 10_000).take({ type: 'wake' }, 10_000 + MINUTE)
  b.take(a.sent('rot'))
  b.asked()
  const before = b.state
  t.deepEqual(b.take(first).asked(), [])
  t.is(b.state, before)
})

test('unconfirmed next', (t) => {
  const { a, b } = switchedPair()
  b.asked()
  t.is(nextWakeAt(b.state), MINUTE)
  t.false(canRotate(b.state))
  b.take({ type: 'wake' }, MINUTE)
  t.deepEqual(b.told.at(-1), 'rotation.failed rotation-unconfirmed')
  t.deepEqual([b.shown, canRotate(b.state), nextWakeAt(b.state)], ['active', true, null])
  // Nothing was withdrawn: the CONFIRM of the other side was only slow.
  t.deepEqual(b.asked(), [])
  b.take({ type: 'promoted', epoch: 1 }, 5 * MINUTE)
  a.take({ type: 'promoted', epoch: 1 }, 5 * MINUTE)
  t.deepEqual(b.asked(), ['switch 1'])
  t.is(termOf(a.state.root), termOf(b.state.root))
  // The keys are as old as their derivation.
  t.is(b.state.hardAt, ROTATION_LIMITS.hard.ms)
})

test('ROT after our switch', (t) => {
  const { a, b } = switchedPair()
  b.take({ type: 'wake' }, MINUTE).rotate(MINUTE)
  const rot = b.sent('rot')
  b.asked()
  a.asked()
  t.deepEqual(a.take(rot, MINUTE).asked(), [])
  t.is(a.told.at(-1), 'rotation.glare')
  b.take({ type: 'promoted', epoch: 1 }, MINUTE)
  t.deepEqual(b.asked(), ['switch 1'])
  t.is(b.state.own, null)
  t.deepEqual(b.told.slice(-2), ['rotation.glare', 'rotation.done'])
  t.is(b.events.at(-2)?.fields?.['won'], false)
})

test('connection lost mid-rotation', (t) => {
  const atEachStep: (() => Party)[] = [
    () => new Party(true).rotate(),
    () => new Party(true).rotate().take({ type: 'sent' }),
    () => switchedPair().a,
    () => switchedPair().b,
  ]
  for (const reach of atEachStep) {
    const party = reach()
    party.asked()
    t.deepEqual(party.take({ type: 'closed' }, 7).asked(), [])
    t.deepEqual([party.shown, party.told.at(-1)], ['closed', 'rotation.failed rotation-interrupted'])
    t.deepEqual([party.state.own, party.state.next, nextWakeAt(party.state)], [null, null, null])
    for (const type of ['wake', 'sent', 'closed'] as const)
      t.deepEqual(party.take({ type }, MINUTE).asked(), [])
    t.deepEqual(party.rotate().asked(), [])
  }
  const idle = new Party(true).take({ type: 'closed' })
  t.deepEqual([idle.shown, idle.told], ['closed', []])
})

test('bad ROT or ACK', (t) => {
  const { a, b } = pair()
  const rot = a.rotate().sent('rot')
  if (rot.type !== 'rot') throw new Error('unreachable')
  const other = rot.payload.slice()
  other[3] = 2
  const cases: RotationEvent[] = [
    { type: 'rot', payload: other },
    { type: 'rot', payload: rot.payload.subarray(1) },
    { type: 'ack', payload: rot.payload },
    { type: 'ack', payload: new Uint8Array(1164) },
    { type: 'rot', payload: rot.payload.with(20, 0x41) },
  ]
  for (const event of cases) {
    const party = new Party(false)
    t.deepEqual(party.take(event).asked(), ['close rotation-protocol-error'])
    t.deepEqual(party.told, ['rotation.failed rotation-protocol-error'])
    t.is(party.events[0]?.severity, 'alert')
    t.is(party.shown, 'closed')
  }
  // An ACK that names our ROT and does not authenticate.
  const ack = b.take(rot).sent('ack')
  if (ack.type !== 'ack') throw new Error('unreachable')
  a.asked()
  t.deepEqual(a.take({ type: 'ack', payload: ack.payload.with(20, 0x41) }).asked(), [
    'close rotation-protocol-error',
  ])
})

test('fallback forever', (t) => {
  // The peer never answers: attempts go on, and the hard limit still comes.
  const a = new Party(true)
  let now = 0
  const closesAt = (): boolean => a.shown === 'closed'
  while (!closesAt()) {
    now += 1000
    if (due(a.state, IDLE, now)) a.take({ type: 'use', usage: IDLE }, now)
    const wakeAt = nextWakeAt(a.state)
    if (wakeAt !== null && wakeAt <= now) a.take({ type: 'wake' }, now)
    if (a.state.own?.sentAt === null) a.take({ type: 'sent' }, now)
  }
  t.is(now, ROTATION_LIMITS.hard.ms)
  t.deepEqual(a.asked().at(-1), 'close rotation-hard-limit')
  t.is(a.told.at(-1), 'rotation.failed rotation-hard-limit')
  t.true(rotationView(a.state).failures >= 5)
  // By records and bytes too, whichever direction is busier.
  const { records, bytes } = ROTATION_LIMITS.hard
  for (const usage of [
    { ...IDLE, sentRecords: records },
    { ...IDLE, receivedRecords: records },
    { ...IDLE, sentBytes: bytes },
    { ...IDLE, receivedBytes: bytes },
  ]) {
    const party = new Party(false)
    t.true(due(party.state, usage, 0))
    t.deepEqual(party.take({ type: 'use', usage }).asked(), ['close rotation-hard-limit'])
  }
})

test('no ROT or ACK under a key that has served out', (t) => {
  const late = ROTATION_LIMITS.hard.ms
  const { a, b } = pair()
  const rot = a.rotate().take({ type: 'sent' }).sent('rot')
  a.take({ type: 'wake' }, 10_000)
  a.asked()
  t.deepEqual(a.take({ type: 'wake' }, late).asked(), ['close rotation-hard-limit'])
  t.deepEqual(b.take(rot, late).asked(), ['close rotation-hard-limit'])
  t.deepEqual(new Party(true).rotate(late).asked(), ['close rotation-hard-limit'])
})

test('epoch end', (t) => {
  const last = new Party(true, { epoch: EPOCH_MAX - 1 })
  t.deepEqual(last.rotate().asked(), ['send rot'])
  const end = new Party(true, { epoch: EPOCH_MAX })
  t.deepEqual(end.rotate().asked(), ['close rotation-epoch-limit'])
  t.deepEqual(end.told, ['rotation.failed rotation-epoch-limit'])
})

test('who starts', (t) => {
  const { soft } = ROTATION_LIMITS
  for (const [dialler, factor] of [
    [true, 1],
    [false, 1.5],
  ] as const) {
    const { state } = new Party(dialler)
    const limits: [string, (part: number) => readonly [Usage, number]][] = [
      ['time', (part) => [IDLE, soft.ms * factor * part]],
      ['records', (part) => [{ ...IDLE, sentRecords: soft.records * factor * part }, 0]],
      ['bytes', (part) => [{ ...IDLE, receivedBytes: soft.bytes * factor * part }, 0]],
    ]
    for (const [reason, at] of limits) {
      // Jitter only makes it earlier, by a tenth at most.
      t.false(due(state, ...at(0.89)), reason)
      t.true(due(state, ...at(1)), reason)
      const party = new Party(dialler)
      const [usage, now] = at(1)
      t.deepEqual(party.take({ type: 'use', usage }, now).asked(), ['send rot'])
      t.is(party.events[0]?.fields?.['reason'], reason)
      // Once under way, nothing more is due.
      t.false(due(party.state, usage, now))
    }
  }
})

test('jitter spreads the soft limits over a tenth', (t) => {
  const at = Array.from({ length: 200 }, (_, n) => {
    const random = { bytes: () => Uint8Array.of((n * 255) / 199, 0, 0, 0) }
    return createRotation({ dialler: true, root: new Uint8Array(32) }, 0, { random }).softAt
  })
  t.is(Math.max(...at), ROTATION_LIMITS.soft.ms)
  t.true(Math.min(...at) >= ROTATION_LIMITS.soft.ms * 0.9)
  t.true(Math.min(...at) < ROTATION_LIMITS.soft.ms * 0.91)
})

test('idle link', (t) => {
  const a = new Party(true)
  t.is(nextWakeAt(a.state), null)
  t.deepEqual(a.take({ type: 'wake' }, 20 * MINUTE).asked(), [])
  t.is(a.shown, 'active')
})

test('asked by a person', (t) => {
  const a = new Party(true).rotate()
  a.asked()
  t.deepEqual(a.rotate().asked(), [])
  a.take({ type: 'sent' }).take({ type: 'wake' }, 10_000)
  t.is(a.shown, 'failed')
  t.true(canRotate(a.state))
  t.deepEqual(a.rotate(11_000).asked(), ['send rot'])
  t.is(nextWakeAt(a.take({ type: 'sent' }, 11_000).state), 31_000)
})

test('flood', (t) => {
  const limits = { ...ROTATION_LIMITS, rotsPerMinute: 5 }
  const b = new Party(false, { limits })
  const rotOf = (attempts: number): RotationEvent => new Party(true, { attempts }).rotate().sent('rot')
  for (let n = 0; n < 5; n++) b.take(rotOf(n), n)
  t.is(b.shown, 'handshaking')
  b.asked()
  t.deepEqual(b.take(rotOf(5), MINUTE).asked(), ['expect 1', 'send ack'])
  for (let n = 6; n < 10; n++) b.take(rotOf(n), MINUTE)
  b.asked()
  t.deepEqual(b.take(rotOf(10), MINUTE).asked(), ['close rotation-flood'])
  t.deepEqual(b.events.at(-1)?.severity, 'alert')
})

test('an epoch nobody expected is a bug of ours', (t) => {
  t.throws(() => new Party(true).take({ type: 'promoted', epoch: 1 }), { message: /not expected/u })
})

test('the check of each record is cheap', (t) => {
  const { state } = new Party(true)
  const usage = { ...IDLE }
  const rounds = 2_000_000
  const measure = (): number => {
    const startedAt = process.hrtime.bigint()
    let found = 0
    for (let n = 0; n < rounds; n++) {
      usage.sentRecords = n
      if (due(state, usage, n)) found++
    }
    if (found > rounds) throw new Error('unreachable')
    return Number(process.hrtime.bigint() - startedAt) / rounds
  }
  measure()
  const heapBefore = process.memoryUsage().heapUsed
  const ns = measure()
  const grownBytes = process.memoryUsage().heapUsed - heapBefore
  t.log(`${ns.toFixed(1)} ns a check, heap grew by ${grownBytes} bytes over ${rounds} checks`)
  t.true(grownBytes / rounds < 1, 'a check allocates')
})

test('each report carries its figures and a text', (t) => {
  const { a, b } = switchedPair()
  b.take({ type: 'promoted', epoch: 1 }, 5)
  a.take({ type: 'promoted', epoch: 1 }, 6)
  for (const event of [...a.events, ...b.events]) {
    for (const field of ['epoch', 'reason', 'bytes', 'ms']) t.true(event.fields?.[field] !== undefined, field)
    t.regex(event.text ?? '', /epoch 1/u)
  }
})
