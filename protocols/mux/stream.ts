import type { AbortOptions, Logger } from '@libp2p/interface'
import { AbstractStream, type SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Channel } from './channel.ts'
import { MuxError } from './errors.ts'
import { FRAME_TARGET_BYTES } from './limits.ts'

/** A channel as a libp2p stream, for libp2p's own protocols. */
export class ChannelStream extends AbstractStream {
  readonly #channel: Channel
  #receivedBytes = 0
  #consumedBytes = 0

  constructor(channel: Channel, direction: 'inbound' | 'outbound', log: Logger) {
    super({
      id: String(channel.id),
      protocol: channel.protocol,
      direction,
      log,
      maxMessageSize: FRAME_TARGET_BYTES,
    })
    this.#channel = channel
  }

  /** Starts to listen to the channel. Separate, because a channel may give what it has at once. */
  start(): this {
    this.#channel.use({
      onData: (bytes) => {
        this.#receivedBytes += bytes.length
        this.onData(bytes)
        this.#account()
      },
      onEnd: () => this.onRemoteCloseWrite(),
      onReset: (error) => {
        if (error instanceof MuxError && error.code === 'channel-reset') this.onRemoteReset()
        else this.onTransportClosed()
      },
      onDrain: () => this.safeDispatchEvent('drain'),
    })
    return this
  }

  override sendData(data: Uint8ArrayList): SendResult {
    let canSendMore = true
    for (const part of data) canSendMore = this.#channel.write(part)
    return { sentBytes: data.byteLength, canSendMore }
  }

  override sendCloseWrite(options?: AbortOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error), {
        once: true,
      })
      this.#channel.end(resolve)
    })
  }

  override sendCloseRead(): Promise<void> {
    this.#account()
    return Promise.resolve()
  }

  override sendReset(): void {
    this.#channel.reset()
  }

  /** Nothing to send: what is not consumed is not allowed again, so the other side stops by itself. */
  override sendPause(): void {}

  override sendResume(): void {
    this.#account()
  }

  protected override dispatchReadBuffer(): void {
    super.dispatchReadBuffer()
    this.#account()
  }

  /** Allows as many bytes again as were taken out of the read buffer. */
  #account(): void {
    const done = this.#receivedBytes - this.readBufferLength - this.#consumedBytes
    if (done <= 0) return
    this.#consumedBytes += done
    this.#channel.consumed(done)
  }
}
