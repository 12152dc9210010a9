import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Endpoint } from '../../../protocols/traversal/endpoint.ts'
import { steadyClock, systemRandom, systemTimers } from '../../../node/system-ports.ts'

/** The machine's own clock, timers and randomness. */
export const ports = { clock: steadyClock, timers: systemTimers, random: systemRandom }

/** An endpoint of this machine. */
export function loopback(port: number, last = 1): Endpoint {
  return { ip: Uint8Array.of(127, 0, 0, last), port }
}

/** Listens at `127.0.0.<last>`. */
export async function listenAt(
  last: number,
  onAccepted: (socket: Socket) => void,
): Promise<{ server: Server; endpoint: Endpoint }> {
  const server = createServer(onAccepted).listen(0, `127.0.0.${last}`)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return { server, endpoint: loopback(address.port, last) }
}
