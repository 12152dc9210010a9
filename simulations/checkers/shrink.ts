import { faultsEnd, type Fault, type Scenario } from '../scenarios/schema.ts'
import type { RunResult } from '../scenarios/run.ts'
import type { Invariant } from './violation.ts'

/** Runs one shrinking may take. */
export const SHRINK_RUNS_MAX = 100
/** Broken at the end of a run only: the run must stay long enough for everything to settle. */
const AT_THE_END: ReadonlySet<Invariant> = new Set([
  'tables-differ',
  'alive-held-dead',
  'dead-held-alive',
  'revoked-held',
  'event-missing',
  'budget',
])
/** Quiet seconds after the last fault that a run keeps for those. */
const SETTLE_SECONDS = 60
/** Seconds a run is cut to after the event that broke a step invariant. */
const MARGIN_SECONDS = 1

/** The smallest failing scenario found, and what it took. */
export interface Shrunk {
  readonly result: RunResult
  readonly runs: number
}

/**
 * Makes a failing scenario smaller while it breaks the same invariant: fewer faults by delta debugging (Zeller and Hildebrandt,
 * "Simplifying and isolating failure-inducing input", ddmin), then half the nodes, then fewer seconds.
 */
export function shrink(failing: RunResult, run: (scenario: Scenario) => RunResult): Shrunk {
  const invariant = failing.violation?.invariant
  if (invariant === undefined) throw new Error('nothing to shrink: the run broke no invariant')
  let best = failing
  let runs = 0
  const attempt = (scenario: Scenario): boolean => {
    if (runs >= SHRINK_RUNS_MAX) return false
    runs++
    const result = run(scenario)
    if (result.violation?.invariant !== invariant) return false
    best = result
    return true
  }
  if (best.scenario.faults.length > 0) {
    const isEnough = attempt({ ...best.scenario, faults: [] })
    if (!isEnough) ddmin(best.scenario.faults, (faults) => attempt({ ...best.scenario, faults: [...faults] }))
  }
  for (;;) {
    const nodes = Math.floor(best.scenario.nodes / 2)
    if (nodes < 2 || !attempt({ ...best.scenario, nodes })) break
  }
  for (;;) {
    const seconds = shorter(best, invariant)
    if (seconds === null || !attempt({ ...best.scenario, seconds })) break
  }
  return { result: best, runs }
}

function shorter({ scenario, violation }: RunResult, invariant: Invariant): number | null {
  const atEnd = AT_THE_END.has(invariant)
  const floor = atEnd ? Math.ceil(faultsEnd(scenario)) + SETTLE_SECONDS : 1
  const cut = atEnd
    ? Math.ceil(scenario.seconds / 2)
    : Math.ceil((violation?.atMs ?? 0) / 1000) + MARGIN_SECONDS
  const seconds = Math.max(floor, cut)
  return seconds < scenario.seconds ? seconds : null
}

/** Takes away what is not needed, in ever smaller parts. `attempt` keeps what still fails. */
function ddmin(all: readonly Fault[], attempt: (faults: readonly Fault[]) => boolean): void {
  let faults = all
  let parts = 2
  while (faults.length >= 2) {
    const size = Math.ceil(faults.length / parts)
    let isReduced = false
    for (let from = 0; from < faults.length; from += size) {
      const rest = [...faults.slice(0, from), ...faults.slice(from + size)]
      if (!attempt(rest)) continue
      faults = rest
      parts = Math.max(parts - 1, 2)
      isReduced = true
      break
    }
    if (isReduced) continue
    if (parts >= faults.length) return
    parts = Math.min(faults.length, parts * 2)
  }
}
