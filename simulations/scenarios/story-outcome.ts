import type { SimNode } from '../world/node.ts'
import type { World } from '../world/world.ts'
import { runScenario, type RunResult } from './run.ts'
import {
  changedBefore,
  checksOf,
  nodesOf,
  runningAt,
  toScenario,
  type Story,
  type StoryCheck,
} from './story.ts'

/** How often the simulator looks, ms of its time. */
const LOOK_MS = 250

/** How nodes see each other, by name of who sees, then of whom. */
export interface Outcome {
  /** `alive`, `suspect`, `dead`, `left`, or `unknown`. */
  readonly holds: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Whether the other's name opens. */
  readonly opens: Readonly<Record<string, Readonly<Record<string, boolean>>>>
}

/** A check as it came out. */
export interface CheckResult {
  readonly name: string
  readonly outcome: Outcome
  /** From the last step until it was so for good, in ms. */
  readonly settledMs: number
}

/** A story as the simulator plays it. */
export interface Prediction {
  readonly run: RunResult
  readonly checks: readonly CheckResult[]
}

/** Whose view counts at a check. */
export function observersOf(story: Story, check: StoryCheck): string[] {
  const running = runningAt(story, check.at)
  return running.filter((name) => check.of?.includes(name) ?? true)
}

/** What a check asks for. */
export function askedFor(story: Story, check: StoryCheck): Outcome {
  const groups = check.groups ?? [runningAt(story, check.at)]
  const isTogether = (one: string, other: string): boolean =>
    groups.some((group) => group.includes(one) && group.includes(other))
  return outcomeOf(
    observersOf(story, check),
    nodesOf(story).map(({ name }) => name),
    (one, other) => (isTogether(one, other) ? 'alive' : 'dead'),
    isTogether,
  )
}

/** An outcome, asked for pair by pair. */
export function outcomeOf(
  observers: readonly string[],
  names: readonly string[],
  hold: (observer: string, other: string) => string,
  open: (observer: string, other: string) => boolean,
): Outcome {
  const table = <T>(ask: (observer: string, other: string) => T): Record<string, Record<string, T>> =>
    Object.fromEntries(
      observers.map((observer) => [
        observer,
        Object.fromEntries(
          names.filter((other) => other !== observer).map((other) => [other, ask(observer, other)]),
        ),
      ]),
    )
  return { holds: table(hold), opens: table(open) }
}

/** Where two outcomes differ, as sentences; none when they are the same. */
export function differences(seen: Outcome, wanted: Outcome): string[] {
  const said: string[] = []
  for (const [observer, row] of Object.entries(wanted.holds))
    for (const [other, state] of Object.entries(row)) {
      const held = seen.holds[observer]?.[other] ?? 'unknown'
      if (held !== state) said.push(`${observer} holds ${other} ${held}, not ${state}`)
      const opens = seen.opens[observer]?.[other] ?? false
      const shouldOpen = wanted.opens[observer]?.[other] ?? false
      if (opens !== shouldOpen)
        said.push(`${observer} ${opens ? 'opens' : 'does not open'} the name of ${other}`)
    }
  return said
}

/** Plays a story in the simulator: what each check comes to, and how long it takes. */
export function predict(story: Story, seed: string): Prediction {
  const watched = checksOf(story).map((check) => ({ check, samples: [] as Sample[] }))
  const onWorld = (world: World): void => {
    for (const { check, samples } of watched)
      for (let atMs = changedBefore(story, check) * 1000; atMs <= check.at * 1000; atMs += LOOK_MS)
        world.scheduler.at(atMs, () => samples.push({ atMs, outcome: lookAt(world, story, check) }))
  }
  const run = runScenario(toScenario(story), { seed, onWorld })
  const checks = watched.map(({ check, samples }) => settled(story, check, samples))
  return { run, checks }
}

interface Sample {
  readonly atMs: number
  readonly outcome: Outcome
}

function settled(story: Story, check: StoryCheck, samples: readonly Sample[]): CheckResult {
  const last = samples.at(-1)
  if (last === undefined) throw new Error(`${story.name} ended before "${check.name}"`)
  const other = samples.findLast(({ outcome }) => differences(outcome, last.outcome).length > 0)
  const sinceMs = other === undefined ? changedBefore(story, check) * 1000 : other.atMs + LOOK_MS
  return {
    name: check.name,
    outcome: last.outcome,
    settledMs: sinceMs - changedBefore(story, check) * 1000,
  }
}

function lookAt(world: World, story: Story, check: StoryCheck): Outcome {
  const names = nodesOf(story).map(({ name }) => name)
  const nodes = new Map(names.map((name, i) => [name, world.node(i)]))
  const node = (name: string): SimNode => nodes.get(name) ?? world.node(0)
  const hold = (one: string, other: string): string => heldBy(node(one), node(other))
  return outcomeOf(
    observersOf(story, check),
    names,
    hold,
    (one, other) => hold(one, other) === 'alive' && world.canMeet(node(one), node(other)),
  )
}

function heldBy({ process }: SimNode, { id }: SimNode): string {
  if (process === null || process.state.table.get(id) === undefined) return 'unknown'
  return process.state.verdicts.get(id)?.state ?? 'alive'
}
