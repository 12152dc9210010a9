import {
  Agent,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
} from 'node:http'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { KithError } from '../../../protocols/common/errors.ts'
import type { EmitEvent } from '../../../protocols/common/ports.ts'
import type { ServiceEntry } from '../../../protocols/naming/directory.ts'
import { TUNNEL_REASONS, type TunnelReason } from '../../../protocols/tunnel/errors.ts'
import type { Reach } from '../reach.ts'
import { problemBytes, sendProblem, type GatewayProblem } from './error-page.ts'
import { resumable, sendBody } from './resume.ts'

/** Idle connections kept to each service, and for how long: a page load's worth, shorter than common server time-outs. */
const IDLE_CONNECTIONS_PER_SERVICE = 8
const IDLE_CONNECTION_MS = 4000
/** RFC 9110 §7.6.1: headers that belong to one connection. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-kith-trace',
])

/**
 * Headers that frame or route a message. A client may not have them cut off by naming them in Connection: a body without its
 * length becomes the next request of the tunnel, which others use after it.
 */
const NEVER_NAMED = new Set(['content-length', 'host'])

/** A request that carries it gets it back with what happened on the way; the service never sees it. */
const TRACE_HEADER = 'x-kith-trace'

/** Passes HTTP requests on to services over tunnels. */
export interface HttpProxy {
  forward(request: IncomingMessage, response: ServerResponse, entry: ServiceEntry): Promise<void>
  /** WebSocket and other upgrades (RFC 9110 §7.8): the whole connection is joined to the service's. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, entry: ServiceEntry): Promise<void>
  close(): void
}

/** An http.Agent whose connections are tunnels; its pool is keyed by provider and service. */
class TunnelAgent extends Agent {
  readonly #connect: (entry: ServiceEntry) => Promise<Duplex>

  constructor(connect: (entry: ServiceEntry) => Promise<Duplex>) {
    super({ keepAlive: true, maxFreeSockets: IDLE_CONNECTIONS_PER_SERVICE })
    this.#connect = connect
  }

  override createConnection(
    options: { host?: string | null; entry?: ServiceEntry },
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    if (options.entry === undefined) throw new Error('a tunnel without its service')
    this.#connect(options.entry).then(
      (stream) => {
        // As a socket that node:http makes itself: when the target ends an idle connection, it closes and is not used again.
        stream.allowHalfOpen = false
        // Node's agent takes it for a socket.
        Object.assign(stream, { ref: () => stream, unref: () => stream })
        callback?.(null, stream)
      },
      (error: Error) => callback?.(error, undefined as never),
    )
  }

  /** Called by node when a connection becomes idle. Tunnels have no socket time-out of their own, so one is set here. */
  override keepSocketAlive(stream: Duplex): boolean {
    const timer = setTimeout(() => stream.destroy(), IDLE_CONNECTION_MS)
    timer.unref()
    idleTimers.set(stream, timer)
    return true
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    clearTimeout(idleTimers.get(stream))
    super.reuseSocket(stream, request)
  }
}
/** How a connection that ended while it was idle shows at the next request. */
const GONE: ReadonlySet<string> = new Set(['ECONNRESET', 'channel-reset', 'mux-closed'])
const idleTimers = new WeakMap<Duplex, NodeJS.Timeout>()

/** @param reach opens what the gateway decided upon. @param emit told of downloads that went on after their way had broken. */
export function createHttpProxy(reach: Reach, emit: EmitEvent): HttpProxy {
  const agent = new TunnelAgent((entry) => reach.openStream(entry))

  const send = (
    request: IncomingMessage,
    entry: ServiceEntry,
    more: readonly [name: string, value: string][] = [],
  ): ClientRequest => {
    const options: RequestOptions & { entry: ServiceEntry } = {
      agent,
      // Names the pool, by key and not by a name that two members may have. The Host header is passed on as the client sent it.
      host: `${entry.service.name}.${entry.provider.id}`,
      entry,
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      setHost: false,
      headers: [...requestHeaders(request), ...more.flat()],
    }
    return httpRequest(options)
  }

  const forward = async (
    request: IncomingMessage,
    response: ServerResponse,
    entry: ServiceEntry,
    isRetry: boolean,
  ): Promise<void> => {
    const { promise: answered, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const startedAt = performance.now()
    const outgoing = send(request, entry)
    let connectedAt = startedAt
    outgoing.once('socket', () => (connectedAt = performance.now()))
    outgoing.once('response', resolve)
    outgoing.on('error', reject) // not once: a second failure without a listener would end the process
    response.once('close', () => outgoing.destroy()) // the client left: so do we
    const uploaded = pipeline(request, outgoing)
    uploaded.catch(reject)
    let incoming: IncomingMessage
    try {
      incoming = await answered
    } catch (error) {
      const isStale = outgoing.reusedSocket && GONE.has((error as NodeJS.ErrnoException).code ?? '')
      if (isStale && !isRetry && hasNoBody(request)) return forward(request, response, entry, true)
      if (!response.headersSent && !response.destroyed)
        sendProblem(response, problemOf(error), acceptsHtml(request))
      return
    }
    const traceHeader = (): string[] => {
      if (request.headers[TRACE_HEADER] === undefined) return []
      const ms = (from: number, to: number): string => (to - from).toFixed(1)
      const reused = outgoing.reusedSocket ? 'reused' : 'new'
      return [
        TRACE_HEADER,
        `provider=${entry.provider.name} stream=${reused} open=${ms(startedAt, connectedAt)}ms head=${ms(connectedAt, performance.now())}ms`,
      ]
    }
    response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, [
      ...passedOn(incoming.rawHeaders, incoming.headers.connection),
      ...traceHeader(),
    ])
    response.flushHeaders() // Server-sent events: the client must see the head before the first event.
    const rest = resumable(request, incoming)
    if (rest !== null) {
      const again = (more: readonly [name: string, value: string][]): Promise<IncomingMessage> =>
        answerTo(send(request, entry, more), response)
      await sendBody(incoming, response, rest, again, (fromByte) =>
        emit({
          kind: 'download.resumed',
          severity: 'info',
          peer: entry.provider.id,
          fields: { service: entry.service.name, fromByte },
        }),
      ).catch(() => response.destroy())
      return
    }
    await pipeline(incoming, response).catch(() => response.destroy()) // either side broke off: the client sees a cut body, as it should
  }

  return {
    forward: (request, response, entry) => forward(request, response, entry, false),
    async upgrade(request, socket, head, entry) {
      let tunnel: Duplex
      try {
        tunnel = await reach.openStream(entry)
      } catch (error) {
        socket.end(problemBytes(problemOf(error)))
        return
      }
      tunnel.write(requestHead(request), 'latin1') // the parser's own encoding of header bytes
      if (head.length > 0) tunnel.write(head)
      // A refusal comes as the failure of the tunnel, before any byte of the service.
      let isAnswered = false
      tunnel.once('data', () => (isAnswered = true))
      tunnel.once('error', (error) => {
        if (!isAnswered && !socket.destroyed) socket.end(problemBytes(problemOf(error)))
      })
      await Promise.all([pipeline(socket, tunnel), pipeline(tunnel, socket)]).catch((error: Error) => {
        if (isAnswered) socket.destroy()
        tunnel.destroy(error)
      })
    },
    close: () => agent.destroy(),
  }
}

/** Sends a request without a body and waits for its answer; given up when the client leaves. */
function answerTo(outgoing: ClientRequest, response: ServerResponse): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const left = (): void => void outgoing.destroy()
    response.once('close', left)
    outgoing.once('response', (incoming) => {
      response.off('close', left)
      resolve(incoming)
    })
    outgoing.on('error', (error) => {
      response.off('close', left)
      reject(error)
    })
    outgoing.end()
  })
}

/** The gateway's answer to a failure on the way. */
export function problemOf(error: unknown): GatewayProblem {
  const code =
    error instanceof KithError && Object.hasOwn(TUNNEL_REASONS, error.code)
      ? (error.code as TunnelReason)
      : 'stream-failed'
  const status =
    code === 'not-allowed' ? 403 : code === 'service-unknown' ? 404 : code === 'target-timeout' ? 504 : 502
  return { status, code, text: (error as Error).message, fix: TUNNEL_REASONS[code].fix }
}

/** Whether the client would rather see a page than JSON. */
export function acceptsHtml(request: IncomingMessage): boolean {
  return request.headers.accept?.includes('text/html') ?? false
}

/** A body of unknown length must stay framed for methods that usually have none. */
function requestHeaders(request: IncomingMessage): string[] {
  const headers = passedOn(request.rawHeaders, request.headers.connection)
  return request.headers['transfer-encoding'] === undefined
    ? headers
    : [...headers, 'Transfer-Encoding', 'chunked']
}

/** Headers without those of the connection, order, case and repetitions kept. */
function passedOn(rawHeaders: readonly string[], connection: string | undefined): string[] {
  const named = new Set((connection ?? '').toLowerCase().split(/\s*,\s*/))
  const out: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i], rawHeaders[i + 1]]
    const key = name.toLowerCase()
    if (!HOP_BY_HOP.has(key) && (!named.has(key) || NEVER_NAMED.has(key))) out.push(name, value)
  }
  return out
}

function hasNoBody(request: IncomingMessage): boolean {
  return request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined
}

function requestHead(request: IncomingMessage): string {
  const lines = [`${request.method} ${request.url} HTTP/1.1`]
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2)
    lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}
