import { brokenBudgets } from '../checkers/budgets.ts'
import { findUnsettled } from '../checkers/liveness.ts'
import { Measurer, type Measures } from '../checkers/measures.ts'
import { SafetyChecker } from '../checkers/safety.ts'
import type { Invariant, Violation } from '../checkers/violation.ts'
import type { Disk } from '../world/disk.ts'
import type { Watcher } from '../world/node.ts'
import type { TraceEvent } from '../world/trace.ts'
import { World, type Machine } from '../world/world.ts'
import { planFault, type FaultListener } from './faults.ts'
import { faultsEnd, type Scenario } from './schema.ts'

/** How long the end may take to settle, and how often it is looked at. */
const SETTLE_MS = 15_000
const SETTLE_LOOK_MS = 500

/** What a run may replace, and who listens. */
export interface RunOptions {
  readonly seed: string
  readonly onTrace?: ((event: TraceEvent) => void) | undefined
  readonly onFault?: FaultListener | undefined
  /** Given the world before it runs: whoever wants to look at it at times of its own. It may change nothing. */
  readonly onWorld?: ((world: World) => void) | undefined
  /** Told of everything besides the checkers. */
  readonly watcher?: Watcher | undefined
  readonly machine?: Machine
  readonly makeDisk?: () => Disk
}

/** What became of one run. */
export interface RunResult {
  readonly scenario: Scenario
  readonly seed: string
  readonly hash: string
  /** Events delivered. */
  readonly events: number
  /** The first broken invariant; null when all held. */
  readonly violation: Violation | null
  readonly measures: Measures
}

/** Runs a scenario from a seed to its end, or to the first broken invariant. */
export function runScenario(scenario: Scenario, options: RunOptions): RunResult {
  const { seed, onTrace } = options
  let violation: Violation | null = null
  let world: World | null = null
  const report = (invariant: Invariant, text: string): void => {
    violation ??= { invariant, text, atMs: world?.now ?? 0, event: world?.trace.count ?? 0 }
    world?.stop()
  }
  const calmFromMs = faultsEnd(scenario) * 1000
  const firstFault = scenario.faults.reduce((first, { at }) => Math.min(first, at), Infinity)
  const measurer = new Measurer(Math.min(firstFault, scenario.seconds) * 1000, calmFromMs)
  const safety = new SafetyChecker(report, scenario.expect.noFalseDeath)
  const { nodes, topology, start, crypto } = scenario
  const { machine, makeDisk } = options
  world = new World({
    seed: `${scenario.name}/${seed}`,
    nodes,
    topology,
    start,
    crypto,
    onTrace,
    watchers: options.watcher === undefined ? [safety, measurer] : [safety, measurer, options.watcher],
    ...(machine === undefined ? {} : { machine }),
    ...(makeDisk === undefined ? {} : { makeDisk }),
  })
  safety.attach(world)
  measurer.attach(world)
  for (const fault of scenario.faults) planFault(world, fault, options.onFault)
  options.onWorld?.(world)
  try {
    world.run(scenario.seconds * 1000)
    if (scenario.expect.converged) settle(world, measurer)
  } catch (error) {
    // A machine that throws is the worst of findings, and needs its seed as any other.
    report('crash', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  const measures = measurer.result()
  if (violation === null) checkEnd(world, scenario, measurer, measures, report)
  return { scenario, seed, hash: world.trace.hash, events: world.trace.count, violation, measures }
}

/** News may be under way at the very end, a refutation on a lossy network for instance: it gets the time to arrive. */
function settle(world: World, { endedAt }: Measurer): void {
  const endMs = world.now + SETTLE_MS
  while (world.now < endMs && findUnsettled(world, endedAt) !== null) {
    const before = world.now
    world.run(before + SETTLE_LOOK_MS)
    if (world.now === before) return // a broken invariant has stopped the world
  }
}

function checkEnd(
  world: World,
  scenario: Scenario,
  { endedAt }: Measurer,
  measures: Measures,
  report: (invariant: Invariant, text: string) => void,
): void {
  const unsettled = scenario.expect.converged ? findUnsettled(world, endedAt) : null
  if (unsettled !== null) report(unsettled.invariant, unsettled.text)
  for (const event of scenario.expect.events) {
    const isThere = Object.keys(measures.events).some(
      (name) => name === event || name.startsWith(`${event} `),
    )
    if (!isThere) report('event-missing', `nobody raised ${event}`)
  }
  for (const text of brokenBudgets(scenario, measures)) report('budget', text)
}
