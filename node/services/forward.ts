import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { ServiceEntry } from '../../protocols/naming/directory.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import { listenFailure } from '../listening.ts'
import { LOCAL_HIGH_WATER_BYTES } from './channel-stream.ts'
import type { Reach } from './reach.ts'

/** Open connections of one forward; of one more the caller is told, and it is closed. */
export const FORWARD_CONNECTIONS_MAX = 4096

/** Opens a local TCP listener that reaches the service; closed with all its connections when the signal aborts. */
export async function openForward(
  reach: Reach,
  entry: ServiceEntry,
  port: number,
  onFailure: (error: Error) => void,
  signal: AbortSignal,
): Promise<{ address: string; port: number }> {
  const address = '127.0.0.1'
  const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: LOCAL_HIGH_WATER_BYTES })
  server.maxConnections = FORWARD_CONNECTIONS_MAX
  server.on('drop', () =>
    onFailure(
      new TunnelError(
        'too-many-streams',
        `The forward to "${entry.service.name}" has ${server.maxConnections} connections open`,
      ),
    ),
  )
  const connections = new Set<Socket>()
  server.on('connection', (connection) => {
    connections.add(connection)
    connection.on('close', () => connections.delete(connection))
    reach.join(reach.current(entry), connection, (error) => {
      if (error !== undefined) onFailure(error)
    })
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
