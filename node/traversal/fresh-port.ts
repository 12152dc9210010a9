import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Endpoint } from '../../protocols/traversal/endpoint.ts'
import { ipText } from './socket-endpoint.ts'

/**
 * A local port nobody has used yet, from which several connections are made and on which one listener waits, all at once. Node
 * allows it in one order only: a port that is connected from can be listened on, a port that is listened on cannot be connected
 * from. Why a fresh one: neither TIME_WAIT nor a NAT's memory of earlier connections gets in the way.
 */
export class FreshPort {
  readonly number: number
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null
  #hasV6 = false
  #isClosed = false

  private constructor(number: number) {
    this.number = number
  }

  /** Finds one. */
  static async open(): Promise<FreshPort> {
    const server = createServer().listen({ port: 0, host: '0.0.0.0', exclusive: true })
    await once(server, 'listening')
    const address = server.address()
    server.close()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
    return new FreshPort(address.port)
  }

  /** Sockets that are not closed. */
  get openSockets(): number {
    return this.#sockets.size
  }

  /** Connects from the port. Its owner listens to `error`, which comes later at the earliest. */
  connect({ ip, port }: Endpoint): Socket {
    this.#hasV6 ||= ip.length === 16
    const socket = this.#keep(connect({ host: ipText(ip), port, localPort: this.number, noDelay: true }))
    if (this.#isClosed) socket.destroy()
    return socket
  }

  /**
   * Listens on the port, both families where an IPv6 address was connected to. All connects before it count as under way: Node
   * makes both in the next turn, in this order.
   */
  listen(
    onAccepted: (socket: Socket) => void,
    onFailed: (error: Error) => void,
    onListening: () => void = () => undefined,
  ): void {
    if (this.#isClosed || this.#server !== null) return
    const server = createServer({ noDelay: true }, (socket) => {
      if (this.#server !== server) return void socket.destroy()
      onAccepted(this.#keep(socket))
    })
    this.#server = server
    server.on('error', (error) => {
      if (this.#server !== server) return
      this.#server = null
      onFailed(error)
    })
    // It may have been closed before it began to listen.
    server.on('listening', () => {
      if (this.#server === server) onListening()
      else server.close()
    })
    server.listen({ port: this.number, host: this.#hasV6 ? '::' : '0.0.0.0', exclusive: true })
  }

  /** Takes no more connections; what was accepted stays. */
  unlisten(): void {
    const server = this.#server
    this.#server = null
    server?.close()
  }

  /** Closes the listener and every socket but the one that is kept. */
  close(kept: Socket | null = null): void {
    this.#isClosed = true
    this.unlisten()
    for (const socket of this.#sockets) if (socket !== kept) socket.destroy()
    this.#sockets.clear()
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // A socket whose owner has left must not end the process; `close` tells all that matters.
    socket.on('error', () => undefined)
    return socket
  }
}
