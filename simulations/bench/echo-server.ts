import { createServer } from 'node:net'

/* echo-server.ts PORT: sends back what it gets. Prints a line when it listens. */

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy())
  socket.pipe(socket)
})
server.listen(Number(process.argv[2]), () => process.stdout.write('listening\n'))
