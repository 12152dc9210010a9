import type { Choices } from '../channel/seed.ts'
import { stream } from '../world/draws.ts'
import { SITE_KINDS } from '../world/topology.ts'
import { faultsEnd, readScenario, ROLES, type Scenario, type ScenarioInput } from './schema.ts'

type FaultInput = NonNullable<ScenarioInput['faults']>[number]

/** Faults of one random scenario. */
const FAULTS_MAX = 6
/** Faults begin in this window, seconds. */
const FIRST_AT = 10
const LAST_AT = 50
/** Quiet seconds after the last fault: everything must be settled by then. */
const SETTLE_SECONDS = 75

/** A scenario drawn from a seed: some faults on some network, then peace. */
export function randomScenario(seed: string, nodes: number): Scenario {
  const chance = stream(seed, 'scenario')
  const topology = {
    regions: chance.between(1, 3),
    farMs: chance.between(10, 150),
    jitterMs: chance.between(0, 40),
    lossRate: chance.pick([0, 0, 0.01, 0.05, 0.2]),
    nat: chance.chance(0.2) ? ['open' as const, 'open' as const, chance.pick(SITE_KINDS)] : ['open' as const],
    relays: 2,
  }
  const faults = Array.from({ length: chance.between(1, FAULTS_MAX) }, () => drawFault(chance))
  const draft = readScenario({
    name: 'random',
    nodes,
    seconds: 1,
    start: chance.chance(0.1) ? 'cold' : 'formed',
    crypto: chance.chance(0.1) ? 'real' : 'fake',
    topology,
    faults,
  })
  return { ...draft, seconds: Math.ceil(faultsEnd(draft)) + SETTLE_SECONDS }
}

function drawFault(chance: Choices): FaultInput {
  const at = chance.between(FIRST_AT, LAST_AT)
  const until = at + chance.between(2, 40)
  const select = chance.chance(0.5)
    ? { count: chance.between(1, 3) }
    : { share: chance.pick([0.1, 0.3, 0.5]) }
  const common = { at, until, select }
  const draws: readonly (() => FaultInput)[] = [
    () => ({ ...common, kind: 'kill' }),
    () => ({ at, select: { count: chance.between(1, 3) }, kind: 'kill' }),
    () => ({ ...common, kind: 'vanish' }),
    () => ({ at, select: { count: chance.between(1, 3) }, kind: 'vanish' }),
    () => ({ ...common, kind: 'stop', args: { leave: chance.chance(0.5) } }),
    () => ({
      ...common,
      kind: 'partition',
      args: { direction: chance.pick(['both', 'out', 'in'] as const) },
    }),
    () => ({
      ...common,
      kind: 'flap',
      args: { downMs: chance.between(500, 9_000), upMs: chance.between(500, 9_000) },
    }),
    () => ({ ...common, kind: 'loss', args: { rate: chance.pick([0.1, 0.3, 0.6]) } }),
    () => ({ ...common, kind: 'slow', args: { extraMs: chance.between(50, 3_000) } }),
    () => ({ ...common, kind: 'narrow', args: { bytesPerSecond: chance.pick([4_000, 20_000]) } }),
    () => ({ at, select, kind: 'stall', args: { ms: chance.between(300, 8_000) } }),
    () => ({ ...common, kind: 'clock', args: { skewMs: chance.between(-100_000, 100_000), driftPpm: 100 } }),
    () => ({ ...common, select: { count: 1 }, kind: 'rollback', args: { ageSeconds: chance.between(1, 9) } }),
    () => ({
      ...common,
      kind: 'churn',
      args: { perMinute: chance.between(1, 6), downMs: chance.between(500, 8_000) },
    }),
    () => ({ at, select: { count: chance.between(1, 2) }, kind: 'revoke' }),
    () => ({
      ...common,
      select: { count: chance.between(1, 3) },
      kind: 'byzantine',
      args: { role: chance.pick(ROLES) },
    }),
  ]
  return chance.pick(draws)()
}
