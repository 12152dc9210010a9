import type { WebSocket } from 'ws'
import type { ChangeTopic } from '../api/control.ts'
import { LiveInputSchema } from '../api/schemas.ts'
import { LIVE_BACKLOG_BYTES_MAX, LIVE_EVENTS_MAX } from './limits.ts'
import type { Session, Sessions } from './sessions.ts'

/** Close codes of ours (RFC 6455 §7.4.2 leaves 4000–4999 to applications). */
const CLOSE_SESSION_ENDED = 4001
const CLOSE_POLICY = 1008

/**
 * One tab's end of the live connection: what it still has to be sent, within limits, for as long as its session stands.
 * The session is checked before every send and on every message.
 */
export class LiveSocket {
  readonly #socket: WebSocket
  readonly #session: Session
  readonly #sessions: Sessions
  readonly #snapshot: (topic: ChangeTopic) => string
  readonly #changed = new Set<ChangeTopic>()
  /** What was sent last of the members: they change seldom, and are looked at with every event. */
  #sentMembers = ''
  readonly #events: string[] = []
  #answered = true

  constructor(
    socket: WebSocket,
    session: Session,
    sessions: Sessions,
    snapshot: (topic: ChangeTopic) => string,
  ) {
    this.#socket = socket
    this.#session = session
    this.#sessions = sessions
    this.#snapshot = snapshot
    const onEnd = (): void => socket.close(CLOSE_SESSION_ENDED, 'session ended')
    session.signal.addEventListener('abort', onEnd, { once: true })
    socket.on('close', () => session.signal.removeEventListener('abort', onEnd))
    socket.on('pong', () => (this.#answered = true))
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary))
  }

  markChanged(topic: ChangeTopic): void {
    this.#changed.add(topic)
    this.#flush()
  }

  pushEvent(text: string): void {
    this.#events.push(text)
    if (this.#events.length > LIVE_EVENTS_MAX) this.#events.shift()
    this.#flush()
  }

  /** A tab that did not answer the last ping is gone. */
  beat(): void {
    if (!this.#answered) {
      this.terminate()
      return
    }
    this.#answered = false
    if (!this.#stands()) return
    this.#socket.ping()
    this.markChanged('status')
    this.markChanged('members')
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #receive(data: unknown, isBinary: boolean): void {
    if (!this.#stands()) return
    const message = isBinary ? undefined : parseJson((data as Buffer).toString('utf8'))
    if (LiveInputSchema.safeParse(message).success) this.#sessions.touch(this.#session)
    else this.#socket.close(CLOSE_POLICY, 'unexpected message')
  }

  #flush(): void {
    while (this.#changed.size + this.#events.length > 0) {
      if (
        this.#socket.readyState !== this.#socket.OPEN ||
        this.#socket.bufferedAmount > LIVE_BACKLOG_BYTES_MAX
      )
        return
      if (!this.#stands()) return
      const [topic] = this.#changed
      if (topic !== undefined) this.#changed.delete(topic)
      const text = topic === undefined ? this.#events.shift() : this.#news(topic)
      // The callback runs once the bytes left the process, which is when there is room again.
      if (text !== undefined) this.#socket.send(text, () => this.#flush())
    }
  }

  /** The snapshot of a topic; undefined for members the tab has already. */
  #news(topic: ChangeTopic): string | undefined {
    const text = this.#snapshot(topic)
    if (topic !== 'members') return text
    if (text === this.#sentMembers) return undefined
    return (this.#sentMembers = text)
  }

  /** Checking a session that is over ends it, and its signal closes this socket. */
  #stands(): boolean {
    return this.#sessions.check(this.#session)
  }
}

/** Undefined for what is not JSON; the schema refuses that like any other message. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
