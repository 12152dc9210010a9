import { z } from 'zod'
import { topologySchema } from '../world/topology.ts'

/** Nodes a fault is about: so many, a share of all, or these; drawn by the run's seed, unless they are named. */
export const selectSchema = z.union([
  z.strictObject({ count: z.int().min(1) }),
  z.strictObject({ share: z.number().gt(0).max(1) }),
  z.strictObject({ indices: z.array(z.int().min(0)).min(1) }),
])
export type Select = z.output<typeof selectSchema>

/** Byzantine roles a node can take. */
export const ROLES = ['replayer', 'roll-backer', 'accuser', 'colluder', 'dropper', 'equivocator'] as const
export type RoleName = (typeof ROLES)[number]

const at = z.number().min(0)
const until = z.number().min(0).optional()
/** Names the fault's own stream of chance: faults taken away by shrinking must not move the others'. */
const id = z.string().min(1).max(64).optional()
const common = { id, at, select: selectSchema, until }
const noArgs = z.strictObject({}).default({})

/** One fault. `at` and `until` in seconds; without `until` it lasts (or is over at once, where it has no length). */
export const faultSchema = z.discriminatedUnion('kind', [
  /** kill -9; back at `until`. */
  z.strictObject({ kind: z.literal('kill'), ...common, args: noArgs }),
  /** The host goes with its cable; back at `until`. */
  z.strictObject({ kind: z.literal('vanish'), ...common, args: noArgs }),
  /** A clean stop; back at `until`. */
  z.strictObject({
    kind: z.literal('stop'),
    ...common,
    args: z.strictObject({ leave: z.boolean().default(false) }).prefault({}),
  }),
  /** The selected are cut from the rest: both ways, or only what they send (`out`) or hear (`in`). */
  z.strictObject({
    kind: z.literal('partition'),
    ...common,
    args: z.strictObject({ direction: z.enum(['both', 'out', 'in']).default('both') }).prefault({}),
  }),
  /** A partition that comes and goes: `downMs` cut, then `upMs` whole. */
  z.strictObject({
    kind: z.literal('flap'),
    ...common,
    args: z
      .strictObject({ downMs: z.int().min(100).default(5_000), upMs: z.int().min(100).default(5_000) })
      .prefault({}),
  }),
  /** The routers before the selected forget what they translate: connections that leave the site go silent. */
  z.strictObject({ kind: z.literal('reboot-nat'), ...common, args: noArgs }),
  /** The selected go to another site, by its number, and every connection they had goes silent. */
  z.strictObject({
    kind: z.literal('roam'),
    ...common,
    args: z.strictObject({ site: z.int().min(0).max(255) }),
  }),
  /** Frames of the selected are lost (late, on a stream). */
  z.strictObject({
    kind: z.literal('loss'),
    ...common,
    args: z.strictObject({ rate: z.number().min(0).max(0.9) }),
  }),
  /** Frames of the selected are late. */
  z.strictObject({
    kind: z.literal('slow'),
    ...common,
    args: z.strictObject({ extraMs: z.number().min(0).max(10_000) }),
  }),
  /** Upstream of the selected is narrow. */
  z.strictObject({
    kind: z.literal('narrow'),
    ...common,
    args: z.strictObject({ bytesPerSecond: z.number().min(1_000) }),
  }),
  /** The event loop stands still. */
  z.strictObject({ kind: z.literal('stall'), ...common, args: z.strictObject({ ms: z.int().min(1) }) }),
  /** The wall clock is set; at `until` it is set right. */
  z.strictObject({
    kind: z.literal('clock'),
    ...common,
    args: z.strictObject({
      skewMs: z.number().default(0),
      driftPpm: z.number().min(-1e5).max(1e5).default(0),
    }),
  }),
  /** Killed; at `until` back with its disk as it was `ageSeconds` before the kill. */
  z.strictObject({
    kind: z.literal('rollback'),
    ...common,
    until: at,
    args: z.strictObject({ ageSeconds: z.number().min(0).default(10) }).prefault({}),
  }),
  /** A second host starts with the identity and the disk; it ends at `until`. */
  z.strictObject({ kind: z.literal('clone'), ...common, args: noArgs }),
  /** The selected are killed again and again, down for `downMs`, each about `perMinute` times a minute. */
  z.strictObject({
    kind: z.literal('churn'),
    ...common,
    until: at,
    args: z
      .strictObject({
        perMinute: z.number().gt(0).max(60).default(1),
        downMs: z.int().min(100).default(5_000),
      })
      .prefault({}),
  }),
  /** The certificates of the selected are revoked, by any other node; they run on and try to stay. */
  z.strictObject({ kind: z.literal('revoke'), ...common, args: noArgs }),
  /** The selected take a byzantine role; honest again at `until`. */
  z.strictObject({ kind: z.literal('byzantine'), ...common, args: z.strictObject({ role: z.enum(ROLES) }) }),
])
export type Fault = z.output<typeof faultSchema>

/** A story for the simulator. Times of faults in seconds from its begin. */
export const scenarioSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'lower-case words joined by hyphens'),
  /** One sentence for the list. */
  summary: z.string().max(200).default(''),
  nodes: z.int().min(1).max(10_000),
  seconds: z.number().min(1).max(200_000),
  start: z.enum(['formed', 'cold']).default('formed'),
  crypto: z.enum(['fake', 'real']).default('fake'),
  topology: topologySchema.prefault({}),
  faults: z.array(faultSchema).max(1_000).default([]),
  expect: z
    .strictObject({
      /** Nobody alive is held dead by anybody, ever. */
      noFalseDeath: z.boolean().default(false),
      /** At the end: equal tables, nobody alive held dead, everybody dead held dead. */
      converged: z.boolean().default(true),
      /** Kinds of events that at least one node must raise. */
      events: z.array(z.string()).default([]),
    })
    .prefault({}),
  /** Upper bounds; null: measured only. Bytes as on the wire, sent, a node. */
  budget: z
    .strictObject({
      idleBytesPerSecond: z.number().nullable().default(null),
      /**
       * Of any node in its worst second. By default what the machine's budgets allow in the first second after a quiet time: 32 KiB
       * and 16 kB of anti-entropy, 20 kB of pushed items, an introduction to each of 48 neighbours, and the layers below.
       */
      peakBytesPerSecond: z.number().nullable().default(140_000),
      firstSuspectMs: z.number().nullable().default(null),
      cutEverywhereMs: z.number().nullable().default(null),
      deadEverywhereMs: z.number().nullable().default(null),
      healMs: z.number().nullable().default(null),
    })
    .prefault({}),
})
export type Scenario = z.output<typeof scenarioSchema>
/** A scenario as it is written: with what may be left out left out. */
export type ScenarioInput = z.input<typeof scenarioSchema>

/** Reads a scenario; each fault gets the id its chance hangs on. @throws z.ZodError */
export function readScenario(value: unknown): Scenario {
  const scenario = scenarioSchema.parse(value)
  for (const [i, fault] of scenario.faults.entries()) fault.id ??= `f${i}`
  return scenario
}

/** When the last fault is over, in seconds; 0 without any. */
export function faultsEnd({ faults }: Scenario): number {
  return faults.reduce((end, fault) => Math.max(end, endOf(fault)), 0)
}

function endOf(fault: Fault): number {
  if (fault.kind === 'stall') return fault.at + fault.args.ms / 1000
  // The last one killed is down a little longer.
  if (fault.kind === 'churn') return fault.until + fault.args.downMs / 1000
  return fault.until ?? fault.at
}
