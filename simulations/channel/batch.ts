import { Broken } from './ledger.ts'
import { run, type RunResult } from './run.ts'

/** Sums over many runs. */
export interface BatchResult {
  readonly runs: number
  readonly real: number
  readonly records: number
  readonly highestEpoch: number
  readonly virtualHours: number
  /** Runs by fault, frame kind included. */
  readonly faults: ReadonlyMap<string, number>
  /** Sides by how they ended. */
  readonly ends: ReadonlyMap<string, number>
  /** Events by kind and reason. */
  readonly events: ReadonlyMap<string, number>
}

/** A run that broke an invariant, and how to see it again. */
export class BatchFailure extends Error {}

/**
 * `count` runs of the seeds `<seed>/0`, `<seed>/1` …, of which `real`, evenly spread, with real cryptography.
 * @throws BatchFailure at the first one that breaks an invariant.
 */
export function runMany(seed: string, count: number, real: number): BatchResult {
  const faults = new Map<string, number>()
  const ends = new Map<string, number>()
  const events = new Map<string, number>()
  const add = (map: Map<string, number>, name: string, by = 1): void =>
    void map.set(name, (map.get(name) ?? 0) + by)
  let [records, highestEpoch, virtualMs] = [0, 0, 0]
  for (let number = 0; number < count; number++) {
    const isReal = isRealRun(number, count, real)
    const result = attempt(`${seed}/${number}`, isReal)
    add(faults, nameOf(result))
    for (const end of result.ends) add(ends, end)
    for (const [name, by] of result.events) add(events, name, by)
    records += result.records
    virtualMs += result.virtualMs
    highestEpoch = Math.max(highestEpoch, result.epoch)
  }
  return {
    runs: count,
    real,
    records,
    highestEpoch,
    virtualHours: virtualMs / 3_600_000,
    faults,
    ends,
    events,
  }
}

/** Every so many-th run is real. */
function isRealRun(number: number, count: number, real: number): boolean {
  return Math.floor((number * real) / count) !== Math.floor(((number + 1) * real) / count)
}

function attempt(seed: string, isReal: boolean): RunResult {
  try {
    return run(seed, { isReal })
  } catch (error) {
    const replay = `node simulations/channel/main.ts --replay ${seed}${isReal ? ' --real 1' : ''}`
    const what = error instanceof Broken ? error.message : String(error)
    throw new BatchFailure(`seed ${seed} (${isReal ? 'real' : 'symbolic'}): ${what}. Again: ${replay}`, {
      cause: error,
    })
  }
}

function nameOf({ fault, isFaulty }: RunResult): string {
  if (fault.kind === 'none') return 'none'
  if (!isFaulty) return 'too late'
  if (fault.kind === 'kill') return `kill ${fault.side === null ? 'connection' : 'process'}`
  return `${fault.kind} ${fault.frame}`
}

/** The sums as lines for a person. */
export function describeBatch(result: BatchResult): string[] {
  const list = (map: ReadonlyMap<string, number>): string =>
    [...map]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  return [
    `${result.runs} runs, ${result.real} of them with real keys; ${result.records} records, ${result.virtualHours.toFixed(1)} h of simulated time, highest epoch ${result.highestEpoch}`,
    `faults: ${list(result.faults)}`,
    `ends of both sides: ${list(result.ends)}`,
    `events: ${list(result.events)}`,
  ]
}
