import type { IncomingMessage } from 'node:http'
import { HttpError } from './errors.ts'
import { BODY_SIZE_BYTES_MAX } from './limits.ts'

/**
 * The JSON document of a request body; `{}` when there is none. A content type other than JSON is refused: it is the
 * one kind of body that a foreign page can send without asking first.
 * @throws HttpError `body-too-large`, `body-invalid`.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const { headers } = request
  if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0) return {}
  if (Number(headers['content-length'] ?? 0) > BODY_SIZE_BYTES_MAX) throw new HttpError('body-too-large')
  if (!/^application\/json\s*(?:;|$)/i.test(headers['content-type'] ?? ''))
    throw new HttpError('body-invalid')
  const chunks: Buffer[] = []
  let sizeBytes = 0
  // Not `for await`: leaving that early destroys the socket, and the refusal could not be sent.
  await new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes <= BODY_SIZE_BYTES_MAX) chunks.push(chunk)
      else {
        request.pause()
        reject(new HttpError('body-too-large'))
      }
    })
    request.once('end', resolve)
    request.once('error', reject)
    request.once('close', () =>
      reject(new HttpError('body-invalid', 'The request ended before its body did.')),
    )
  })
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)))
  } catch (cause) {
    throw new HttpError('body-invalid', undefined, { cause })
  }
}
