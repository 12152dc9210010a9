import type { AbortOptions, Logger } from '@libp2p/interface'
import { AbstractMultiaddrConnection, type SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { ByteChannel } from '../../protocols/mux/channel.ts'
import type { ByteTransport, ByteTransportUser } from '../../protocols/secure-channel/byte-transport.ts'

/** How long the other side of a circuit may take to end its direction after ours ended. */
const CLOSE_MS = 2000

/** A channel through a relay as the raw connection of a handshake; `transport` takes it over afterwards. */
export class ChannelConnection extends AbstractMultiaddrConnection {
  readonly #channel: ByteChannel
  /** Why the channel failed, if it did: libp2p's events say only that it was reset. */
  failure: Error | undefined
  #taker: ByteTransportUser | undefined
  /** Written while the channel took nothing. */
  #held: Uint8Array[] = []
  #heldBytes = 0
  #isFull = false
  /** Our direction is finished: what is written now has nobody to read it. */
  #hasEnded = false
  /** The other side ended while nothing was to be given; told when all has been. */
  #hasEndedPaused = false
  /** Given to the user while it was paused, and not given to it before. */
  #paused: { bytes: Uint8Array[] } | undefined

  constructor(channel: ByteChannel, remoteAddr: Multiaddr, direction: 'inbound' | 'outbound', log: Logger) {
    super({ remoteAddr, direction, log })
    this.#channel = channel
    channel.use({
      onData: (bytes) => this.#onBytes(bytes),
      onEnd: () => this.#ended(),
      onReset: (error) => this.#ended(error),
      onDrain: () => this.#drained(),
    })
  }

  /** The channel as the record layer uses it, without this object's events and lists. */
  transport(): ByteTransport {
    const isOpen = (): boolean => this.status === 'open'
    const isWritable = (): boolean => !this.#isFull
    const unsentBytes = (): number => this.#heldBytes
    return {
      get isOpen() {
        return isOpen()
      },
      get isWritable() {
        return isWritable()
      },
      get unsentBytes() {
        return unsentBytes()
      },
      write: (pieces) => this.#write(pieces),
      pause: () => void (this.#paused ??= { bytes: [] }),
      resume: () => this.#resume(),
      abort: (error) => this.abort(error),
      use: (user) => {
        this.#taker = user
        this.addEventListener('close', (event) => user.onClose(event.error, event.local === true))
      },
    }
  }

  override sendData(data: Uint8ArrayList): SendResult {
    this.#write([...data])
    return { sentBytes: data.byteLength, canSendMore: !this.#isFull }
  }

  override sendClose(_options?: AbortOptions): Promise<void> {
    this.#finish()
    return Promise.resolve()
  }

  override sendReset(): void {
    this.#channel.reset()
  }

  override sendPause(): void {
    this.#paused ??= { bytes: [] }
  }

  override sendResume(): void {
    this.#resume()
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#paused !== undefined) return void this.#paused.bytes.push(bytes)
    // Before it is handed on: the user may pause from within.
    this.#channel.consumed(bytes.length)
    if (this.#taker === undefined) this.onData(bytes)
    else this.#taker.onBytes(bytes)
  }

  #resume(): void {
    const waiting = this.#paused?.bytes ?? []
    this.#paused = undefined
    for (const bytes of waiting) this.#onBytes(bytes)
    if (this.#paused === undefined && this.#hasEndedPaused) this.#ended()
  }

  /** What follows something that waits waits too, so that the order holds. */
  #write(pieces: readonly Uint8Array[]): void {
    if (!this.#hasEnded) this.#pass(pieces)
  }

  #pass(pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      if (this.#isFull) {
        this.#held.push(piece)
        this.#heldBytes += piece.length
      } else this.#isFull = !this.#channel.write(piece)
    }
  }

  #drained(): void {
    this.#isFull = false
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    this.#pass(held)
    if (this.#isFull) return
    if (this.#hasEnded) return this.#channel.end()
    this.safeDispatchEvent('drain')
    this.#taker?.onDrain()
  }

  #ended(error?: Error): void {
    if (error === undefined && this.#paused !== undefined) {
      this.#hasEndedPaused = true
      return
    }
    this.failure ??= error
    // What the other side ended is over, as with a socket.
    if (error === undefined) this.#finish()
    if (error === undefined) this.onTransportClosed()
    else this.onRemoteReset()
  }

  #finish(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    if (this.#held.length === 0) this.#channel.end() // otherwise behind what waits
    const cut = setTimeout(() => this.#channel.reset(), CLOSE_MS)
    cut.unref()
  }
}
