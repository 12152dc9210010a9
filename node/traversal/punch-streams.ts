import type { Stream } from '@libp2p/interface'
import { toHex } from '../../protocols/common/bytes.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { FrameReader, lengthPrefixed } from '../../protocols/common/length-prefix.ts'
import { PUNCH_MESSAGE_BYTES_MAX } from '../../protocols/traversal/limits.ts'
import type { PunchExchange } from './punch-driver.ts'

/** Frames that wait for the attempt to begin: an exchange has three. More are no exchange, and dropped. */
export const EARLY_FRAMES_MAX = 8

type User = Parameters<PunchExchange['use']>[0]

/** Reads frames off a stream until it ends. A length that cannot be ends it. */
export function readFrames(
  stream: Stream,
  onFrame: (frame: Uint8Array) => void,
  onClosed: () => void,
): () => void {
  const reader = new FrameReader(PUNCH_MESSAGE_BYTES_MAX)
  let hasEnded = false
  const ended = (): void => {
    if (hasEnded) return
    hasEnded = true
    stop()
    onClosed()
  }
  const read = ({ data }: { data: { subarray(): Uint8Array } }): void => {
    try {
      for (const frame of reader.push(data.subarray())) onFrame(frame)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      stream.abort(error)
      ended()
    }
  }
  const stop = (): void => {
    stream.removeEventListener('message', read)
    stream.removeEventListener('end', ended)
    stream.removeEventListener('close', ended)
  }
  stream.addEventListener('message', read)
  stream.addEventListener('end', ended)
  stream.addEventListener('close', ended)
  if (stream.status !== 'open') queueMicrotask(ended)
  return stop
}

/** The streams of one attempt, by the nonce of the OFFER that came or went over each. */
export class PunchStreams implements PunchExchange {
  readonly #streams = new Map<string, Stream>()
  readonly #frames: Uint8Array[] = []
  #user: User | null = null
  #isOver = false

  /** Whether an OFFER of the other side came, with a stream of its own. */
  hasOffer = false

  /** Takes a stream in. Whoever reads it tells `frame` and `closed`. */
  add(nonce: Uint8Array, stream: Stream): void {
    this.#streams.set(toHex(nonce), stream)
  }

  /** A message that came on one of the streams. */
  frame(bytes: Uint8Array): void {
    if (this.#isOver) return
    if (this.#user !== null) this.#user.onFrame(bytes)
    else if (this.#frames.length < EARLY_FRAMES_MAX) this.#frames.push(bytes)
  }

  /** The other side says no more over one of the streams; this side may, until `close`. */
  closed(nonce: Uint8Array): void {
    this.#user?.onClose(nonce)
  }

  send(nonce: Uint8Array, bytes: Uint8Array): void {
    const stream = this.#streams.get(toHex(nonce))
    if (stream === undefined) return // never opened, or closed with the attempt
    sendFrame(stream, bytes)
  }

  use(user: User): void {
    this.#user = user
    for (const bytes of this.#frames.splice(0)) queueMicrotask(() => user.onFrame(bytes))
  }

  /** Ends all streams, behind what was sent. */
  async close(signal: AbortSignal): Promise<void> {
    this.#user = null
    this.#isOver = true
    this.#frames.length = 0
    const streams = [...this.#streams.values()]
    this.#streams.clear()
    await Promise.all(streams.map((stream) => endStream(stream, signal)))
  }
}

/** Writes a frame; a stream that takes none any more ends by itself, and tells it. */
export function sendFrame(stream: Stream, bytes: Uint8Array): void {
  try {
    stream.send(lengthPrefixed(bytes))
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Ends a stream behind what was sent. The other side gets until `signal` aborts to end its direction too. */
export async function endStream(stream: Stream, signal: AbortSignal): Promise<void> {
  const cut = (): void => stream.abort(new Error('the other side does not end the exchange'))
  signal.addEventListener('abort', cut, { once: true })
  stream.addEventListener('close', () => signal.removeEventListener('abort', cut))
  try {
    await stream.close({ signal })
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
  }
}
