import { Readable } from 'node:stream'
import type { ZodType } from 'zod'
import type { ErrorBody } from '../api/schemas.ts'

/**
 * A stream of one JSON document a line. It ends quietly when `signal` aborts (the client left, the session ended); any
 * other failure becomes a last line of the shape of an error answer, since the status has been sent long ago.
 * `stands` is asked before every line, so that a revoked session gets none.
 */
export function ndjson(
  lines: AsyncIterable<unknown>,
  parts: {
    answer: ZodType
    signal: AbortSignal
    stands: () => boolean
    failure: (error: unknown) => ErrorBody
  },
): Readable {
  return Readable.from(encode(lines, parts), { objectMode: false, highWaterMark: 65_536 })
}

async function* encode(
  lines: AsyncIterable<unknown>,
  parts: {
    answer: ZodType
    signal: AbortSignal
    stands: () => boolean
    failure: (error: unknown) => ErrorBody
  },
): AsyncGenerator<string> {
  try {
    for await (const line of lines) {
      if (parts.signal.aborted || !parts.stands()) return
      yield `${JSON.stringify(parts.answer.parse(line))}\n`
    }
  } catch (error) {
    if (!parts.signal.aborted) yield `${JSON.stringify(parts.failure(error))}\n`
  }
}
