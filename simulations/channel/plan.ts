import { ROTATION_LIMITS, type RotationLimits } from '../../protocols/rotation/limits.ts'
import { RECORD_TYPES, type RecordType } from '../../protocols/record/wire.ts'
import type { Choices } from './seed.ts'

/** Side 0 dialled, side 1 listened. */
export type SideIndex = 0 | 1

/** What goes wrong on the way with one frame. `delay` stops everything behind it too: the stream stays ordered. */
export const FRAME_FAULTS = ['flip', 'truncate', 'duplicate', 'swap', 'replay', 'drop', 'delay'] as const

/** The kinds of frames something can happen to. */
export const FRAME_KINDS = Object.keys(RECORD_TYPES) as RecordType[]

/** The one thing that goes wrong in a run. */
export type Fault =
  | { readonly kind: 'none' }
  | {
      readonly kind: (typeof FRAME_FAULTS)[number]
      readonly frame: RecordType
      /** Which frame of its kind, from 0. */
      readonly number: number
      readonly from: SideIndex
      /** Picks the bit, the cut or the delay. */
      readonly fraction: number
    }
  /** One process dies, or the connection breaks for both (`side` null), behind this many steps of the run. */
  | { readonly kind: 'kill'; readonly side: SideIndex | null; readonly atStep: number }

/** Everything a run does, drawn from its seed. Times in ms. */
export interface Plan {
  readonly limits: RotationLimits
  /** Each way. */
  readonly latencyMs: readonly [number, number]
  /** What each side sends: when, and how many bytes. */
  readonly messages: readonly [readonly Message[], readonly Message[]]
  /** When people ask for new keys, at which sides. */
  readonly rotations: readonly { readonly at: number; readonly sides: readonly SideIndex[] }[]
  /** When everything in one direction stands still, and for how long. */
  readonly stalls: readonly { readonly at: number; readonly ms: number; readonly from: SideIndex }[]
  readonly endAt: number
  readonly fault: Fault
}

/** One message of the application. */
export interface Message {
  readonly at: number
  readonly sizeBytes: number
}

/** Draws a plan. */
export function drawPlan(choices: Choices): Plan {
  const { between, chance, pick } = choices
  const soft = {
    ms: between(2000, 20_000),
    records: between(60, 300),
    bytes: between(200_000, 1_000_000),
  }
  const factor = pick([3, 4])
  const limits: RotationLimits = {
    ...ROTATION_LIMITS,
    soft,
    hard: { ms: soft.ms * factor, records: soft.records * 4, bytes: soft.bytes * 4 },
    answerMs: between(500, 3000),
    unconfirmedMs: between(1500, 8000),
    retryMs: [1000, 2000, 4000],
    rotsPerMinute: 100_000,
  }
  const messages = [drawMessages(choices), drawMessages(choices)] as const
  const last = Math.max(...messages.map((list) => list.at(-1)?.at ?? 0))
  const isStalling = chance(0.3)
  return {
    limits,
    latencyMs: [between(1, 100), between(1, 100)],
    messages,
    rotations: Array.from({ length: between(0, 4) }, () => ({
      at: between(0, last),
      sides: pick([[0, 1], [0, 1], [0], [1]] as const),
    })),
    stalls: Array.from({ length: isStalling ? between(1, 4) : 0 }, () => ({
      at: between(0, last),
      ms: between(200, 15_000),
      from: pick([0, 1] as const),
    })),
    endAt: last + between(0, 2000),
    fault: drawFault(choices),
  }
}

function drawMessages({ between, chance, fraction }: Choices): Message[] {
  const gapMs = between(20, 250)
  let at = 0
  return Array.from({ length: between(30, 200) }, () => {
    at += chance(0.3) ? 0 : -Math.log(1 - fraction()) * gapMs
    return { at, sizeBytes: chance(0.03) ? between(17_000, 40_000) : between(1, 200) }
  })
}

function drawFault({ between, chance, pick, fraction }: Choices): Fault {
  if (chance(0.3)) return { kind: 'none' }
  if (chance(0.25)) return { kind: 'kill', side: pick([0, 1, null]), atStep: between(1, 700) }
  const frame = pick(FRAME_KINDS)
  return {
    kind: pick(FRAME_FAULTS),
    frame,
    number: frame === 'data' ? between(0, 80) : frame === 'close' ? 0 : between(0, 2),
    from: pick([0, 1]),
    fraction: fraction(),
  }
}
