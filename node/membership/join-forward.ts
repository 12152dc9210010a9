import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { KithError, MalformedError } from '../../protocols/common/errors.ts'
import { FrameReader, lengthPrefixed } from '../../protocols/common/length-prefix.ts'
import type { EmitEvent, Timers } from '../../protocols/common/ports.ts'
import { id8Of } from '../../protocols/admission/root.ts'
import { JOIN_REPLY_BYTES_MAX, JOIN_REQUEST_BYTES_MAX } from '../../protocols/admission/limits.ts'

/** Forwarded requests an issuer works on at the same time, as many as a door carries. */
export const FORWARDED_MAX = 64
/** Of one connection: a door cannot take the issuer for itself. */
export const FORWARDED_PER_CONNECTION_MAX = 32
/** An issuer gives a forwarded request so long, from stream to reply. */
export const FORWARDED_TIMEOUT_MS = 10_000

/** A forwarded request that got no reply. */
export class JoinForwardError extends KithError<'invite-issuer-unreachable'> {}

/** What forwarding needs. */
export interface JoinForwardInit {
  readonly network: Pick<Libp2p, 'handle' | 'unhandle'>
  readonly meshId: Uint8Array
  /** Opens a stream to a member, dialling it where needed. */
  readonly openStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  /** True for a peer whose credentials were accepted. */
  readonly isMember: (peerId: string) => boolean
  /** Redeems here; null on a node that is no admit authority. */
  readonly redeem: ((request: Uint8Array) => Promise<Uint8Array>) | null
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Protocol id: one request, one reply, each behind its length, then the stream ends. */
export function joinForwardProtocol(meshId: Uint8Array): string {
  return `/kith/${id8Of(meshId)}/join-forward/1`
}

/** Carries join requests from doors to issuers over the mesh. */
export class JoinForward {
  readonly #init: JoinForwardInit
  readonly #protocol: string
  #working = 0

  constructor(init: JoinForwardInit) {
    this.#init = init
    this.#protocol = joinForwardProtocol(init.meshId)
  }

  async start(): Promise<void> {
    await this.#init.network.handle(
      this.#protocol,
      (stream, connection) => void this.#serve(stream, connection),
      {
        runOnLimitedConnection: true,
        maxInboundStreams: FORWARDED_PER_CONNECTION_MAX,
        maxOutboundStreams: FORWARDED_PER_CONNECTION_MAX,
      },
    )
  }

  async stop(): Promise<void> {
    await this.#init.network.unhandle(this.#protocol)
  }

  /** The door's side. @throws JoinForwardError when no reply comes before `signal` aborts. */
  async forwardTo(issuerPeerId: string, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    let stream: Stream | null = null
    try {
      stream = await this.#init.openStream(issuerPeerId, this.#protocol, signal)
      const reply = readFrame(stream, JOIN_REPLY_BYTES_MAX, signal)
      reply.catch(() => undefined) // awaited below; a failing send must not leave it unhandled, which ends the process
      stream.send(lengthPrefixed(request))
      const bytes = await reply
      await stream.close({ signal })
      return bytes
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause))
      stream?.abort(error)
      throw new JoinForwardError('invite-issuer-unreachable', `${issuerPeerId}: ${error.message}`, { cause })
    }
  }

  async #serve(stream: Stream, connection: Connection): Promise<void> {
    const { isMember, redeem, timers, emit } = this.#init
    const peer = connection.remotePeer.toString()
    const timeout = new AbortController()
    const cancel = timers.after(FORWARDED_TIMEOUT_MS, () =>
      timeout.abort(new Error('forwarded join took too long')),
    )
    this.#working++
    try {
      if (!isMember(peer)) throw new Error('only members forward joins')
      if (redeem === null) throw new Error('this node is no authority')
      if (this.#working > FORWARDED_MAX) throw new Error('too many joins at once')
      const request = await readFrame(stream, JOIN_REQUEST_BYTES_MAX, timeout.signal)
      stream.send(lengthPrefixed(await redeem(request)))
      await stream.close({ signal: timeout.signal })
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      emit({ kind: 'join.forward-refused', severity: 'warning', peer, text: reason.message })
      stream.abort(reason)
    } finally {
      this.#working--
      cancel()
    }
  }
}

/** The first frame of a stream. Rejects when the stream ends before, or `signal` aborts. */
export function readFrame(stream: Stream, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const reader = new FrameReader(maxBytes)
  return new Promise((resolve, reject) => {
    const ended = () => reject(new MalformedError('stream ended before a whole frame'))
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    stream.addEventListener('close', ended)
    stream.addEventListener('end', ended)
    stream.addEventListener('message', ({ data }) => {
      try {
        const [frame] = reader.push(data.subarray())
        if (frame !== undefined) resolve(frame)
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
    if (signal.aborted) reject(signal.reason as Error)
    if (stream.status === 'reset' || stream.status === 'aborted') ended() // before anybody listened
  })
}
