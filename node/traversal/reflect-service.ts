import type { Connection, Stream } from '@libp2p/interface'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { id8Of } from '../../protocols/admission/root.ts'
import { lengthPrefixed } from '../../protocols/common/length-prefix.ts'
import type { EmitEvent, Timers } from '../../protocols/common/ports.ts'
import { plainIp } from '../../protocols/traversal/endpoint.ts'
import { REFLECT_MESSAGE_BYTES_MAX } from '../../protocols/traversal/limits.ts'
import { readFrame } from '../membership/join-forward.ts'
import type { MeshNode } from '../transport/mesh-node.ts'
import { REFLECT_ANSWER_MS, REFLECT_STREAMS_MAX } from './limits.ts'
import type { Reflector } from './reflector.ts'

/** What asking and answering of reflectors needs. */
export interface ReflectServiceInit {
  readonly network: Pick<MeshNode, 'handle' | 'unhandle'>
  readonly meshId: Uint8Array
  readonly reflector: Reflector
  /** Opens a stream to a member, dialling it where needed: over a direct connection, for a relayed one tells no address. */
  readonly openStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  /** True for a peer whose credentials were accepted. */
  readonly isMember: (peerId: string) => boolean
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Protocol id: one question, one answer, each behind its length, then the stream ends. */
export function reflectProtocol(meshId: Uint8Array): string {
  return `/kith/${id8Of(meshId)}/reflect/1`
}

/** Carries questions to reflectors, and answers those of others. */
export class ReflectService {
  readonly #init: ReflectServiceInit
  readonly #protocol: string

  constructor(init: ReflectServiceInit) {
    this.#init = init
    this.#protocol = reflectProtocol(init.meshId)
  }

  async start(): Promise<void> {
    await this.#init.network.handle(
      this.#protocol,
      (stream, connection) => void this.#serve(stream, connection),
      {
        runOnLimitedConnection: true,
        maxInboundStreams: REFLECT_STREAMS_MAX,
        maxOutboundStreams: REFLECT_STREAMS_MAX,
      },
    )
  }

  async stop(): Promise<void> {
    await this.#init.network.unhandle(this.#protocol)
    await this.#init.reflector.stop()
  }

  /** Asks a member. @throws Error when it is not reached or does not answer before `signal` aborts. */
  async ask(peerId: string, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const stream = await this.#init.openStream(peerId, this.#protocol, signal)
    try {
      const answer = readFrame(stream, REFLECT_MESSAGE_BYTES_MAX, signal)
      answer.catch(() => undefined) // awaited below; a failing send must not leave it unhandled, which ends the process
      stream.send(lengthPrefixed(request))
      const bytes = await answer
      await stream.close({ signal })
      return bytes
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  async #serve(stream: Stream, connection: Connection): Promise<void> {
    const { isMember, reflector, timers, emit } = this.#init
    const peer = connection.remotePeer.toString()
    const timeout = new AbortController()
    const cancel = timers.after(REFLECT_ANSWER_MS, () =>
      timeout.abort(new Error('the question took too long')),
    )
    try {
      if (!isMember(peer)) throw new Error('only members ask')
      const request = await readFrame(stream, REFLECT_MESSAGE_BYTES_MAX, timeout.signal)
      const from = directAddress(connection)
      stream.send(lengthPrefixed(await reflector.answer(peer, from, request, timeout.signal)))
      await stream.close({ signal: timeout.signal })
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      emit({ kind: 'reflect.refused', severity: 'notice', peer, text: reason.message })
      stream.abort(reason)
    } finally {
      cancel()
    }
  }
}

/** The address a connection comes from; null when a relay carries it. */
export function directAddress({ remoteAddr }: Pick<Connection, 'remoteAddr'>): Uint8Array | null {
  const components = remoteAddr.getComponents()
  if (components.some(({ name }) => name === 'p2p-circuit')) return null
  const [{ name, value } = { name: '', value: undefined }] = components
  const ip = (name === 'ip4' || name === 'ip6') && value !== undefined ? ipBytes(value) : undefined
  return ip === undefined ? null : plainIp(ip)
}
