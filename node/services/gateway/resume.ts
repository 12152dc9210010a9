import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** How long a download may stand still in all until it is given up: a relay's death, a router's restart, a short partition. */
const STANDSTILL_MAX_MS = 60_000
/** Pauses between tries, the last one again and again. */
const PAUSES_MS = [0, 250, 500, 1000, 2000] as const
/** RFC 9110 §8.8.2.2: a date is a strong validator when the origin's clock was so far past it. */
const DATE_STRONG_MS = 60_000

/** What is needed to ask for the rest of a response. */
export interface Resumable {
  /** Of the whole body. */
  readonly totalBytes: number
  /** Strong: the rest is of the same bytes, or does not come (RFC 9110 §13.1.5, If-Range). */
  readonly validator: string
}

/** Whether the rest of a response can be asked for again (RFC 9110 §14): null when that might mix two versions, or not work. */
export function resumable(request: IncomingMessage, answer: IncomingMessage): Resumable | null {
  const { headers, statusCode } = answer
  const totalBytes = Number(headers['content-length'])
  const isWhole = request.method === 'GET' && request.headers.range === undefined && statusCode === 200
  if (!isWhole || headers['accept-ranges'] !== 'bytes' || !Number.isSafeInteger(totalBytes)) return null
  const validator = strongValidator(headers)
  return validator === null ? null : { totalBytes, validator }
}

function strongValidator({ etag, date, 'last-modified': modified }: IncomingHttpHeaders): string | null {
  if (etag !== undefined && !etag.startsWith('W/')) return etag
  if (modified === undefined || date === undefined) return null
  return Date.parse(date) - Date.parse(modified) >= DATE_STRONG_MS ? modified : null
}

/**
 * Sends the body of `answer` to the client and, when the way to the service breaks in between, asks for the rest with `again`
 * and goes on: the client sees one whole response. Rejects when it cannot go on; the response is cut then, as it should be.
 */
export async function sendBody(
  answer: IncomingMessage,
  response: ServerResponse,
  { totalBytes, validator }: Resumable,
  again: (headers: readonly [name: string, value: string][]) => Promise<IncomingMessage>,
  onResumed: (fromByte: number) => void,
): Promise<void> {
  let incoming = answer
  let sentBytes = 0
  let deadline: number | null = null
  for (let tries = 0; ;) {
    const before = sentBytes
    const failure = await carried(incoming, response, (count) => (sentBytes += count))
    if (sentBytes === totalBytes) return void response.end()
    if (response.destroyed) throw failure
    // Whatever came since the last break counts as going on.
    if (sentBytes > before) [tries, deadline] = [0, null]
    deadline ??= performance.now() + STANDSTILL_MAX_MS
    for (;;) {
      if (performance.now() > deadline || response.destroyed) throw failure
      await sleep(PAUSES_MS[Math.min(tries++, PAUSES_MS.length - 1)])
      if (response.destroyed) throw failure
      try {
        incoming = await again([
          ['Range', `bytes=${sentBytes}-`],
          ['If-Range', validator],
        ])
        break
      } catch {
        // The way is still broken: the reason that counts is the one that broke it.
      }
    }
    if (!continues(incoming, sentBytes, totalBytes)) {
      incoming.destroy()
      throw new Error('the service has another version of it now')
    }
    onResumed(sentBytes)
  }
}

/** Pipes until either side ends; resolves with why it ended. */
function carried(
  incoming: IncomingMessage,
  response: ServerResponse,
  count: (bytes: number) => void,
): Promise<Error> {
  return new Promise((resolve) => {
    let failure = new Error('the connection to the service ended early')
    const done = (): void => {
      response.off('close', clientLeft)
      incoming.unpipe(response)
      resolve(failure)
    }
    const clientLeft = (): void => {
      failure = new Error('the client left')
      incoming.destroy()
    }
    incoming.on('data', (bytes: Buffer) => count(bytes.length))
    incoming.on('error', (error) => (failure = error))
    incoming.once('close', done)
    response.once('close', clientLeft)
    incoming.pipe(response, { end: false })
  })
}

/** A 206 with the rest of the same body, from the very byte that is missing. */
function continues({ statusCode, headers }: IncomingMessage, fromByte: number, totalBytes: number): boolean {
  return (
    statusCode === 206 &&
    headers['content-range'] === `bytes ${fromByte}-${totalBytes - 1}/${totalBytes}` &&
    Number(headers['content-length'] ?? totalBytes - fromByte) === totalBytes - fromByte
  )
}
