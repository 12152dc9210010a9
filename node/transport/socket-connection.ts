import type { Socket } from 'node:net'
import type { AbortOptions, Logger } from '@libp2p/interface'
import { AbstractMultiaddrConnection, type SendResult } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Uint8ArrayList } from 'uint8arraylist'

/**
 * A TCP socket that stands already, as a connection for the handshake: @libp2p/tcp makes connections only of sockets it opened
 * or accepted itself. `socketTransport` takes the socket out of it afterwards.
 */
export class SocketConnection extends AbstractMultiaddrConnection {
  readonly socket: Socket

  constructor(
    socket: Socket,
    remoteAddr: Multiaddr,
    init: { direction: 'inbound' | 'outbound'; inactivityMs: number; log: Logger },
  ) {
    super({ remoteAddr, direction: init.direction, log: init.log, inactivityTimeout: init.inactivityMs })
    this.socket = socket
    socket.on('data', (bytes: Buffer) => this.onData(bytes))
    socket.on('error', (error) => this.abort(error))
    socket.setTimeout(init.inactivityMs)
    socket.once('timeout', () => this.abort(new Error('nothing came for too long')))
    socket.once('end', () => {
      // Made with half-open allowed or not: what the other side ended is over.
      socket.end()
      this.onTransportClosed()
    })
    socket.once('close', (hadError) =>
      hadError ? this.abort(new Error('TCP transmission error')) : this.onTransportClosed(),
    )
    socket.on('drain', () => this.safeDispatchEvent('drain'))
    socket.resume()
  }

  override sendData(data: Uint8ArrayList): SendResult {
    let canSendMore = true
    for (const piece of data) canSendMore = this.socket.write(piece)
    return { sentBytes: data.byteLength, canSendMore }
  }

  override sendClose(options?: AbortOptions): Promise<void> {
    if (this.socket.destroyed) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.socket.once('close', () => resolve())
      options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error), {
        once: true,
      })
      this.socket.destroySoon()
    })
  }

  override sendReset(): void {
    if (this.socket.writableEnded) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }

  override sendPause(): void {
    this.socket.pause()
  }

  override sendResume(): void {
    this.socket.resume()
  }
}
