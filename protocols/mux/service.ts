import {
  TypedEventEmitter,
  type AbortOptions,
  type CreateStreamOptions,
  type Logger,
  type Stream,
  type StreamMuxer,
  type StreamMuxerEvents,
  type StreamMuxerStatus,
} from '@libp2p/interface'
import type { Channel } from './channel.ts'
import { MuxError } from './errors.ts'
import { EARLY_STREAMS_MAX } from './limits.ts'
import { Mux, type MuxInit } from './machine.ts'
import { ChannelStream } from './stream.ts'

/** Name of the multiplexer in a handshake. */
export const MUX_PROTOCOL = '/kith/mux/1'

/** Takes the channels of one protocol without libp2p in between; must not throw. `via`: the relay the connection goes through. */
export type ChannelHandler = (channel: Channel, peerId: string, via: string | null) => void

/** The connection below a muxer. */
export interface MuxConnection {
  readonly peerId: string
  /** Peer id of the relay it goes through; null: direct. */
  readonly via: string | null
  readonly log: Logger
}

/** What a `ChannelMuxer` is made of. */
export interface ChannelMuxerInit extends Omit<MuxInit, 'onChannel' | 'onGoAway'> {
  readonly connection: MuxConnection
  /** Protocols whose channels do not become libp2p streams. */
  readonly handlers: ReadonlyMap<string, ChannelHandler>
  /** Whether libp2p serves a protocol; a channel of any other is reset before libp2p hears, and remembers, its name. */
  readonly isServed: (protocol: string) => boolean
  /** The muxer ended. */
  readonly onClosed: () => void
  /** The muxer was given up: the connection must be too. */
  readonly onFailed: (error: Error) => void
}

/**
 * The multiplexer of a connection as libp2p wants it. Streams are opened with their protocol, so that no negotiation precedes
 * the first byte; `open` gives a bare channel, for what has to be fast.
 */
export class ChannelMuxer extends TypedEventEmitter<StreamMuxerEvents> implements StreamMuxer {
  readonly protocol = MUX_PROTOCOL
  status: StreamMuxerStatus = 'open'
  streams: Stream[] = []
  readonly #init: ChannelMuxerInit
  readonly #mux: Mux
  #early: ChannelStream[] = []
  /** Bytes that came, for seeing whether the connection lives. */
  receivedBytes = 0

  constructor(init: ChannelMuxerInit) {
    super()
    this.#init = init
    this.#mux = new Mux({
      ...init,
      onChannel: (channel) => this.#onChannel(channel),
      onGoAway: () => {
        if (this.status === 'open') this.status = 'closing'
      },
    })
  }

  /** Opens a channel that is no libp2p stream. @throws MuxError `mux-closed`, `too-many-channels`. */
  open(protocol: string): Channel {
    return this.#mux.open(protocol)
  }

  /** Channels that are no libp2p streams: what somebody uses the connection for. */
  get bareChannels(): number {
    return this.#mux.channelCount - this.streams.length
  }

  // libp2p wants a promise; a protocol it did not name is negotiated inside the stream.
  createStream(options: CreateStreamOptions = {}): Promise<Stream> {
    try {
      return Promise.resolve(this.#add(this.#mux.open(options.protocol ?? ''), 'outbound').start())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** What came on the connection. */
  receive(bytes: Uint8Array): void {
    if (this.status === 'closed') return
    this.receivedBytes += bytes.length
    try {
      this.#mux.receive(bytes)
    } catch (error) {
      if (!(error instanceof MuxError)) throw error
      this.ended(error)
      this.#init.onFailed(error)
    }
  }

  /** The connection takes bytes again. */
  drained(): void {
    this.#mux.drained()
  }

  /** The connection is gone. */
  ended(error: Error): void {
    if (this.status === 'closed') return
    this.status = 'closed'
    this.#mux.fail(error)
    this.#init.onClosed()
  }

  async close(options?: AbortOptions): Promise<void> {
    if (this.status === 'closed') return
    this.status = 'closing'
    // A stream whose reader has stopped cannot finish; it must not keep the connection.
    await Promise.allSettled(this.streams.map((stream) => stream.close(options)))
    this.#mux.goAway()
    this.ended(new MuxError('mux-closed', 'The connection was closed'))
  }

  abort(error: Error): void {
    for (const stream of this.streams.slice()) stream.abort(error)
    this.ended(error)
  }

  override addEventListener(
    ...args: Parameters<TypedEventEmitter<StreamMuxerEvents>['addEventListener']>
  ): void {
    super.addEventListener(...args)
    if (args[0] !== 'stream' || this.#early.length === 0) return
    const early = this.#early
    this.#early = []
    // The listener may belong to an object whose constructor still runs.
    void Promise.resolve().then(() => early.forEach((stream) => this.#announce(stream)))
  }

  #onChannel(channel: Channel): void {
    const handler = this.#init.handlers.get(channel.protocol)
    if (handler !== undefined)
      return handler(channel, this.#init.connection.peerId, this.#init.connection.via)
    // Without a name it is negotiated inside the stream, which accepts served protocols only.
    if (channel.protocol !== '' && !this.#init.isServed(channel.protocol)) return channel.reset()
    const stream = this.#add(channel, 'inbound')
    if (this.listenerCount('stream') > 0) return this.#announce(stream)
    if (this.#early.length >= EARLY_STREAMS_MAX) return stream.abort(new Error('too many early streams'))
    this.#early.push(stream)
  }

  #announce(stream: ChannelStream): void {
    this.safeDispatchEvent('stream', { detail: stream })
    stream.start()
  }

  #add(channel: Channel, direction: 'inbound' | 'outbound'): ChannelStream {
    const stream = new ChannelStream(channel, direction, this.#init.connection.log)
    this.streams.push(stream)
    stream.addEventListener('close', () => {
      const index = this.streams.indexOf(stream)
      if (index >= 0) this.streams.splice(index, 1)
    })
    return stream
  }
}
