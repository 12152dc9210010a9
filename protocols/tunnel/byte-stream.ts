import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a stream between two nodes ended otherwise than by both sides finishing. */
export const BYTE_STREAM_REASONS = {
  'stream-reset': {
    summary: 'The other side gave the stream up.',
    fix: 'Look at the other side: its service closed or failed in the middle.',
  },
  'stream-aborted': { summary: 'This side gave the stream up.', fix: '' },
  'stream-closed': {
    summary: 'The connection between the two nodes ended under the stream.',
    fix: 'Try again; the nodes reconnect by themselves.',
  },
} as const satisfies ReasonTable

/** A stream that ended early. */
export class ByteStreamError extends KithError<keyof typeof BYTE_STREAM_REASONS> {}

/** Bytes waiting for the consumer at which the stream is paused. */
export const READ_HIGH_WATER_BYTES = 1024 * 1024

/** Bytes waiting for the consumer at which a paused stream goes on, so that the window refills before the consumer idles. */
export const READ_LOW_WATER_BYTES = 256 * 1024

/** Larger chunks are sent in pieces: the write buffer then never holds more than one piece beyond the muxer's window. */
export const WRITE_PIECE_BYTES = 64 * 1024

/** Write buffer at which libp2p aborts the stream; never reached, since `sink` waits for each drain. */
export const WRITE_BUFFER_MAX_BYTES = 1024 * 1024

/** What can be sent. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** A libp2p stream as a duplex of pull iterables, as `pipe(a, b, a)` of it-pipe takes it. */
export interface ByteStream {
  /**
   * What the other side sends; ends when it finished writing. Can be read once. Stopping early discards the rest.
   * Throws `ByteStreamError` when the stream ends early.
   */
  readonly source: AsyncGenerator<Uint8Array, void, undefined>
  /**
   * Sends everything of `source`, no faster than the other side takes it, then finishes writing; reading goes on.
   * When `source` throws, the stream is aborted and the error passed on. @throws ByteStreamError
   */
  readonly sink: (source: Chunks) => Promise<void>
  /** Gives the stream up in both directions; the other side sees a reset. */
  abort(error: Error): void
  /** Discards whatever still comes, without holding the other side up. */
  closeRead(): Promise<void>
  /** Bytes received and not yet consumed, wherever they wait. */
  readonly bufferedBytes: number
}

/**
 * The one back-pressure adapter. Call it in the same turn in which the stream was obtained: until it listens, libp2p collects
 * up to 4 MiB and then resets. What it works around (libp2p 3.3): `onDrain()` returns at once from its second use; iterating a
 * stream buffers without limit; a `pause()` made while `resume()` delivers is undone. Needs yamux's `maxStreamWindowSize` at
 * 2 MiB, because a paused stream still receives one window and libp2p resets it at 4 MiB. At most
 * READ_LOW_WATER_BYTES + 2 windows wait on the receiving side.
 */
export function byteStream(stream: Stream): ByteStream {
  return new StreamAdapter(stream)
}

class StreamAdapter implements ByteStream {
  readonly source: AsyncGenerator<Uint8Array, void, undefined>
  /** Not a method: it-pipe calls it without its object. */
  readonly sink = (source: Chunks): Promise<void> => this.#sink(source)
  readonly #stream: Stream
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  /** The other side finished writing; bytes may still wait in the stream while it is paused. */
  #remoteFinished: boolean
  #readClosed = false
  #resuming = false
  #failure: ByteStreamError | undefined
  /** Set when only writing became impossible: what was received can still be read. */
  #writeFailure: ByteStreamError | undefined
  #finishing = false
  #wakeReader: (() => void) | undefined
  #failWriter: ((error: ByteStreamError) => void) | undefined
  #wakeWriter: (() => void) | undefined

  constructor(stream: Stream) {
    this.#stream = stream
    stream.maxWriteBufferLength = WRITE_BUFFER_MAX_BYTES
    this.#remoteFinished = stream.remoteWriteStatus === 'closed'
    stream.addEventListener('message', (event) => this.#onMessage(event))
    stream.addEventListener('drain', () => this.#wakeWriter?.())
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteFinished = true
      this.#wakeReader?.()
    })
    stream.addEventListener('close', (event) => this.#onClose(event))
    if (stream.status === 'reset' || stream.status === 'aborted') {
      this.#fail(new ByteStreamError('stream-reset', 'The stream was reset before it was used'))
    }
    this.source = this.#read()
  }

  get bufferedBytes(): number {
    return this.#queuedBytes + this.#stream.readBufferLength
  }

  abort(error: Error): void {
    this.#fail(new ByteStreamError('stream-aborted', `Stream aborted: ${error.message}`, { cause: error }))
    this.#stream.abort(error)
  }

  async closeRead(): Promise<void> {
    if (this.#readClosed) return
    this.#readClosed = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#wakeReader?.()
    this.#resume()
    await this.#stream.closeRead()
  }

  async #sink(source: Chunks): Promise<void> {
    const iterator =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
    try {
      for (;;) {
        const next = await this.#orFailure(Promise.resolve(iterator.next()))
        if (next.done === true) break
        await this.#send(next.value)
      }
      this.#finishing = true
      await this.#orFailure(this.#closeWrite())
    } catch (error) {
      if (this.#broken === undefined) this.abort(error instanceof Error ? error : new Error(String(error)))
      // Not awaited: a source that waits for its own input would only return when that ends.
      else
        Promise.resolve(iterator.return?.()).catch((late: unknown) =>
          this.#stream.log('source after abort: %o', late),
        )
      throw error
    }
  }

  async #send(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += WRITE_PIECE_BYTES) {
      if (this.#broken !== undefined) throw this.#broken
      if (this.#stream.send(chunk.subarray(at, at + WRITE_PIECE_BYTES))) continue
      if (this.#stream.writableNeedsDrain)
        await this.#orFailure(new Promise<void>((resolve) => (this.#wakeWriter = resolve)))
    }
  }

  /** Why writing is impossible. */
  get #broken(): ByteStreamError | undefined {
    return this.#failure ?? this.#writeFailure
  }

  async #closeWrite(): Promise<void> {
    try {
      await this.#stream.close()
    } catch (cause) {
      throw new ByteStreamError('stream-closed', 'The stream ended before everything was sent', { cause })
    }
  }

  /** `promise`, or the failure of the stream if that comes first. One slot, so that long streams leave no listeners behind. */
  #orFailure<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#broken !== undefined) return reject(this.#broken)
      this.#failWriter = reject
      promise.then(resolve, (error: unknown) => reject(this.#broken ?? (error as Error)))
    })
  }

  async *#read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure
        if (this.#readClosed) return
        const chunk = this.#queue.shift()
        if (chunk !== undefined) {
          this.#queuedBytes -= chunk.length
          if (this.#queuedBytes <= READ_LOW_WATER_BYTES) this.#resume()
          yield chunk
          continue
        }
        this.#resume()
        if (this.#queue.length > 0) continue
        if (this.#remoteFinished && this.#stream.readBufferLength === 0) return
        await new Promise<void>((resolve) => (this.#wakeReader = resolve))
      }
    } finally {
      if (!this.#remoteFinished && this.#failure === undefined) await this.closeRead()
    }
  }

  #onMessage(event: StreamMessageEvent): void {
    if (this.#readClosed) return
    for (const part of event.data instanceof Uint8Array ? [event.data] : event.data) this.#queue.push(part)
    this.#queuedBytes += event.data.byteLength
    this.#pauseIfFull()
    this.#wakeReader?.()
  }

  #pauseIfFull(): void {
    const { readStatus } = this.#stream
    if (this.#resuming || this.#queuedBytes < READ_HIGH_WATER_BYTES || readStatus !== 'readable') return
    this.#stream.pause()
  }

  /** `resume()` delivers what waited first and tells the muxer then, which would undo a pause made meanwhile: it is made after. */
  #resume(): void {
    const { readStatus } = this.#stream
    if (readStatus !== 'paused' || this.#resuming) return
    this.#resuming = true
    try {
      this.#stream.resume()
    } catch (error) {
      // The bytes were delivered; what failed is the window update for a connection that is gone.
      if (this.#stream.status === 'open') throw error
    } finally {
      this.#resuming = false
    }
    this.#pauseIfFull()
  }

  #onClose(event: StreamCloseEvent): void {
    if (event.error !== undefined) {
      const [code, who] =
        event.local === true
          ? (['stream-aborted', 'this'] as const)
          : (['stream-reset', 'the other'] as const)
      this.#fail(
        new ByteStreamError(code, `Stream ended by ${who} side: ${event.error.message}`, {
          cause: event.error,
        }),
      )
    } else {
      const closed = new ByteStreamError('stream-closed', 'The connection ended under the stream')
      if (!this.#remoteFinished) this.#fail(closed)
      else if (!this.#finishing) {
        this.#writeFailure = closed
        this.#failWriter?.(closed)
      }
    }
    this.#wakeReader?.()
  }

  #fail(error: ByteStreamError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#queue = []
    this.#queuedBytes = 0
    this.#wakeReader?.()
    this.#failWriter?.(error)
  }
}
