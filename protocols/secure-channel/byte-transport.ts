import type { MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'

/** What a transport tells. None of these may throw. */
export interface ByteTransportUser {
  onBytes(bytes: Uint8Array): void
  /** It takes bytes again. */
  onDrain(): void
  /** Nothing comes any more. `error` is missing when it ended in order; `isLocal` when this side cut it. */
  onClose(error: Error | undefined, isLocal: boolean): void
}

/** An ordered stream of bytes between two machines, as little as the record layer needs. */
export interface ByteTransport {
  readonly isOpen: boolean
  /** False while it holds enough unsent bytes. */
  readonly isWritable: boolean
  /** Bytes it holds unsent. */
  readonly unsentBytes: number
  /** Sends `pieces`, in order, in one write where it can. @throws Error when it is no longer open. */
  write(pieces: readonly Uint8Array[]): void
  pause(): void
  resume(): void
  /** Cuts the connection. */
  abort(error: Error): void
  /** Starts to tell. Called once. */
  use(user: ByteTransportUser): void
}

/** A libp2p stream as a transport: for connections through relays and for tests. */
export function messageStreamTransport(stream: MessageStream): ByteTransport {
  return {
    get isOpen() {
      return stream.status === 'open'
    },
    get isWritable() {
      return !stream.writableNeedsDrain
    },
    get unsentBytes() {
      return stream.writeBufferLength
    },
    write: (pieces) => void stream.send(new Uint8ArrayList(...pieces)),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    abort: (error) => stream.abort(error),
    use(user) {
      stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
        if (data instanceof Uint8Array) user.onBytes(data)
        else for (const chunk of data) user.onBytes(chunk)
      })
      stream.addEventListener('drain', () => user.onDrain())
      stream.addEventListener('close', (event: StreamCloseEvent) =>
        user.onClose(event.error, event.local === true),
      )
    },
  }
}
