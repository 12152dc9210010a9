import type { AbortOptions, MessageStream } from '@libp2p/interface'
import { AbstractMessageStream, type SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { SecureLink } from './link.ts'

/**
 * A link as a libp2p MessageStream, for whatever muxer the two sides chose. Forwards data, close and drain (writes wedge
 * otherwise: libp2p/js-libp2p#3551).
 */
export class SecureStream extends AbstractMessageStream {
  readonly #raw: MessageStream
  readonly #link: SecureLink

  constructor(raw: MessageStream, link: SecureLink) {
    super({
      log: raw.log.newScope('kith'),
      inactivityTimeout: raw.inactivityTimeout,
      maxReadBufferLength: raw.maxReadBufferLength,
      direction: raw.direction,
    })
    this.#raw = raw
    this.#link = link
  }

  /** Starts to listen to the link; what came before is given at once. */
  start(): this {
    this.#link.use({
      onData: (bytes) => this.onData(bytes),
      onDrain: () => this.safeDispatchEvent('drain'),
      onClose: (error, isLocal) => {
        if (error === undefined) this.onTransportClosed()
        else if (isLocal) this.abort(error)
        else this.onRemoteReset()
      },
    })
    return this
  }

  override sendData(data: Uint8ArrayList): SendResult {
    const sentBytes = data.byteLength
    for (const part of data) this.#link.send(part)
    return { sentBytes, canSendMore: this.#link.isWritable }
  }

  /** Resolves once nothing waits in the write buffer, or when waiting became pointless. */
  idle(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      if (this.writeBufferLength === 0 || signal?.aborted === true) return resolve()
      const done = (): void => {
        this.removeEventListener('idle', done)
        this.removeEventListener('close', done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      this.addEventListener('idle', done)
      this.addEventListener('close', done)
      signal?.addEventListener('abort', done)
    })
  }

  /** libp2p closes the raw stream, which sends our CLOSE record first. */
  override close(options?: AbortOptions): Promise<void> {
    return this.#raw.close(options)
  }

  override sendReset(error: Error): void {
    this.#link.abort(error)
  }

  override sendPause(): void {
    this.#link.pause()
  }

  override sendResume(): void {
    // `resume()` delivers what waited before it calls this; a consumer that paused again meanwhile must stay paused.
    if (this.readStatus !== 'paused') this.#link.resume()
  }
}
