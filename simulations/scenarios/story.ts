import { z } from 'zod'
import { SITE_KINDS, type SimulatedKind } from '../world/topology.ts'
import { readScenario, type Scenario, type ScenarioInput } from './schema.ts'

/*
 * A story: sites with routers between them and an internet, what happens to them, and what must be true when. The simulator
 * plays it with machines, the lab with real processes behind real NAT.
 */

/** As many processes as two cores carry, and a name of a device each. */
const SITES_MAX = 12
/** Quiet seconds after the last fault: what the simulator needs to call everything settled. */
const PEACE_SECONDS = 60

const name = z
  .string()
  .regex(/^[a-z][a-z0-9]*$/, 'a lower-case word')
  .max(12)
const at = z.number().min(0).max(10_000)
const way = {
  /** One way. */
  delayMs: z.number().min(0).max(2_000).default(10),
  jitterMs: z.number().min(0).max(500).default(0),
  lossRate: z.number().min(0).max(0.5).default(0),
}

const siteSchema = z.strictObject({
  name,
  kind: z.enum(SITE_KINDS),
  /** Nodes at it, each on a machine of its own; `open` has one. The first has the site's name, the others `NAME-2` and so on. */
  nodes: z.int().min(1).max(8).default(1),
  /** TCP ports its nodes listen on; the simulator knows none. */
  ports: z.array(z.int().min(1).max(65_535)).min(1).max(4).default([4701]),
})

const stepSchema = z.discriminatedUnion('kind', [
  /** Sites are cut from all others: both ways, or what they send (`out`) or hear (`in`). */
  z.strictObject({
    kind: z.literal('cut'),
    at,
    until: at,
    sites: z.array(name).min(1),
    direction: z.enum(['both', 'out', 'in']).default('both'),
  }),
  /** A cut that comes and goes. */
  z.strictObject({
    kind: z.literal('flap'),
    at,
    until: at,
    sites: z.array(name).min(1),
    downMs: z.int().min(500),
    upMs: z.int().min(500),
  }),
  /** The site's router forgets what it translates. */
  z.strictObject({ kind: z.literal('reboot-nat'), at, site: name }),
  /** kill -9; started again at `until`. */
  z.strictObject({ kind: z.literal('kill'), at, until: at.optional(), node: z.string() }),
  /** A node goes to another home. */
  z.strictObject({ kind: z.literal('roam'), at, node: z.string(), to: name }),
  /** What must be true by then, and since how long is measured from the last step before. */
  z.strictObject({
    kind: z.literal('check'),
    at,
    name: z.string().min(1).max(60),
    /** Nodes of one group hold each other alive and open each other's names; others they hold dead. By default one: who runs. */
    groups: z.array(z.array(z.string()).min(1)).optional(),
    /** Whose view counts; by default everybody's who runs. */
    of: z.array(z.string()).min(1).optional(),
  }),
])

/** A story as it is written in a file. Times in seconds from its begin, when everybody knows everybody. */
export const storySchema = z
  .strictObject({
    name: z.string().regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'lower-case words joined by hyphens'),
    summary: z.string().max(200).default(''),
    /** The first one is open: its node founds the mesh. */
    sites: z.array(siteSchema).min(2).max(SITES_MAX),
    /** Between all sites. */
    path: z.strictObject(way).prefault({}),
    /** Between two sites, both ways, instead. */
    links: z.array(z.strictObject({ one: name, other: name, ...way })).default([]),
    steps: z.array(stepSchema).min(1).max(100),
  })
  .superRefine((story, context) => {
    for (const message of mistakes(story)) context.addIssue({ code: 'custom', message })
  })
export type Story = z.output<typeof storySchema>
export type StoryInput = z.input<typeof storySchema>
export type StoryStep = Story['steps'][number]
export type StoryCheck = Extract<StoryStep, { kind: 'check' }>

/** A node of a story: its name, its site, which machine of the site it has. */
export interface StoryNode {
  readonly name: string
  readonly site: string
  readonly index: number
}

/** Nodes in order: the simulator's node `i` is the lab's process `i`. */
export function nodesOf({ sites }: Pick<Story, 'sites'>): StoryNode[] {
  return sites.flatMap((site) =>
    Array.from({ length: site.nodes }, (_, index) => ({
      name: index === 0 ? site.name : `${site.name}-${index + 1}`,
      site: site.name,
      index,
    })),
  )
}

/** Checks in order of time. */
export function checksOf({ steps }: Story): StoryCheck[] {
  return steps.filter((step) => step.kind === 'check').sort((a, b) => a.at - b.at)
}

/** When the last thing before this check began or ended, in seconds: what it measures from. */
export function changedBefore({ steps }: Story, { at }: StoryCheck): number {
  const times = steps
    .filter(({ kind }) => kind !== 'check')
    .flatMap((step) => ('until' in step && step.until !== undefined ? [step.at, step.until] : [step.at]))
  return Math.max(0, ...times.filter((time) => time <= at))
}

/** Names of the nodes that run at a time. */
export function runningAt(story: Story, atSeconds: number): string[] {
  const down = story.steps.filter(
    (step) => step.kind === 'kill' && step.at <= atSeconds && (step.until ?? Infinity) > atSeconds,
  )
  return nodesOf(story)
    .map((node) => node.name)
    .filter((each) => !down.some((step) => step.kind === 'kill' && step.node === each))
}

function* mistakes(story: Story): Generator<string> {
  const sites = new Map(story.sites.map((site) => [site.name, site]))
  const nodes = new Map(nodesOf(story).map((node) => [node.name, node]))
  const site = (named: string) => (sites.has(named) ? [] : [`there is no site "${named}"`])
  const node = (named: string) => (nodes.has(named) ? [] : [`there is no node "${named}"`])
  if (story.sites[0]?.kind !== 'open') yield 'the first site is not open: nobody could join'
  if (sites.size !== story.sites.length) yield 'two sites have one name'
  for (const each of story.sites)
    if (each.kind === 'open' && each.nodes > 1) yield `open site "${each.name}" has more than one node`
  for (const { one, other } of story.links) yield* [...site(one), ...site(other)]
  for (const step of story.steps) {
    if ('until' in step && step.until !== undefined && step.until <= step.at)
      yield `a ${step.kind} ends before it begins`
    if (step.kind === 'cut' || step.kind === 'flap') yield* step.sites.flatMap(site)
    if (step.kind === 'reboot-nat') yield* site(step.site)
    if (step.kind === 'kill') yield* node(step.node)
    if (step.kind === 'check') yield* [...(step.groups ?? []).flat(), ...(step.of ?? [])].flatMap(node)
    if (step.kind !== 'roam') continue
    yield* [...node(step.node), ...site(step.to)]
    const kinds: (SimulatedKind | undefined)[] = [nodes.get(step.node)?.site ?? '', step.to].map(
      (each) => sites.get(each)?.kind,
    )
    if (kinds.some((kind) => kind === 'open' || kind === 'firewall'))
      yield `"${step.node}" can only go from one translating home to another`
  }
}

/** Reads a story. @throws z.ZodError */
export function readStory(value: unknown): Story {
  return storySchema.parse(value)
}

/** The story as the simulator plays it: the same sites, ways and steps. */
export function toScenario(story: Story): Scenario {
  const nodes = nodesOf(story)
  const numbers = new Map(story.sites.map((site, number) => [site.name, number]))
  const number = (site: string): number => numbers.get(site) ?? 0
  const { delayMs, ...usual } = story.path
  const quietFrom = Math.max(
    0,
    ...story.steps.map((step) => ('until' in step ? step.until : null) ?? step.at),
  )
  return readScenario({
    name: story.name,
    summary: story.summary,
    nodes: nodes.length,
    seconds: quietFrom + PEACE_SECONDS,
    topology: {
      nearMs: delayMs,
      ...usual,
      nat: story.sites.map(({ kind }) => kind),
      sites: nodes.map(({ site }) => number(site)),
      links: story.links.map(({ one, other, ...rest }) => ({
        one: number(one),
        other: number(other),
        ...rest,
      })),
      relays: story.sites.filter(({ kind }) => kind === 'open').length,
    },
    faults: story.steps.flatMap((step) => faultOf(step, nodes, number)),
  } satisfies ScenarioInput)
}

type FaultInput = NonNullable<ScenarioInput['faults']>[number]

function faultOf(
  step: StoryStep,
  nodes: readonly StoryNode[],
  number: (site: string) => number,
): FaultInput[] {
  const at = (isMeant: (node: StoryNode) => boolean) => ({
    at: step.at,
    select: { indices: nodes.flatMap((node, i) => (isMeant(node) ? [i] : [])) },
  })
  switch (step.kind) {
    case 'cut': {
      const { sites, until, direction } = step
      return [{ kind: 'partition', ...at(({ site }) => sites.includes(site)), until, args: { direction } }]
    }
    case 'flap': {
      const { sites, until, downMs, upMs } = step
      return [{ kind: 'flap', ...at(({ site }) => sites.includes(site)), until, args: { downMs, upMs } }]
    }
    case 'reboot-nat':
      return [{ kind: 'reboot-nat', ...at(({ site }) => site === step.site) }]
    case 'kill':
      return [{ kind: 'kill', ...at((node) => node.name === step.node), until: step.until }]
    case 'roam':
      return [{ kind: 'roam', ...at((node) => node.name === step.node), args: { site: number(step.to) } }]
    case 'check':
      return []
  }
}
