import { createServer as createHttpServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { WebSocketServer } from 'ws'

/*
 * The programs behind published services: an HTTP server with WebSocket echo and server-sent events, a TCP server that answers
 * with the hash of all it got once its client has finished sending, and one that finishes first and then reads on. Prints
 * their ports as one line of JSON.
 */

/** Between two events: long enough to tell "one by one" from "all at the end". */
const EVENT_INTERVAL_MS = 200
const EVENT_COUNT = 5

const http = createHttpServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let sent = 0
    const timer = setInterval(() => {
      sent += 1
      response.write(`id: ${sent}\ndata: ${Date.now()}\n\n`)
      if (sent < EVENT_COUNT) return
      clearInterval(timer)
      response.end()
    }, EVENT_INTERVAL_MS)
    return
  }
  response.end(`${request.headers.host} asked for ${request.url}\n`)
})
const sockets = new WebSocketServer({ server: http, path: '/echo' })
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => void socket.send(data as Buffer, { binary: isBinary }))
})

/** The client finishes first: the answer comes after its end. */
const hashing = createTcpServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash('sha256')
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => hash.update(chunk))
  socket.on('end', () => void socket.end(hash.digest('hex')))
})
/** The server finishes first: what the client sends after that is still read, and printed as one line of JSON. */
const finishing = createTcpServer({ allowHalfOpen: true }, (socket) => {
  let received = ''
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => (received += chunk.toString()))
  socket.on('end', () => process.stdout.write(`${JSON.stringify({ received })}\n`))
  socket.end('first and last word')
})

const ports = { http: await listen(http), hashing: await listen(hashing), finishing: await listen(finishing) }
process.stdout.write(`${JSON.stringify(ports)}\n`)

async function listen(server: Server): Promise<number> {
  server.listen({ host: '127.0.0.1', port: 0, backlog: 511 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
