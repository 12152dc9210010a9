import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { encodeFailure, encodeResponse, type Response } from '../../protocols/dns/answer.ts'
import { TCP_BYTES_MAX, TCP_CONNECTIONS_MAX, TCP_IDLE_MS } from '../../protocols/dns/limits.ts'
import { decodeQuery, QueryError, type Query } from '../../protocols/dns/wire.ts'
import { listenFailure } from '../listening.ts'

/** Tries for a port free on UDP and TCP alike when any will do. */
const FREE_PORT_TRIES = 20

/** Answers one well-formed query from local state; must not wait for the network. */
export type Answer = (query: Query) => Response

/** A DNS server on one loopback address, UDP and TCP on the same port. */
export interface DnsServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Starts listening.
 * @param port 0 takes one that is free on both transports.
 * @throws ListenError `port-in-use`, `port-forbidden`.
 */
export async function startDnsServer(address: string, port: number, answer: Answer): Promise<DnsServer> {
  for (let attempt = 1; ; attempt += 1) {
    const udp = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
    const tcp = createServer({ noDelay: true })
    try {
      udp.bind(port, address)
      await once(udp, 'listening')
      tcp.listen(udp.address().port, address)
      await once(tcp, 'listening')
    } catch (error) {
      udp.close()
      tcp.close()
      const retry =
        port === 0 && attempt < FREE_PORT_TRIES && (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (retry) continue
      throw listenFailure('DNS', address, port, error)
    }
    return serve(udp, tcp, answer)
  }
}

function serve(udp: UdpSocket, tcp: Server, answer: Answer): DnsServer {
  const connections = new Set<Socket>()
  tcp.maxConnections = TCP_CONNECTIONS_MAX
  udp.on('message', (bytes: Buffer, from: RemoteInfo) => {
    const response = respond(bytes, answer, 'udp')
    // Nobody can be answered on port 0, and node throws. A send the kernel refuses (a firewall) is a lost packet, not our end.
    if (response !== undefined && from.port !== 0)
      udp.send(response, from.port, from.address, () => undefined)
  })
  tcp.on('connection', (socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
    serveConnection(socket, answer)
  })
  return {
    port: udp.address().port,
    async close() {
      for (const socket of connections) socket.destroy()
      await Promise.all([
        new Promise<void>((done) => void udp.close(done)),
        new Promise<void>((done) => void tcp.close(() => done())),
      ])
    },
  }
}

function respond(bytes: Uint8Array, answer: Answer, transport: 'udp' | 'tcp'): Uint8Array | undefined {
  let query: Query
  try {
    query = decodeQuery(bytes)
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    return error.rcode === null ? undefined : encodeFailure(error.id, error.rcode)
  }
  const nothing = { answers: [], authority: [] }
  if (query.edns !== null && query.edns.version !== 0)
    return encodeResponse(query, { rcode: 'BADVERS', ...nothing }, transport)
  if (!query.isInternet || query.type === 'AXFR')
    return encodeResponse(query, { rcode: 'REFUSED', ...nothing }, transport)
  return encodeResponse(query, answer(query), transport)
}

/** RFC 7766: several queries on one connection, each with a two-byte length before it; idle clients are let go. */
function serveConnection(socket: Socket, answer: Answer): void {
  let pending: Buffer = Buffer.alloc(0)
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy()) // a client that resets its own connection concerns nobody else
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    while (pending.length >= 2) {
      const length = pending.readUInt16BE(0)
      if (pending.length < 2 + length) break
      const response = respond(pending.subarray(2, 2 + length), answer, 'tcp')
      pending = pending.subarray(2 + length)
      if (response === undefined || response.length > TCP_BYTES_MAX) return void socket.destroy()
      const prefix = Buffer.alloc(2)
      prefix.writeUInt16BE(response.length)
      // A client that does not read its answers is not read from either.
      if (!socket.write(Buffer.concat([prefix, response]))) {
        socket.pause()
        socket.once('drain', () => socket.resume())
      }
    }
  })
}
