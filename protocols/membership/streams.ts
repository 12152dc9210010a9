import type { Connection, Stream } from '@libp2p/interface'
import { FrameReader, lengthPrefixed } from '../common/length-prefix.ts'
import { MalformedError } from '../common/errors.ts'
import type { Timers } from '../common/ports.ts'
import { CLOSE_MS, FRAME_BYTES_MAX, SEND_QUEUE_BYTES_MAX, STREAM_OPEN_MS } from './limits.ts'

/** What the streams tell their owner. `peer` is the connection's proven peer id. */
export interface StreamListener {
  up(peer: string, initiator: boolean): void
  frame(peer: string, bytes: Uint8Array): void
  down(peer: string): void
  /** The peer broke the framing or reads too slowly; the link is closed already. */
  broken(peer: string, code: 'frame-malformed' | 'send-queue-full', text: string): void
}

/**
 * One logical link a neighbour over its streams: two nodes that dial each other at once have two, and the link lives
 * until the last ends. Frames leave by the newest.
 */
export class NeighbourStreams {
  readonly #links = new Map<string, { stream: Stream; connection: Connection }[]>()
  readonly #listener: StreamListener
  readonly #timers: Timers

  constructor(listener: StreamListener, timers: Timers) {
    this.#listener = listener
    this.#timers = timers
  }

  /** True when one of the peer's streams runs over `connection`. */
  covers(connection: Connection): boolean {
    const open = this.#links.get(connection.remotePeer.toString()) ?? []
    return open.some((link) => link.connection === connection)
  }

  /** Opens the stream of an outbound connection. @throws the dialling error of libp2p. */
  async open(connection: Connection, protocol: string): Promise<void> {
    const abort = new AbortController()
    const cancel = this.#timers.after(STREAM_OPEN_MS, () =>
      abort.abort(new Error('stream not negotiated in time')),
    )
    try {
      const stream = await connection.newStream(protocol, {
        runOnLimitedConnection: true,
        signal: abort.signal,
      })
      this.add(stream, connection)
    } finally {
      cancel()
    }
  }

  /** Takes over a stream of either direction. */
  add(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const reader = new FrameReader(FRAME_BYTES_MAX)
    const link = { stream, connection }
    const open = this.#links.get(peer)
    if (open === undefined) this.#links.set(peer, [link])
    else open.push(link)
    stream.addEventListener('close', () => this.#ended(peer, link))
    stream.addEventListener('end', () => void this.#finish(stream))
    stream.addEventListener('message', ({ data }) => {
      try {
        for (const frame of reader.push(data.subarray())) this.#listener.frame(peer, frame)
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        this.close(peer, error, true)
        this.#listener.broken(peer, 'frame-malformed', error.message)
      }
    })
    if (open === undefined) this.#listener.up(peer, connection.direction === 'outbound')
  }

  /** Sends a frame; dropped when the link ended meanwhile. */
  send(peer: string, frame: Uint8Array): void {
    const stream = this.#links.get(peer)?.findLast((link) => link.stream.writeStatus === 'writable')?.stream
    if (stream === undefined) return
    if (stream.writeBufferLength + frame.length > SEND_QUEUE_BYTES_MAX) {
      const text = `${stream.writeBufferLength} bytes wait`
      this.close(peer, new Error(text), true)
      this.#listener.broken(peer, 'send-queue-full', text)
      return
    }
    stream.send(lengthPrefixed(frame))
  }

  /** Ends a peer's streams at once and, for `connections`, what carries them. */
  close(peer: string, reason: Error, connections: boolean): void {
    // `#ended` replaces the array while streams close, it never changes it: this one is safe to walk.
    for (const { stream, connection } of this.#links.get(peer) ?? []) {
      stream.abort(reason)
      if (connections) connection.abort(reason)
    }
  }

  /** Ends all streams, giving what was sent a moment to leave. */
  async closeAll(): Promise<void> {
    const streams = [...this.#links.values()].flat().map(({ stream }) => stream)
    await Promise.all(streams.map((stream) => this.#finish(stream)))
  }

  async #finish(stream: Stream): Promise<void> {
    const abort = new AbortController()
    const cancel = this.#timers.after(CLOSE_MS, () => abort.abort(new Error('stream did not close in time')))
    try {
      await stream.close({ signal: abort.signal })
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
    } finally {
      cancel()
    }
  }

  #ended(peer: string, link: { stream: Stream }): void {
    const open = this.#links.get(peer)?.filter((other) => other !== link) ?? []
    if (open.length > 0) this.#links.set(peer, open)
    else if (this.#links.delete(peer)) this.#listener.down(peer)
  }
}
