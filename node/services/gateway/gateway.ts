import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ReasonTable } from '../../../protocols/common/errors.ts'
import type { EmitEvent } from '../../../protocols/common/ports.ts'
import type { ServiceEntry } from '../../../protocols/naming/directory.ts'
import { TunnelError } from '../../../protocols/tunnel/errors.ts'
import type { Reach } from '../reach.ts'
import { acceptsHtml, createHttpProxy, problemOf } from './proxy.ts'
import { GATEWAY_REASONS } from './errors.ts'
import { problemBytes, sendProblem, type GatewayProblem } from './error-page.ts'
import { isForeignRequest, serviceOfHost } from './guard.ts'

/** Request heads above this are refused by the parser; large cookies fit. */
export const HEAD_BYTES_MAX = 32 * 1024
/** A client that opens a connection and says nothing. */
const HEAD_TIMEOUT_MS = 30_000

/** Speaks HTTP on local connections and passes each request to the service its Host names. */
export interface Gateway {
  /** Takes over an accepted connection. */
  serve(connection: Socket): void
  close(): void
}

/** Everything the gateway needs. */
export interface GatewayInit {
  readonly reach: Reach
  readonly domain: string
  /** The random label of `http://NAME.<label>.localhost`. */
  readonly localLabel: string
  readonly emit: EmitEvent
}

/** Starts nothing: connections are handed to `serve`. */
export function createGateway({ reach, domain, localLabel, emit }: GatewayInit): Gateway {
  const proxy = createHttpProxy(reach, emit)

  /** The service, or why this request gets none. */
  const decide = (request: IncomingMessage): ServiceEntry | GatewayProblem => {
    if (isAmbiguous(request))
      return problem(421, 'host-unknown', 'The request names its host twice, or in its target')
    const name = serviceOfHost(request.headers.host, domain, localLabel)
    if (name === undefined)
      return problem(421, 'host-unknown', `"${request.headers.host ?? ''}" is no service of ${domain}`)
    let entry: ServiceEntry
    try {
      entry = reach.find(name)
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      return problemOf(error)
    }
    if (entry.service.proto !== 'http')
      return problem(421, 'not-http', `"${entry.service.name}" is published as ${entry.service.proto}`)
    if (!isLoopback(request.socket.remoteAddress) && !entry.service.allow.includes('lan')) {
      return problem(403, 'lan-refused', `"${entry.service.name}" is not open to machines outside the mesh`)
    }
    if (!entry.service.crossSite && isForeignRequest(request.method ?? 'GET', request.headers)) {
      const origin = request.headers.origin ?? 'another site'
      emit({
        kind: 'gateway.denied',
        severity: 'warning',
        reason: 'cross-site-refused',
        text: `${origin} asked for "${entry.service.name}"`,
        fields: { service: entry.service.name },
      })
      return problem(
        403,
        'cross-site-refused',
        `${origin} asked for "${entry.service.name}" from your browser`,
      )
    }
    return entry
  }

  const onRequest = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const decision = decide(request)
    if ('status' in decision) return sendProblem(response, decision, acceptsHtml(request))
    await proxy.forward(request, response, decision)
  }
  const onUpgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    socket.on('error', () => socket.destroy()) // the client's own reset
    const decision = decide(request)
    if ('status' in decision) socket.end(problemBytes(decision))
    else await proxy.upgrade(request, socket, head, decision)
  }

  const server = createServer({
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: 0,
    keepAliveTimeout: 5000,
  })
  server.emit('listening') // it never listens itself, and node watches the time of request heads only from this event on
  const failed = (connection: Duplex) => (error: Error) => {
    emit({ kind: 'gateway.failed', severity: 'warning', reason: 'stream-failed', text: error.message })
    connection.destroy()
  }
  server.on('request', (request, response) => void onRequest(request, response).catch(failed(request.socket)))
  server.on('upgrade', (request, socket, head) => void onUpgrade(request, socket, head).catch(failed(socket)))
  return {
    serve: (connection) => void server.emit('connection', connection),
    close() {
      proxy.close()
      server.closeAllConnections()
      server.close()
    },
  }
}

/** A second Host, or a target with a host in it (RFC 9112 §3.2.2), would let the service read another name than we decided on. */
function isAmbiguous(request: IncomingMessage): boolean {
  const hosts = request.headersDistinct['host'] ?? []
  return hosts.length > 1 || !(request.url?.startsWith('/') === true || request.url === '*')
}

/** Clients on this machine have its rights; others on the LAN, with `--gateway ADDR`, have no mesh identity. */
function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(::ffff:)?127\.|^::1$/.test(address)
}

function problem(status: number, code: keyof typeof GATEWAY_REASONS, text: string): GatewayProblem {
  const reasons: ReasonTable = GATEWAY_REASONS
  return { status, code, text, fix: reasons[code]?.fix ?? '' }
}
