import { z } from 'zod'
import { gunzipSync, gzipSync } from 'node:zlib'
import { MalformedError } from '../../protocols/common/errors.ts'
import { BugreportSchema, type Bugreport } from '../api/schemas.ts'
import { REPORT_BYTES_MAX, REPORT_FILE_BYTES_MAX } from './limits.ts'

/** What a reader relies on, in reports of every version of Kith; the rest is for people. */
const headSchema = z.looseObject({
  ...BugreportSchema.pick({ format: true, version: true, createdAt: true, redacted: true, kith: true }).shape,
  platform: z.looseObject({ os: z.string() }),
  membership: z.unknown(),
})
/** A report as it was read. */
export type ReportHead = z.output<typeof headSchema>

/** A report as it lies in a file: JSON, by gzip. */
export function packReport(report: Bugreport): Uint8Array {
  return gzipSync(JSON.stringify(report))
}

/** True for bytes that gzip made. */
export function isPacked(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

/**
 * Reads a report, packed or as JSON. What it says of membership is looked at by `decodeRecording`.
 * @throws MalformedError, and nothing else, for anything that is no report.
 */
export function unpackReport(bytes: Uint8Array): ReportHead {
  if (bytes.length > REPORT_FILE_BYTES_MAX)
    throw new MalformedError(`report of ${bytes.length} bytes, the limit is ${REPORT_FILE_BYTES_MAX}`)
  let value: unknown
  try {
    const text = isPacked(bytes)
      ? gunzipSync(bytes, { maxOutputLength: REPORT_BYTES_MAX })
      : Buffer.from(bytes)
    value = JSON.parse(text.toString('utf8'))
  } catch (cause) {
    throw new MalformedError(`no report: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
  const read = headSchema.safeParse(value)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new MalformedError(`no report: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`)
}
