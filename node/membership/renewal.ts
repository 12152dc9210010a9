import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { id8Of } from '../../protocols/admission/root.ts'
import type { Member } from '../../protocols/admission/certificates.ts'
import { CREDENTIALS_BYTES_MAX } from '../../protocols/admission/limits.ts'
import { lengthPrefixed } from '../../protocols/common/length-prefix.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import { readFrame } from './join-forward.ts'

/** Renewals one member may have under way; it needs one in 15 days. A stream beyond is reset. */
export const RENEWALS_PER_CONNECTION_MAX = 2

/** What the exchange of renewals needs. */
export interface RenewalInit {
  readonly network: Pick<Libp2p, 'handle' | 'unhandle'>
  readonly meshId: Uint8Array
  /** Opens a stream to a member, dialling it where needed. */
  readonly openStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  /** The member behind a connection, as its certificate names it. */
  readonly proved: (peerId: string) => Member | undefined
  /** Fresh credentials for a member admitted here; null on a node that is no authority. @throws AdmissionError */
  readonly issue: ((member: Member) => Uint8Array) | null
  readonly emit: EmitEvent
}

/** Protocol id. The stream is the request: whoever opens it gets its own certificate anew, and nothing else. */
export function renewalProtocol(meshId: Uint8Array): string {
  return `/kith/${id8Of(meshId)}/renew/1`
}

/** Gives and asks for renewed certificates over connections whose two sides have proved who they are. */
export class Renewal {
  readonly #init: RenewalInit
  readonly #protocol: string

  constructor(init: RenewalInit) {
    this.#init = init
    this.#protocol = renewalProtocol(init.meshId)
  }

  async start(): Promise<void> {
    if (this.#init.issue === null) return
    await this.#init.network.handle(
      this.#protocol,
      (stream, connection) => void this.#serve(stream, connection),
      { runOnLimitedConnection: true, maxInboundStreams: RENEWALS_PER_CONNECTION_MAX },
    )
  }

  async stop(): Promise<void> {
    if (this.#init.issue !== null) await this.#init.network.unhandle(this.#protocol)
  }

  /** Fresh credentials of this node from the member that admitted it. @throws Error when it is not reached or refuses. */
  async ask(issuerId: string, signal: AbortSignal): Promise<Uint8Array> {
    const stream = await this.#init.openStream(issuerId, this.#protocol, signal)
    try {
      const credentials = await readFrame(stream, CREDENTIALS_BYTES_MAX, signal)
      await stream.close({ signal })
      return credentials
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  async #serve(stream: Stream, connection: Connection): Promise<void> {
    const { issue, proved, emit } = this.#init
    const peer = connection.remotePeer.toString()
    try {
      const member = proved(peer)
      if (issue === null || member === undefined) throw new Error('no certificate to renew')
      stream.send(lengthPrefixed(issue(member)))
      await stream.close()
      emit({ kind: 'certificate.issued', severity: 'notice', peer, fields: { name: member.name } })
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      emit({ kind: 'certificate.refused', severity: 'warning', peer, text: reason.message })
      stream.abort(reason)
    }
  }
}
