import { openSync, readSync, closeSync, readFileSync, statSync } from 'node:fs'
import { REPORT_FILE_BYTES_MAX } from '../../node/diagnostics/limits.ts'
import type { PortableRecording } from '../../node/diagnostics/portable-recording.ts'
import { decodeRecording } from '../../node/diagnostics/recording-format.ts'
import { isPacked, unpackReport, type ReportHead } from '../../node/diagnostics/report-file.ts'
import { VERSION } from '../../node/version.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { SimulationError } from '../scenarios/errors.ts'

/** A report and what its recorder held. */
export interface ReadReport {
  readonly report: ReportHead
  readonly recording: PortableRecording
}

/** A report says in its first bytes what it is. */
const MARK = /^\s*\{\s*"format"\s*:\s*"kith-bugreport"/
const HEAD_BYTES = 256

/**
 * What `kith bugreport` wrote, packed or not; null for a file that is something else, as a failure's file is.
 * @throws SimulationError for a file that cannot be read, or a report that is damaged or has no recording.
 */
export function readReport(path: string): ReadReport | null {
  try {
    const head = readHead(path)
    if (!isPacked(head) && !MARK.test(head.toString('utf8'))) return null
    const { size } = statSync(path)
    if (size > REPORT_FILE_BYTES_MAX)
      throw new MalformedError(`${size} bytes, the limit is ${REPORT_FILE_BYTES_MAX}`)
    const report = unpackReport(readFileSync(path))
    if (report.membership === null)
      throw new MalformedError('the node was in no mesh, there is nothing to replay')
    return { report, recording: recordingIn(report) }
  } catch (error) {
    if (!(error instanceof MalformedError) && (error as NodeJS.ErrnoException).code === undefined) throw error
    throw new SimulationError(`${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** @throws MalformedError, which tells of another version: a state can only be taken up by the code that has its fields. */
function recordingIn({ membership, kith }: ReportHead): PortableRecording {
  try {
    return decodeRecording(membership)
  } catch (cause) {
    if (!(cause instanceof MalformedError) || kith === VERSION) throw cause
    throw new MalformedError(
      `it is of Kith ${kith}, replay it with that version (this is ${VERSION}): ${cause.message}`,
      { cause },
    )
  }
}

function readHead(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    return head.subarray(0, readSync(file, head))
  } finally {
    closeSync(file)
  }
}
