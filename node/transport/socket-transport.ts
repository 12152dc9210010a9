import type { Socket } from 'node:net'
import type { MultiaddrConnection, StreamCloseEvent } from '@libp2p/interface'
import { messageStreamTransport, type ByteTransport } from '../../protocols/secure-channel/byte-transport.ts'
import { countBuffers } from './minor-collection.ts'

/** Unsent bytes in the socket at which its users stop writing: enough to keep a fast path busy for one turn of the event loop. */
export const SOCKET_HIGH_WATER_BYTES = 512 * 1024

/**
 * Takes the socket out of a connection of @libp2p/tcp, which from then on only opens, closes and times out: its events and
 * lists cost more for each chunk than decrypting it. Falls back to the connection itself where it has no socket.
 */
export function socketTransport(connection: MultiaddrConnection): ByteTransport {
  const socket = socketOf(connection)
  if (socket === undefined) return messageStreamTransport(connection)
  return {
    get isOpen() {
      return connection.status === 'open' && socket.writable
    },
    get isWritable() {
      return socket.writableLength < SOCKET_HIGH_WATER_BYTES
    },
    get unsentBytes() {
      return socket.writableLength
    },
    write(pieces) {
      for (const piece of pieces) countBuffers(piece.length)
      if (pieces.length === 1) return void socket.write(pieces[0] as Uint8Array)
      socket.cork()
      for (const piece of pieces) socket.write(piece)
      socket.uncork()
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    abort: (error) => connection.abort(error),
    use(user) {
      socket.removeAllListeners('data')
      socket.on('data', (bytes: Buffer) => {
        countBuffers(bytes.length)
        user.onBytes(bytes)
      })
      socket.on('drain', () => user.onDrain())
      connection.addEventListener('close', (event: StreamCloseEvent) =>
        user.onClose(event.error, event.local === true),
      )
    },
  }
}

/** The socket @libp2p/tcp keeps in its connection; not part of its types, so it is looked at before it is used. */
export function socketOf(connection: MultiaddrConnection): Socket | undefined {
  const { socket } = connection as { socket?: Partial<Socket> }
  return typeof socket?.cork === 'function' && typeof socket.removeAllListeners === 'function'
    ? (socket as Socket)
    : undefined
}
