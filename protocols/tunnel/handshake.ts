import { concat } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { isTunnelReason, TunnelError, type TunnelReason } from './errors.ts'
import { OPEN_BYTES_MAX } from './limits.ts'
import { frame, OpenedFormat, OpenFormat } from './wire.ts'

/** A two-way byte stream of pull iterables; what `pipe(a, b, a)` of it-pipe joins. */
export interface BytePipe {
  readonly source: AsyncIterable<Uint8Array>
  /** Sends all of `source`, then closes the write half. Called once. */
  sink(source: AsyncIterable<Uint8Array>): Promise<void>
  /** Ends both directions at once; the other side sees a reset. */
  abort(error: Error): void
}

/**
 * Consumer's side: asks for a service over a fresh stream.
 * @returns the stream to the service itself.
 * @throws TunnelError with the provider's reason, MalformedError when it answers nonsense.
 */
export async function requestService(stream: BytePipe, service: string): Promise<BytePipe> {
  const outgoing = sendFirst(stream, frame(OpenFormat.encode({ version: 1, service })))
  try {
    const { body, rest } = await readFrame(stream.source)
    const opened = OpenedFormat.decode(body)
    if (!opened.ok) {
      const code: TunnelReason = isTunnelReason(opened.code) ? opened.code : 'stream-failed'
      throw new TunnelError(code, opened.text)
    }
    return { source: rest, sink: outgoing, abort: (error) => stream.abort(error) }
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}

/** A request for a service, waiting for the provider's decision. */
export interface ServiceRequest {
  readonly service: string
  /** Answers yes; the returned stream carries the service's bytes. */
  accept(): BytePipe
  /** Answers no and closes. */
  refuse(code: TunnelReason, text: string): Promise<void>
}

/**
 * Provider's side: reads the request from a fresh stream.
 * @throws MalformedError when it is none.
 */
export async function readServiceRequest(stream: BytePipe): Promise<ServiceRequest> {
  const { body, rest } = await readFrame(stream.source)
  const { service } = OpenFormat.decode(body)
  return {
    service,
    accept() {
      const outgoing = sendFirst(stream, frame(OpenedFormat.encode({ ok: true, code: '', text: '' })))
      return { source: rest, sink: outgoing, abort: (error) => stream.abort(error) }
    },
    async refuse(code, text) {
      const answer = frame(OpenedFormat.encode({ ok: false, code, text: text.slice(0, 512) }))
      await stream.sink(
        (async function* () {
          yield answer
        })(),
      )
    },
  }
}

/** Starts sending at once; the sink it returns goes on with the caller's bytes, so the two leave as one stream. */
function sendFirst(
  stream: BytePipe,
  first: Uint8Array,
): (source: AsyncIterable<Uint8Array>) => Promise<void> {
  const { promise: following, resolve } = Promise.withResolvers<AsyncIterable<Uint8Array>>()
  const sent = stream.sink(
    (async function* () {
      yield first
      yield* await following
    })(),
  )
  sent.catch((error: Error) => stream.abort(error)) // before the caller attaches, its read side is where a failure shows
  return (source) => {
    resolve(source)
    return sent
  }
}

async function readFrame(
  source: AsyncIterable<Uint8Array>,
): Promise<{ body: Uint8Array; rest: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]()
  let bytes: Uint8Array = new Uint8Array(0)
  for (;;) {
    const length = bytes.length < 2 ? undefined : new DataView(bytes.buffer, bytes.byteOffset).getUint16(0)
    if (length !== undefined && length > OPEN_BYTES_MAX) {
      throw new MalformedError(`Tunnel frame of ${length} bytes, the limit is ${OPEN_BYTES_MAX}`)
    }
    if (length !== undefined && bytes.length >= 2 + length) {
      return { body: bytes.subarray(2, 2 + length), rest: continued(bytes.subarray(2 + length), iterator) }
    }
    const next = await iterator.next()
    if (next.done === true) throw new MalformedError(`Tunnel stream ended after ${bytes.length} bytes`)
    bytes = concat(bytes, next.value)
  }
}

async function* continued(
  first: Uint8Array,
  iterator: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    if (first.length > 0) yield first
    for (;;) {
      const next = await iterator.next()
      if (next.done === true) return
      yield next.value
    }
  } finally {
    await iterator.return?.()
  }
}
