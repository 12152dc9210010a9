import { setTimeout as sleep } from 'node:timers/promises'
import {
  differences,
  observersOf,
  outcomeOf,
  type CheckResult,
  type Outcome,
  type Prediction,
} from '../scenarios/story-outcome.ts'
import { changedBefore, checksOf, type Story, type StoryStep } from '../scenarios/story.ts'
import { Internet } from './internet.ts'
import { Lab } from './lab.ts'
import { StoryNodes } from './story-nodes.ts'

/** How often the lab looks. */
const LOOK_MS = 500
/** Everybody has joined, knows everybody and opens every name. */
const FORMED_WITHIN_MS = 90_000
/**
 * The lab's bound is the simulator's time, twice, and this: a connection's own time-outs and pauses between dials (10 s each way at
 * worst, as drawn by another seed), and a machine with two cores for all processes.
 */
const PREDICTED_FACTOR = 2
const SLACK_MS = 20_000
/** Of each node's log, when a story fails. */
const LOG_CHARACTERS = 600

/** A check as the lab saw it. */
export interface PlayedCheck extends CheckResult {
  /** What the simulator said, and what the lab had, in ms. */
  readonly predictedMs: number
  readonly boundMs: number
  /** Where the lab and the simulator differ; empty when the check held. */
  readonly differences: readonly string[]
}

/** What became of a story on real processes. */
export interface Played {
  readonly story: string
  readonly nodes: number
  readonly ok: boolean
  readonly formedMs: number
  readonly tookMs: number
  readonly checks: readonly PlayedCheck[]
  /** Logs, of a story that failed. */
  readonly logs: string | null
}

/** Something that happens at a time of the story, in ms. */
interface Happening {
  readonly atMs: number
  readonly text: string
  run(): Promise<void>
}

/** Plays a story on real processes and holds every check against the simulator's. */
export async function play(
  story: Story,
  prediction: Prediction,
  { seed, onProgress }: { seed: string; onProgress: (text: string) => void },
): Promise<Played> {
  const startedAt = performance.now()
  const lab = new Lab()
  let net: Internet | undefined
  try {
    net = await Internet.start(lab, {
      seed: `${story.name}/${seed}`,
      sites: story.sites.map(({ name, kind, nodes }) => ({ name, kind, hosts: nodes })),
      path: story.path,
      offload: story.path.lossRate === 0 && story.links.every(({ lossRate }) => lossRate === 0),
    })
    for (const { one, other, ...path } of story.links) await net.setBetween([one], [other], path)
    const nodes = new StoryNodes(lab, net, story)
    await nodes.start()
    const whole = outcomeOf(
      nodes.names,
      nodes.names,
      () => 'alive',
      () => true,
    )
    const formed = await watch(nodes, whole, nodes.names, { untilMs: 0, withinMs: FORMED_WITHIN_MS })
    onProgress(
      `formed, ${nodes.names.length} nodes: ${text(formed.differences, performance.now() - startedAt)}`,
    )
    const formedMs = performance.now() - startedAt
    const checks: PlayedCheck[] = []
    if (formed.differences.length > 0)
      checks.push({ name: 'formed', predictedMs: 0, boundMs: FORMED_WITHIN_MS, ...formed })
    else await follow(story, prediction, { nodes, net, checks, onProgress })
    const ok = checks.every(
      ({ differences: found, settledMs, boundMs }) => found.length === 0 && settledMs <= boundMs,
    )
    return {
      story: story.name,
      nodes: nodes.names.length,
      ok,
      formedMs: Math.round(formedMs),
      tookMs: Math.round(performance.now() - startedAt),
      checks,
      logs: ok ? null : nodes.logs(LOG_CHARACTERS),
    }
  } finally {
    await net?.close()
    await lab.close()
  }
}

interface Stage {
  readonly nodes: StoryNodes
  readonly net: Internet
  readonly checks: PlayedCheck[]
  readonly onProgress: (text: string) => void
}

async function follow(story: Story, prediction: Prediction, stage: Stage): Promise<void> {
  const { nodes, net, checks, onProgress } = stage
  const t0 = performance.now()
  const happenings = [
    ...story.steps.flatMap((step) => happeningsOf(step, story, nodes, net)),
    ...checksOf(story).map((check, i): Happening => {
      const changedMs = changedBefore(story, check) * 1000
      return {
        // It looks from the last step on; steps at the same time come first.
        atMs: changedMs + 1,
        text: '',
        async run() {
          const predicted = prediction.checks[i]
          if (predicted === undefined) throw new Error(`nothing was predicted for "${check.name}"`)
          const boundMs = predicted.settledMs * PREDICTED_FACTOR + SLACK_MS
          const seen = await watch(nodes, predicted.outcome, observersOf(story, check), {
            untilMs: check.at * 1000 - changedMs,
            withinMs: boundMs,
          })
          checks.push({ name: check.name, predictedMs: predicted.settledMs, boundMs, ...seen })
          onProgress(`${check.name}: ${text(seen.differences, seen.settledMs)}`)
        },
      }
    }),
  ].sort((a, b) => a.atMs - b.atMs)
  for (const { atMs, text: said, run } of happenings) {
    await sleep(Math.max(0, t0 + atMs - performance.now()))
    await run()
    if (said !== '') onProgress(`${(atMs / 1000).toFixed(0)} s: ${said}`)
  }
}

function happeningsOf(step: StoryStep, story: Story, nodes: StoryNodes, net: Internet): Happening[] {
  const atMs = step.at * 1000
  switch (step.kind) {
    case 'cut':
      return [
        {
          atMs,
          text: `${step.sites.join(', ')} cut (${step.direction})`,
          run: () => cut(net, story, step, true),
        },
        { atMs: step.until * 1000, text: 'healed', run: () => cut(net, story, step, false) },
      ]
    case 'flap': {
      const happenings: Happening[] = []
      const both = { sites: step.sites, direction: 'both' as const }
      for (let downAt = atMs; downAt < step.until * 1000; downAt += step.downMs + step.upMs) {
        const upAt = Math.min(step.until * 1000, downAt + step.downMs)
        happenings.push({ atMs: downAt, text: '', run: () => cut(net, story, both, true) })
        happenings.push({ atMs: upAt, text: '', run: () => cut(net, story, both, false) })
      }
      return happenings
    }
    case 'reboot-nat':
      return [{ atMs, text: `router of ${step.site} off and on`, run: async () => net.rebootNat(step.site) }]
    case 'kill': {
      const { node, until } = step
      const killed = { atMs, text: `${node} killed`, run: () => nodes.kill(node) }
      if (until === undefined) return [killed]
      return [killed, { atMs: until * 1000, text: `${node} started`, run: () => nodes.restart(node) }]
    }
    case 'roam':
      return [{ atMs, text: `${step.node} goes to ${step.to}`, run: () => nodes.roam(step.node, step.to) }]
    case 'check':
      return []
  }
}

async function cut(
  net: Internet,
  story: Story,
  { sites, direction }: { sites: readonly string[]; direction: 'both' | 'out' | 'in' },
  isBlocked: boolean,
): Promise<void> {
  const others = story.sites.map(({ name }) => name).filter((name) => !sites.includes(name))
  if (direction === 'both') return net.setBetween(sites, others, { isBlocked })
  for (const inside of sites)
    for (const outside of others)
      await net.setPath(
        ...(direction === 'out' ? ([inside, outside] as const) : ([outside, inside] as const)),
        { isBlocked },
      )
}

/**
 * Looks until it is as wanted, and, where that is sooner than `untilMs`, until then: it must be so still. Gives up at `withinMs`, or
 * at `untilMs` when that is later. Both count from now.
 */
async function watch(
  nodes: StoryNodes,
  wanted: Outcome,
  observers: readonly string[],
  { untilMs, withinMs }: { untilMs: number; withinMs: number },
): Promise<{ outcome: Outcome; settledMs: number; differences: string[] }> {
  const from = performance.now()
  const passedMs = (): number => performance.now() - from
  let settledMs: number | null = null
  for (;;) {
    const held = await nodes.holds(observers)
    const isHeld = differences(held, { ...wanted, opens: held.opens }).length === 0
    if (!isHeld) settledMs = null
    else if (settledMs === null) {
      const { opens } = await nodes.look(observers)
      if (differences({ ...wanted, opens }, wanted).length === 0) settledMs = passedMs()
    }
    const isTime = passedMs() >= untilMs
    if ((isTime && settledMs !== null) || passedMs() >= Math.max(untilMs, withinMs)) {
      const outcome = await nodes.look(observers)
      const found = differences(outcome, wanted)
      if (found.length === 0 || passedMs() >= Math.max(untilMs, withinMs))
        return { outcome, settledMs: Math.round(settledMs ?? passedMs()), differences: found }
      settledMs = null
    }
    await sleep(LOOK_MS)
  }
}

function text(found: readonly string[], tookMs: number): string {
  const seconds = `${(tookMs / 1000).toFixed(1)} s`
  if (found.length === 0) return `after ${seconds}`
  return `not after ${seconds}: ${found.slice(0, 3).join('; ')}${found.length > 3 ? ` and ${found.length - 3} more` : ''}`
}
