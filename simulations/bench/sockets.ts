import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** What a forward carries: local port to listen on, port of the service. */
export interface Mapping {
  readonly listen: number
  readonly target: number
}

const BACKLOG = 1024

/** Reads `LISTEN:TARGET,…`. */
export function parseMappings(text: string): Mapping[] {
  return text.split(',').map((entry) => {
    const [listen, target] = entry.split(':').map(Number)
    return { listen: listen ?? 0, target: target ?? 0 }
  })
}

/** Hands over each connection made to the port. */
export async function listen(port: number, host: string, onSocket: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, onSocket)
  server.listen({ port, host, backlog: BACKLOG })
  await once(server, 'listening')
}

/** Connects, each direction ending by itself. */
export function connectTo(port: number, host: string): Socket {
  return connect({ port, host, allowHalfOpen: true, noDelay: true })
}
