import { STATUS_CODES } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import type { ReasonTable } from '../../protocols/common/errors.ts'
import type { ChangeTopic, Control } from '../api/control.ts'
import { LiveMessageSchema } from '../api/schemas.ts'
import type { LiveMessage } from '../api/schemas.ts'
import type { Denials } from './denials.ts'
import { HttpError } from './errors.ts'
import { failureOf } from './failure.ts'
import { guardUpgrade } from './guard.ts'
import type { Site } from './guard.ts'
import { LIVE_MESSAGE_SIZE_BYTES_MAX, LIVE_PING_INTERVAL_MS, LIVE_SOCKETS_MAX } from './limits.ts'
import { LiveSocket } from './live-socket.ts'
import { principalOf } from './principal.ts'
import type { Session, Sessions } from './sessions.ts'

/** Path of the socket. */
const LIVE_PATH = '/api/v1/live'
const TOPICS: readonly ChangeTopic[] = ['status', 'peers', 'services', 'members']

/** What the live sockets need. */
export interface LiveParts {
  readonly control: Control
  readonly sessions: Sessions
  readonly denials: Denials
  readonly reasons: ReasonTable
  readonly site: () => Site
  readonly logError: (error: unknown) => void
}

/**
 * The dashboard's WebSockets: whole snapshots by topic, and each new event. A slow tab costs one megabyte at most: a
 * snapshot it cannot take yet is remembered as a topic, not as bytes, and the newest is sent when it has drained.
 */
export class Live {
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: LIVE_MESSAGE_SIZE_BYTES_MAX,
    perMessageDeflate: false,
    clientTracking: false,
  })
  readonly #sockets = new Set<LiveSocket>()
  readonly #snapshots = new Map<ChangeTopic, string>()
  readonly #parts: LiveParts

  constructor(parts: LiveParts, closing: AbortSignal) {
    this.#parts = parts
    parts.control.onChange((topic) => {
      this.#snapshots.delete(topic)
      for (const socket of this.#sockets) socket.markChanged(topic)
    }, closing)
    parts.control.onEvent((data) => {
      if (this.#sockets.size === 0) return
      const text = encode({ topic: 'event', data })
      for (const socket of this.#sockets) socket.pushEvent(text)
    }, closing)
    const timer = setInterval(() => this.#beat(), LIVE_PING_INTERVAL_MS)
    timer.unref()
    closing.addEventListener('abort', () => {
      clearInterval(timer)
      for (const socket of this.#sockets) socket.terminate()
    })
  }

  /** Number of open sockets. */
  get size(): number {
    return this.#sockets.size
  }

  /** The server's `upgrade` event: Host, Origin and session are checked before a byte of WebSocket is spoken. */
  readonly upgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    try {
      const session = this.#admit(request)
      this.#server.handleUpgrade(request, stream, head, (socket) => this.#open(socket, session))
    } catch (error) {
      stream.on('error', ignoreReset)
      this.#refuse(stream, request, error)
    }
  }

  #admit(request: IncomingMessage): Session {
    guardUpgrade(request, this.#parts.site())
    if (request.url !== LIVE_PATH) throw new HttpError('not-found')
    const session = principalOf(request, this.#parts.sessions)?.session
    if (!session) throw new HttpError('auth-required')
    if (this.#sockets.size >= LIVE_SOCKETS_MAX) throw new HttpError('live-full')
    return session
  }

  #refuse(stream: Duplex, request: IncomingMessage, error: unknown): void {
    const { status, body } = failureOf(error, this.#parts.reasons)
    if (status === 500) this.#parts.logError(error)
    this.#parts.denials.record(body.error.code, request)
    const text = JSON.stringify(body)
    stream.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    )
  }

  #open(socket: WebSocket, session: Session): void {
    // Between changes numbers such as the uptime move on; a new tab starts with fresh ones.
    this.#snapshots.clear()
    const live = new LiveSocket(socket, session, this.#parts.sessions, (topic) => this.#snapshot(topic))
    this.#sockets.add(live)
    socket.on('close', () => this.#sockets.delete(live))
    // A frame too long or malformed closes the socket; there is nobody to tell.
    socket.on('error', () => socket.terminate())
    for (const topic of TOPICS) live.markChanged(topic)
  }

  /** Encoded once a change, however many tabs are open. */
  #snapshot(topic: ChangeTopic): string {
    let text = this.#snapshots.get(topic)
    if (text === undefined) {
      const { control } = this.#parts
      if (topic === 'status') text = encode({ topic, data: control.status() })
      else if (topic === 'peers') text = encode({ topic, data: control.peers() })
      else if (topic === 'services') text = encode({ topic, data: control.services() })
      else text = encode({ topic, data: control.members() })
      this.#snapshots.set(topic, text)
    }
    return text
  }

  #beat(): void {
    // Uptime and memory move without a change, and whoever waits for approval too long is gone without a word; once a beat
    // is often enough for them.
    this.#snapshots.delete('status')
    this.#snapshots.delete('members')
    for (const socket of this.#sockets) socket.beat()
  }
}

function encode(message: LiveMessage): string {
  return JSON.stringify(LiveMessageSchema.parse(message))
}

/** A refused client may reset the connection before it has read why. */
function ignoreReset(): void {
  // Nothing is left to do: the stream destroys itself.
}
