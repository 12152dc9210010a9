import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { openingBytes } from './wire.ts'

/**
 * Listens where a member believes another one to be and keeps the openings it gets, answering none: what somebody on the path
 * can have. Ends after `count` of them, or after `forMs`.
 */
export async function record(host: string, port: number, count: number, forMs: number): Promise<Buffer[]> {
  const openings: Buffer[] = []
  const sockets = new Set<Socket>()
  const enough = Promise.withResolvers<void>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let bytes = Buffer.alloc(0)
    socket.on('error', () => undefined) // the member gave up
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      const length = openingBytes(bytes)
      if (length === undefined || bytes.length < length) return
      openings.push(bytes.subarray(0, length))
      socket.destroy()
      if (openings.length >= count) enough.resolve()
    })
  })
  server.listen(port, host)
  await once(server, 'listening')
  const timer = setTimeout(enough.resolve, forMs)
  await enough.promise
  clearTimeout(timer)
  server.close()
  for (const socket of sockets) socket.destroy()
  return openings
}
