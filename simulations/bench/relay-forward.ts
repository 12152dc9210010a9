import type { Socket } from 'node:net'
import { connectTo, listen, parseMappings } from './sockets.ts'

/*
 * relay-forward.ts far|near HOST LISTEN:TARGET,…   two sockets piped into each other, no protocol and no encryption: what
 * Node itself costs. Nothing else is loaded: with a larger heap each collection takes longer, and bytes cost more.
 * The near end listens on 127.0.0.1:LISTEN, the far end connects to 127.0.0.1:TARGET.
 */

const PORT_OFFSET = 8000
const [role = '', host = '', list = ''] = process.argv.slice(2)

/** Joins two sockets; when one breaks, so does the other. */
function joinSockets(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one)
  for (const [socket, counterpart] of [
    [one, other],
    [other, one],
  ] as const) {
    socket.on('error', () => counterpart.destroy())
    socket.on('close', () => counterpart.destroy())
  }
}

for (const { listen: port, target } of parseMappings(list)) {
  if (role === 'far')
    await listen(target + PORT_OFFSET, host, (socket) => joinSockets(socket, connectTo(target, '127.0.0.1')))
  else await listen(port, '127.0.0.1', (socket) => joinSockets(socket, connectTo(target + PORT_OFFSET, host)))
}
