import { BenchError } from './errors.ts'
import type { Report } from './report.ts'

/** How a benchmark is to run. */
export interface BenchOptions {
  /** Counted rounds; each benchmark has its own default. */
  readonly rounds: number | undefined
  /** Only these stacks; all when undefined. */
  readonly stacks: readonly string[] | undefined
  readonly isProfiled: boolean
  /** A line for whoever waits. */
  readonly progress: (line: string) => void
}

/** What a benchmark gives: for programs, and for people. */
export interface BenchResult {
  readonly report: Report
  readonly text: string
}

/** The stacks to measure, in their own order. @throws BenchError when one was asked for that does not exist. */
export function checkStacks(
  name: string,
  all: readonly string[],
  wanted: readonly string[] | undefined,
): readonly string[] {
  const unknown = wanted?.find((stack) => !all.includes(stack))
  if (unknown !== undefined)
    throw new BenchError(`${name}: there is no stack "${unknown}"; there are ${all.join(', ')}`)
  return all.filter((stack) => wanted === undefined || wanted.includes(stack))
}
