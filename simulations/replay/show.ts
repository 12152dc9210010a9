import { MalformedError } from '../../protocols/common/errors.ts'
import type { MembershipState } from '../../protocols/membership/machine.ts'
import { stripControls } from '../../node/log/logger.ts'
import { SimulationError } from '../scenarios/errors.ts'
import type { ReadReport } from './read.ts'
import { replay, type Difference, type Replayed } from './replay.ts'
import { ReplayTrace } from './trace.ts'

/** One member as the replayed node holds it. */
export interface HeldRow {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly incarnation: number
  readonly seq: number
  readonly linked: boolean
}

/** What a replay shows. */
export interface Shown {
  readonly text: string
  /** For `--json`. */
  readonly document: {
    readonly node: string
    readonly from: number
    readonly to: number
    readonly steps: number
    readonly recorded: number
    readonly same: boolean
    readonly difference: Difference | null
    readonly members: readonly HeldRow[]
  }
  readonly isSame: boolean
}

/**
 * Steps through a report, writing a trace on request, and says what came of it.
 * @throws SimulationError for a recording with entries that do not decode.
 */
export function replayReport(
  { report, recording }: ReadReport,
  options: { readonly until?: number | undefined; readonly trace?: string | undefined },
): Shown {
  const trace = options.trace === undefined ? null : new ReplayTrace(options.trace, recording)
  let replayed: Replayed
  try {
    replayed = replay(recording, {
      until: options.until,
      stepped: trace?.stepped,
    })
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw new SimulationError(`the recording does not decode: ${error.message}`, { cause: error })
  } finally {
    trace?.close()
  }
  const { state, now, steps, difference } = replayed
  const isWhole = steps === recording.steps.length
  const members = heldBy(state)
  const document = {
    node: state.self.id,
    from: recording.at,
    to: now,
    steps,
    recorded: recording.steps.length,
    same: difference === null && isWhole,
    difference,
    members,
  }
  const verdict =
    difference !== null
      ? `DIFFERENT at ${difference.step === recording.steps.length ? 'the end' : `step ${difference.step}`}: ${difference.what}, ${difference.text}`
      : isWhole
        ? 'same state'
        : `as recorded up to step ${steps}`
  const text = [
    `kith ${report.kith} on ${report.platform.os}, report of ${timeOf(report.createdAt)}${report.redacted ? '' : ', with names'}`,
    `node ${state.self.id}`,
    `${timeOf(recording.at)} to ${timeOf(now)}: ${steps} of ${recording.steps.length} steps`,
    ...members.map(
      ({ id, name, state: held, incarnation, seq, linked }) =>
        `  ${id.slice(-8)}  ${name.padEnd(16)} ${held.padEnd(8)} ${incarnation}/${seq}${linked ? '  linked' : ''}`,
    ),
    verdict,
  ]
    .map(stripControls)
    .join('\n')
  return { text, document, isSame: difference === null }
}

function heldBy(state: MembershipState): HeldRow[] {
  return [...state.table.rows()].map(({ id, verified: { member, statement } }) => ({
    id,
    name: member.name,
    state: id === state.self.id ? 'self' : (state.verdicts.get(id)?.state ?? 'alive'),
    incarnation: statement.incarnation,
    seq: statement.seq,
    linked: state.links.get(id)?.hello === true,
  }))
}

function timeOf(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) < 8e15 ? new Date(ms).toISOString() : String(ms)
}
