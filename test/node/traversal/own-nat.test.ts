import test from 'ava'
import { OwnNat } from '../../../node/traversal/own-nat.ts'
import type { Netcheck } from '../../../node/traversal/netcheck.ts'
import { classify, type Observations } from '../../../protocols/traversal/classify.ts'

const ip = (text: string): Uint8Array => Uint8Array.from(text.split('.').map(Number))
const at = (text: string, port: number) => ({ ip: ip(text), port })
const local = at('192.168.1.2', 41_000)
const NOTHING: Observations = {
  local,
  views: [],
  arrivals: [],
  hairpin: null,
  reached: null,
  routerOutside: null,
}
const netcheck = (observations: Observations): Netcheck => ({
  classified: classify(observations),
  observations,
  silent: [],
})
/** One port of one member sees this node. */
const seen: Observations = {
  ...NOTHING,
  views: [
    { reflector: at('52.0.0.1', 1), outside: at('52.0.0.9', 40_001) },
    { reflector: at('52.0.0.1', 2), outside: at('52.0.0.9', 40_002) },
  ],
}

test('a measurement is news when it found something else, and remembers how many could be asked', async (t) => {
  const told: boolean[] = []
  const events: string[] = []
  const state = { found: netcheck(NOTHING), reflectors: 1 }
  const clock = { time: 100_000, now: () => clock.time }
  const nat = new OwnNat({
    measure: () => Promise.resolve(state.found),
    reflectors: () => state.reflectors,
    wasDialled: () => false,
    changed: (isNews) => void told.push(isNews),
    clock,
    timers: { after: () => () => undefined, every: () => () => undefined },
    emit: ({ kind }) => void events.push(kind),
  })
  t.is(nat.standing(), null)
  for (const [found, reflectors] of [
    [NOTHING, 1],
    [NOTHING, 1],
    [seen, 1],
    [seen, 5],
    [{ ...seen, reached: true }, 5],
    [{ ...seen, reached: true }, 0],
  ] as const) {
    Object.assign(state, { found: netcheck(found), reflectors })
    await nat.measure()
  }
  t.deepEqual(told, [true, false, true, false, true, false])
  t.is(nat.askedOf, 0)
  state.reflectors = 9
  t.is(nat.askedOf, 0, 'as it was then')
  await nat.measure()
  t.is(nat.askedOf, 2, 'more tell no more')
  t.deepEqual(events, ['netcheck.done', 'netcheck.done'])
  await nat.stop()
})
