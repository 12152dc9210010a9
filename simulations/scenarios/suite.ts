import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { SimulationError } from './errors.ts'
import { LARGE, NAMED } from './index.ts'
import { randomScenario } from './random.ts'
import { readScenario, scenarioSchema, type Scenario } from './schema.ts'

/** Name under which scenarios are drawn. */
export const RANDOM = 'random'
const RANDOM_NODES = 25
const RANDOM_SEEDS = 100
const NIGHTLY_NODES = 50
const NIGHTLY_SEEDS = 500

/** One run to do: made only when its turn comes. */
export interface Job {
  readonly name: string
  readonly seed: string
  readonly make: () => Scenario
}

/** What is asked for. */
export interface Selection {
  /** Names of scenarios, `random`, and files; all that are not large when empty. */
  readonly names: readonly string[]
  /** First seed. */
  readonly seed: number
  /** Seeds of each; undefined: one of the named, many of `random`. */
  readonly seeds: number | undefined
  readonly nodes: number | undefined
  readonly isNightly: boolean
}

/** The runs a selection means, in order. @throws SimulationError */
export function selectJobs({ names, seed, seeds, nodes, isNightly }: Selection): Job[] {
  // The many before the few that take long: whoever ends a night early has them.
  const all = isNightly
    ? [RANDOM, ...LARGE.map(({ name }) => name)]
    : [...NAMED.map(({ name }) => name), RANDOM]
  const wanted = names.length > 0 ? names : all
  const randomSeeds = names.length > 0 ? 1 : isNightly ? NIGHTLY_SEEDS : RANDOM_SEEDS
  const jobs: Job[] = []
  for (const name of wanted) {
    const count = seeds ?? (name === RANDOM ? randomSeeds : 1)
    const scenario = name === RANDOM ? null : resized(find(name), nodes)
    for (let i = 0; i < count; i++) {
      const text = String(seed + i)
      const size = nodes ?? (isNightly ? NIGHTLY_NODES : RANDOM_NODES)
      jobs.push({
        name: scenario?.name ?? RANDOM,
        seed: text,
        make: () => scenario ?? randomScenario(text, size),
      })
    }
  }
  return jobs
}

function resized(scenario: Scenario, nodes: number | undefined): Scenario {
  return nodes === undefined ? scenario : { ...scenario, nodes }
}

function find(name: string): Scenario {
  const known = [...NAMED, ...LARGE].find((scenario) => scenario.name === name)
  if (known !== undefined) return known
  if (name.endsWith('.json')) return readScenarioFile(name)
  throw new SimulationError(`there is no scenario "${name}"; --list shows them, a file ends in .json`)
}

/** A scenario of the user's own. @throws SimulationError naming the file, the field and what is wrong with it. */
export function readScenarioFile(path: string): Scenario {
  const value = readJson(path)
  try {
    return readScenario(value)
  } catch (error) {
    throw new SimulationError(describe(path, error), { cause: error })
  }
}

const replaySchema = z.object({ seed: z.string(), scenario: scenarioSchema })

/** What a failure left behind: its scenario and seed. @throws SimulationError */
export function readReplayFile(path: string): Job {
  const value = readJson(path)
  try {
    const { seed, scenario } = replaySchema.parse(value)
    return { name: scenario.name, seed, make: () => readScenario(scenario) }
  } catch (error) {
    throw new SimulationError(describe(path, error), { cause: error })
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown
  } catch (error) {
    throw new SimulationError(`${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

function describe(path: string, error: unknown): string {
  if (!(error instanceof z.ZodError)) throw error
  const issues = error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`)
  return `${path} is no scenario: ${issues.join('; ')}`
}
