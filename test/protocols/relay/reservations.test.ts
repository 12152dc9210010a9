import test from 'ava'
import fc from 'fast-check'
import {
  RELAYS_WANTED,
  REPLACE_INTERVAL_MS,
  RESERVE_RETRY_FIRST_MS,
  RESERVE_RETRY_MAX_MS,
} from '../../../protocols/relay/limits.ts'
import {
  createReservations,
  heldRelays,
  step,
  type RelayCandidate,
  type ReservationState,
} from '../../../protocols/relay/reservations.ts'

const near: RelayCandidate = { id: 'near', rttMs: 10 }
const middle: RelayCandidate = { id: 'middle', rttMs: 60 }
const far: RelayCandidate = { id: 'far', rttMs: 200 }
const unknown: RelayCandidate = { id: 'unknown', rttMs: null }

/** Looks, and lets every relay asked say yes. */
function look(
  state: ReservationState,
  candidates: readonly RelayCandidate[],
  now: number,
  isNeeded = true,
): string[] {
  const effects = step(state, { type: 'look', candidates, isNeeded }, now)
  for (const { type, relay } of effects)
    if (type === 'reserve') step(state, { type: 'reserved', relay, circuits: 0 }, now)
  return effects.map(({ type, relay }) => `${type} ${relay}`)
}

test('a node that cannot be dialled reserves at the two nearest relays', (t) => {
  const state = createReservations()
  t.deepEqual(look(state, [far, unknown, near, middle], 0), ['reserve near', 'reserve middle'])
  t.deepEqual(heldRelays(state).toSorted(), ['middle', 'near'])
  t.deepEqual(look(state, [far, unknown, near, middle], 1000), [], 'and then leaves it so')
})

test('a node that can be dialled reserves nowhere, and gives up what it held', (t) => {
  const state = createReservations()
  t.deepEqual(look(state, [near], 0, false), [])
  look(state, [near, far], 1000)
  t.deepEqual(look(state, [near, far], 2000, false), ['release near', 'release far'])
  t.deepEqual(heldRelays(state), [])
})

test('a relay that restarts is asked again as soon as it is back', (t) => {
  const state = createReservations()
  look(state, [near], 0)
  step(state, { type: 'lost', relay: 'near', code: 'relay-lost' }, 10_000)
  t.deepEqual(look(state, [], 10_500), [])
  t.deepEqual(look(state, [near], 11_000), ['reserve near'])
})

test('a relay that refuses is left alone for longer and longer, up to five minutes', (t) => {
  const state = createReservations()
  let now = 0
  let pauseMs = RESERVE_RETRY_FIRST_MS
  for (let i = 0; i < 12; i++) {
    t.deepEqual(step(state, { type: 'look', candidates: [near], isNeeded: true }, now), [
      { type: 'reserve', relay: 'near' },
    ])
    step(state, { type: 'lost', relay: 'near', code: 'relay-full' }, now)
    t.deepEqual(look(state, [near], now + pauseMs - 1), [])
    now += pauseMs
    pauseMs = Math.min(pauseMs * 2, RESERVE_RETRY_MAX_MS)
  }
})

test('a much better relay takes over from the worst: it is reserved first, and no more than once in five minutes', (t) => {
  const state = createReservations()
  look(state, [middle, far], 0)
  t.deepEqual(look(state, [middle, far, near], 1000), ['reserve near'])
  t.deepEqual(look(state, [middle, far, near], 2000), ['release far'])
  const nearer: RelayCandidate = { id: 'nearer', rttMs: 1 }
  t.deepEqual(look(state, [middle, far, near, nearer], 3000), [])
  t.deepEqual(look(state, [middle, far, near, nearer], 1000 + REPLACE_INTERVAL_MS), ['reserve nearer'])
})

test('a relay that is no candidate any more gives way to any other, and stays where there is none', (t) => {
  const state = createReservations()
  look(state, [near, middle], 0)
  t.deepEqual(look(state, [middle], 1000), [])
  t.deepEqual(look(state, [middle, far], 2000), ['reserve far'])
  t.deepEqual(look(state, [middle, far], 3000), ['release near'])
})

test('a relay somewhat better, or better by a few milliseconds, changes nothing', (t) => {
  const state = createReservations()
  look(state, [middle, far], 0)
  t.deepEqual(look(state, [middle, far, { id: 'x', rttMs: 150 }], 1000), [])
  const quick = createReservations()
  look(
    quick,
    [
      { id: 'a', rttMs: 10 },
      { id: 'b', rttMs: 10 },
    ],
    0,
  )
  t.deepEqual(
    look(
      quick,
      [
        { id: 'a', rttMs: 10 },
        { id: 'b', rttMs: 10 },
        { id: 'c', rttMs: 1 },
      ],
      1000,
    ),
    [],
  )
})

test('what a relay carries makes it worse', (t) => {
  const state = createReservations()
  const twin = (id: string): RelayCandidate => ({ id, rttMs: 100 })
  look(state, [twin('busy'), twin('b')], 0)
  step(state, { type: 'load', relay: 'busy', circuits: 300 }, 500)
  t.deepEqual(look(state, [twin('busy'), twin('b'), twin('free')], 1000), ['reserve free'])
  t.deepEqual(look(state, [twin('busy'), twin('b'), twin('free')], 2000), ['release busy'])
})

test('a yes nobody waits for any more is given back', (t) => {
  const state = createReservations()
  t.deepEqual(step(state, { type: 'reserved', relay: 'near', circuits: 0 }, 0), [
    { type: 'release', relay: 'near' },
  ])
})

test('whatever happens, no more than one relay beyond those wanted is engaged, and with candidates some are', (t) => {
  const ids = ['a', 'b', 'c', 'd', 'e']
  const event = fc.oneof(
    fc.record({ type: fc.constant('look' as const), present: fc.subarray(ids), isNeeded: fc.boolean() }),
    fc.record({
      type: fc.constantFrom('reserved' as const, 'lost' as const),
      relay: fc.constantFrom(...ids),
    }),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const state = createReservations()
      let now = 0
      for (const each of events) {
        now += 700
        if (each.type === 'look')
          step(
            state,
            {
              type: 'look',
              candidates: each.present.map((id, i) => ({ id, rttMs: i * 40 })),
              isNeeded: each.isNeeded,
            },
            now,
          )
        else if (each.type === 'reserved') step(state, { ...each, type: 'reserved', circuits: 0 }, now)
        else step(state, { ...each, type: 'lost', code: 'relay-lost' }, now)
        const engaged = [...state.relays.values()].filter(({ phase }) => phase !== 'idle')
        t.true(engaged.length <= RELAYS_WANTED + 1)
      }
      const candidates = ids.map((id) => ({ id, rttMs: 5 }))
      now += RESERVE_RETRY_MAX_MS
      look(state, candidates, now)
      t.true(
        heldRelays(state).length > 0 || [...state.relays.values()].some(({ phase }) => phase === 'asked'),
      )
    }),
  )
})
