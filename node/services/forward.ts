import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { pipe } from 'it-pipe'
import type { ServiceEntry } from '../../protocols/naming/directory.ts'
import { listenFailure } from '../listening.ts'
import type { Reach } from './reach.ts'
import { streamPipe } from './socket-pipe.ts'

/** Open connections of one forward. */
const FORWARD_CONNECTIONS_MAX = 4096

/**
 * Joins one accepted connection with the service, whatever it speaks. The socket must allow half-open.
 * @param onFailure told why a connection was closed without reaching the service.
 */
export async function joinConnection(
  reach: Reach,
  connection: Socket,
  entry: ServiceEntry,
  onFailure: (error: Error) => void,
): Promise<void> {
  connection.pause()
  const local = streamPipe(connection)
  connection.on('error', () => connection.destroy()) // the local program's own reset
  try {
    const remote = await reach.open(entry)
    await pipe(local, remote, local).catch((error: Error) => {
      remote.abort(error)
      throw error
    })
  } catch (error) {
    if (!connection.destroyed) connection.resetAndDestroy() // plain TCP has no other way to say "no"
    onFailure(error as Error)
  }
}

/** Opens a local TCP listener that reaches the service; closed with all its connections when the signal aborts. */
export async function openForward(
  reach: Reach,
  entry: ServiceEntry,
  port: number,
  onFailure: (error: Error) => void,
  signal: AbortSignal,
): Promise<{ address: string; port: number }> {
  const address = '127.0.0.1'
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  server.maxConnections = FORWARD_CONNECTIONS_MAX
  const connections = new Set<Socket>()
  server.on('connection', (connection) => {
    connections.add(connection)
    connection.on('close', () => connections.delete(connection))
    void joinConnection(reach, connection, reach.current(entry), onFailure)
  })
  try {
    server.listen({ host: address, port })
    await once(server, 'listening')
  } catch (error) {
    throw listenFailure(`a forward to "${entry.service.name}"`, address, port, error)
  }
  const close = (): void => {
    server.close()
    for (const connection of connections) connection.destroy()
  }
  if (signal.aborted) close()
  signal.addEventListener('abort', close, { once: true })
  const bound = server.address()
  return { address, port: typeof bound === 'object' && bound !== null ? bound.port : port }
}
