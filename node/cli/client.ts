import { request, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { ErrorBody } from '../api/schemas.ts'
import { AnsweredError, CliError } from './errors.ts'

/** Speaks the node's REST API over its unix socket. */
export interface Client {
  get<T>(path: string): Promise<T>
  post<T>(path: string, body?: unknown): Promise<T>
  delete(path: string): Promise<void>
  /** One document a line, until the node ends or the signal aborts. */
  stream<T>(method: 'GET' | 'POST', path: string, body: unknown, signal: AbortSignal): AsyncIterable<T>
}

/** @param dataDirectory where `kith.sock` of the running node is. */
export function createClient(dataDirectory: string): Client {
  const socketPath = join(dataDirectory, 'kith.sock')

  const send = async (
    method: string,
    path: string,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const text = body === undefined ? '' : JSON.stringify(body)
    const headers = {
      accept: signal === undefined ? 'application/json' : 'application/x-ndjson',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      'content-length': Buffer.byteLength(text),
    }
    const outgoing = request(
      { socketPath, method, path: `/api/v1${path}`, headers, ...(signal === undefined ? {} : { signal }) },
      resolve,
    )
    outgoing.on('error', reject)
    outgoing.end(text)
    let answer: IncomingMessage
    try {
      answer = await promise
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ECONNREFUSED') {
        throw new CliError(
          'not-running',
          `No node is running on ${dataDirectory}; start it with \`kith up\` (or \`npm start\` in a checkout)`,
          { cause },
        )
      }
      throw new CliError(
        'not-answering',
        `The node on ${dataDirectory} did not answer: ${(cause as Error).message}`,
        { cause },
      )
    }
    if ((answer.statusCode ?? 500) >= 400) throw answeredError(await readAll(answer))
    return answer
  }
  const json = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const text = await readAll(await send(method, path, body))
    return (text === '' ? undefined : JSON.parse(text)) as T
  }
  return {
    get: (path) => json('GET', path),
    post: (path, body = {}) => json('POST', path, body),
    delete: (path) => json('DELETE', path),
    async *stream<T>(
      method: 'GET' | 'POST',
      path: string,
      body: unknown,
      signal: AbortSignal,
    ): AsyncIterable<T> {
      const answer = await send(method, path, body, signal)
      try {
        for await (const line of createInterface({ input: answer, crlfDelay: Infinity })) {
          if (line !== '') yield JSON.parse(line) as T
        }
      } catch (cause) {
        if (!signal.aborted) throw cutShort(cause)
      }
    },
  }
}

async function readAll(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of answer) chunks.push(chunk as Buffer)
  } catch (cause) {
    throw cutShort(cause)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The node ended in the middle of its answer. */
function cutShort(cause: unknown): CliError {
  return new CliError('not-answering', `The node ended before its answer did: ${(cause as Error).message}`, {
    cause,
  })
}

function answeredError(text: string): Error {
  try {
    const { error } = JSON.parse(text) as ErrorBody
    return new AnsweredError(error.code, error.message, error.fix)
  } catch (cause) {
    return new CliError(
      'not-answering',
      `The node answered something that is not Kith's API: ${text.slice(0, 200)}`,
      { cause },
    )
  }
}
