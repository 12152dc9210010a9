import test from 'ava'
import fc from 'fast-check'
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  CHECK_MS,
  PORT_TRIES_MAX,
} from '../../../node/port-mapping/limits.ts'
import {
  createMapping,
  type Grant,
  type MappingEffect,
  type MappingEvent,
  type MappingState,
} from '../../../node/port-mapping/mapping-state.ts'
import { step } from '../../../node/port-mapping/mapping.ts'

const PORT = 7070
const PUBLIC = Uint8Array.of(11, 0, 1, 1)
const HOUR_MS = 3_600_000
const grant = (change: Partial<Grant> = {}): Grant => ({
  externalAddress: PUBLIC,
  externalPort: PORT,
  leaseMs: 2 * HOUR_MS,
  epochS: 1000,
  ...change,
})
const half = (): number => 0.5
const kinds = (effects: readonly MappingEffect[]): string[] => effects.map(({ type }) => type)

/** A machine that was started and whose questions were answered so. */
function after(...answers: readonly (Grant | 'mapping-none' | 'mapping-refused' | 'mapping-conflict')[]): {
  state: MappingState
  effects: MappingEffect[]
} {
  const state = createMapping(PORT)
  let effects = step(state, { type: 'start' }, 0, half)
  for (const answer of answers) effects = step(state, answering(state, answer), 0, half)
  return { state, effects }
}

function answering(
  state: MappingState,
  answer: Grant | 'mapping-none' | 'mapping-refused' | 'mapping-conflict',
): MappingEvent {
  const id = state.lastId
  return typeof answer === 'string'
    ? { type: 'failed', id, code: answer }
    : { type: 'granted', id, grant: answer }
}

test('protocols are asked one after the other, and the first that grants is kept', (t) => {
  t.deepEqual(after().effects, [{ type: 'ask', id: 1, method: 'pcp', externalPort: PORT }])
  t.deepEqual(after('mapping-none').effects, [{ type: 'ask', id: 2, method: 'nat-pmp', externalPort: PORT }])
  const { state, effects } = after('mapping-none', 'mapping-none', grant())
  t.deepEqual(kinds(effects), ['changed', 'wake'])
  t.is(state.mapping?.method, 'upnp')
})

test('a router without any of them is left alone for longer and longer, and said so', (t) => {
  const { state, effects } = after('mapping-none', 'mapping-none', 'mapping-none')
  t.deepEqual(effects, [
    { type: 'report', code: 'mapping-none' },
    { type: 'wake', at: (BACKOFF_FIRST_MS * 3) / 4 },
  ])
  let last = 0
  for (let i = 0; i < 40; i++) {
    const dueAt = state.phase.name === 'waiting' ? state.phase.dueAt : Number.NaN
    t.deepEqual(step(state, { type: 'wake' }, dueAt - 1, half), [{ type: 'wake', at: dueAt }], 'not before')
    step(state, { type: 'wake' }, dueAt, half)
    for (let j = 0; j < 3; j++) step(state, answering(state, 'mapping-none'), dueAt, half)
    last = (state.phase.name === 'waiting' ? state.phase.dueAt : Number.NaN) - dueAt
  }
  t.is(last, BACKOFF_MAX_MS * (3 / 4))
})

test('the most telling failure is the one that stays', (t) => {
  const { state } = after('mapping-none', 'mapping-refused', 'mapping-none')
  t.is(state.failure?.code, 'mapping-refused')
})

for (const [what, change, code] of [
  ['a private address', { externalAddress: Uint8Array.of(192, 168, 0, 2) }, 'nat-double'],
  ["a carrier's address", { externalAddress: Uint8Array.of(100, 64, 0, 2) }, 'nat-carrier'],
  ['no address', { externalAddress: new Uint8Array(4) }, 'mapping-no-address'],
  ['a loopback address', { externalAddress: Uint8Array.of(127, 0, 0, 1) }, 'mapping-refused'],
  ['port 0', { externalPort: 0 }, 'mapping-refused'],
  ['a lease of a second', { leaseMs: 1000 }, 'mapping-refused'],
] as const)
  test(`a grant with ${what} is taken back: ${code}`, (t) => {
    const { state, effects } = after(grant(change))
    t.deepEqual(kinds(effects), ['remove'])
    t.is(state.mapping, null)
    const then = step(state, { type: 'removed', id: state.lastId }, 0, half)
    t.deepEqual(then[0], { type: 'report', code })
    t.is(state.failure?.code, code)
    t.deepEqual(kinds(then), ['report', 'wake'])
  })

test('another outside port is tried where the wanted one is taken, but not for ever', (t) => {
  const conflicts = Array.from({ length: PORT_TRIES_MAX }, () => 'mapping-conflict' as const)
  const { effects } = after(...conflicts)
  t.deepEqual(effects, [{ type: 'ask', id: PORT_TRIES_MAX + 1, method: 'pcp', externalPort: 40_000 }])
  const { state, effects: last } = after(...conflicts, 'mapping-conflict')
  t.deepEqual(kinds(last), ['remove'], 'an answer may have got lost')
  step(state, { type: 'removed', id: state.lastId }, 0, half)
  t.like(state.phase, { name: 'asking', method: 'nat-pmp' })
})

test('a mapping is confirmed at half its life or after five minutes, and is not announced again', (t) => {
  for (const [leaseMs, dueAt] of [
    [2 * HOUR_MS, CHECK_MS],
    [120_000, 60_000],
  ] as const) {
    const { state } = after(grant({ leaseMs }))
    t.like(state.phase, { name: 'mapped', dueAt })
    t.deepEqual(kinds(step(state, { type: 'wake' }, dueAt, half)), ['ask'])
    const renewed = grant({ leaseMs, epochS: 1000 + dueAt / 1000 })
    t.deepEqual(kinds(step(state, answering(state, renewed), dueAt, half)), ['wake'])
  }
})

test('a restart of the router shows in its count, another address is announced', (t) => {
  const { state } = after(grant())
  step(state, { type: 'wake' }, CHECK_MS, half)
  const restarted = grant({ epochS: 3, externalAddress: Uint8Array.of(11, 0, 1, 9) })
  const effects = step(state, answering(state, restarted), CHECK_MS, half)
  t.deepEqual(kinds(effects), ['report', 'changed', 'wake'])
  t.deepEqual(effects[0], { type: 'report', code: 'mapping-router-restarted' })
})

test('a router that falls silent keeps the mapping until it ends, one that refuses does not', (t) => {
  const { state } = after(grant({ leaseMs: 120_000 }))
  let now = 60_000
  while (now < 120_000) {
    t.deepEqual(kinds(step(state, { type: 'wake' }, now, half)), ['ask'])
    t.deepEqual(kinds(step(state, answering(state, 'mapping-none'), now, half)), ['wake'])
    t.not(state.mapping, null)
    now = state.phase.name === 'mapped' ? state.phase.dueAt : Number.NaN
  }
  t.is(now, 120_000)
  t.deepEqual(kinds(step(state, { type: 'wake' }, now, half)), ['report', 'changed', 'ask'])

  const refused = after(grant()).state
  step(refused, { type: 'wake' }, CHECK_MS, half)
  const effects = step(refused, answering(refused, 'mapping-refused'), CHECK_MS, half)
  t.deepEqual(kinds(effects), ['report', 'changed', 'remove'], 'the router may still hold it')
})

test('a lost mapping of another port than that of the mesh is taken back before that one is asked for', (t) => {
  const { state } = after('mapping-conflict', grant({ externalPort: 40_000 }))
  let now = 0
  let effects: MappingEffect[] = []
  while (state.mapping !== null) {
    now = state.phase.name === 'mapped' ? state.phase.dueAt : Number.NaN
    effects = step(state, { type: 'wake' }, now, half)
    if (state.mapping !== null) effects = step(state, answering(state, 'mapping-none'), now, half)
  }
  t.deepEqual(kinds(effects), ['report', 'changed', 'remove'])
})

test('another network is asked at once: a mapping is confirmed or given up, a pause ends', (t) => {
  const mapped = after(grant()).state
  t.deepEqual(kinds(step(mapped, { type: 'network-changed' }, 1, half)), ['ask'])
  const effects = step(mapped, answering(mapped, 'mapping-none'), 2, half)
  t.deepEqual(kinds(effects), ['report', 'changed', 'remove'])
  const waiting = after('mapping-none', 'mapping-none', 'mapping-none').state
  t.deepEqual(kinds(step(waiting, { type: 'network-changed' }, 1, half)), ['ask'])
  t.is(waiting.failures, 0)
  const removing = after(grant({ leaseMs: 1 })).state
  t.deepEqual(step(removing, { type: 'network-changed' }, 1, half), [])
  t.deepEqual(kinds(step(removing, { type: 'removed', id: removing.lastId }, 2, half)), ['ask'])
  const asking = after().state
  t.deepEqual(step(asking, { type: 'network-changed' }, 1, half), [])
  t.deepEqual(kinds(step(asking, answering(asking, grant()), 2, half)), ['changed', 'wake'])
  t.like(asking.phase, { name: 'mapped', dueAt: 2 })
})

test('a stop takes back what is there, and what was just asked for', (t) => {
  const cases = [
    [createMapping(PORT), ['stopped']],
    [after().state, ['cancel', 'remove']],
    [after(grant()).state, ['changed', 'remove']],
    [after('mapping-none', 'mapping-none', 'mapping-none').state, ['stopped']],
    [after(grant({ leaseMs: 1 })).state, []],
  ] as const
  for (const [state, expected] of cases) {
    t.deepEqual(kinds(step(state, { type: 'stop' }, 1, half)), [...expected])
    const ended = step(state, { type: 'removed', id: state.lastId }, 2, half)
    t.is(state.phase.name, 'stopped')
    t.deepEqual(ended, expected.some((kind) => kind === 'stopped') ? [] : [{ type: 'stopped' }])
    t.deepEqual(step(state, { type: 'start' }, 3, half), [])
  }
})

/** What a router and its owner may do at one moment. */
const happening = fc.oneof(
  { weight: 6, arbitrary: fc.constant('grant' as const) },
  { weight: 2, arbitrary: fc.constantFrom('silent' as const, 'lost-answer' as const, 'refuse' as const) },
  { weight: 1, arbitrary: fc.constantFrom('conflict' as const, 'private' as const, 'late' as const) },
  { weight: 1, arbitrary: fc.constantFrom('network-changed' as const, 'restart' as const) },
)

test('whatever a router does, it holds one mapping at most, renewed before it ends, none after the stop', (t) => {
  const run = (happenings: readonly string[], leaseMs: number, chance: number): void => {
    const state = createMapping(PORT)
    const held = new Map<number, number>() // outside port to its end
    let now = 0
    let announced: number | null = null as number | null
    let todo = step(state, { type: 'start' }, now, () => chance)
    const answer = (effect: MappingEffect, what: string): MappingEvent | null => {
      if (effect.type === 'remove') {
        held.delete(effect.externalPort)
        return { type: 'removed', id: effect.id }
      }
      if (effect.type !== 'ask') return null
      const { id } = effect
      if (what === 'refuse') return { type: 'failed', id, code: 'mapping-refused' }
      if (what === 'conflict')
        return (held.delete(effect.externalPort), { type: 'failed', id, code: 'mapping-conflict' })
      if (what === 'silent') return { type: 'failed', id, code: 'mapping-none' }
      held.set(effect.externalPort, now + leaseMs)
      if (what === 'lost-answer') return { type: 'failed', id, code: 'mapping-none' }
      const externalAddress = what === 'private' ? Uint8Array.of(10, 0, 0, 1) : PUBLIC
      const given: Grant = { externalAddress, externalPort: effect.externalPort, leaseMs, epochS: null }
      return { type: 'granted', id: what === 'late' ? id - 1 : id, grant: given }
    }
    const settle = (what: string): void => {
      for (let turns = 0; todo.length > 0; turns++) {
        t.true(turns < 100, 'the machine comes to rest')
        const [effect, ...rest] = todo
        todo = rest
        if (effect === undefined) break
        if (effect.type === 'changed') announced = effect.mapping?.externalPort ?? null
        const event = answer(effect, turns === 0 ? what : 'grant')
        if (event !== null) todo.push(...step(state, event, now, () => chance))
        if (state.phase.name === 'asking' && todo.length === 0) {
          const { id } = state.phase
          todo = step(state, { type: 'failed', id, code: 'mapping-none' }, now, () => chance)
        }
        for (const [port, end] of held) if (end <= now) held.delete(port)
        t.true(held.size <= 1, `${held.size} mappings`)
      }
    }
    settle(happenings[0] ?? 'grant')
    for (const what of happenings.slice(1)) {
      const { phase, mapping } = state
      t.true(phase.name === 'mapped' || phase.name === 'waiting')
      if (phase.name !== 'mapped' && phase.name !== 'waiting') return
      if (mapping !== null && what !== 'silent') t.true(phase.dueAt <= mapping.expiresAt)
      if (what === 'restart') held.clear()
      if (what === 'network-changed') {
        todo = step(state, { type: 'network-changed' }, now, () => chance)
      } else {
        now = phase.dueAt
        todo = step(state, { type: 'wake' }, now, () => chance)
      }
      settle(what)
      if (what === 'grant') t.is(announced, state.mapping?.externalPort ?? null)
    }
    todo = step(state, { type: 'stop' }, now, () => chance)
    settle('grant')
    t.is(held.size, 0)
    t.is(announced, null)
    t.is(state.phase.name, 'stopped')
  }
  fc.assert(
    fc.property(
      fc.array(happening, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 30_000, max: 4 * HOUR_MS }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      run,
    ),
    { numRuns: 300 },
  )
  t.pass()
})
