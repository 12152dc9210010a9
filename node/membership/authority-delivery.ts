import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { verifyAuthority } from '../../protocols/admission/certificates.ts'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import { AUTHORITY_CERTIFICATE_BYTES_MAX, CLOCK_TOLERANCE_MS } from '../../protocols/admission/limits.ts'
import { id8Of, type Root } from '../../protocols/admission/root.ts'
import { equalBytes } from '../../protocols/common/bytes.ts'
import { KithError } from '../../protocols/common/errors.ts'
import { lengthPrefixed } from '../../protocols/common/length-prefix.ts'
import type { Clock, EmitEvent, Store, Timers } from '../../protocols/common/ports.ts'
import { readFrame } from './join-forward.ts'
import { readAuthority } from './authorities.ts'

const OUT_PREFIX = 'authority/out/'
/** What this node brought on its way: until such an authority admits somebody, nobody else shows its certificate. */
const KNOWN_PREFIX = 'authority/known/'
/** One try to reach a new authority. */
const DELIVERY_TIMEOUT_MS = 10_000
/** Between two tries for one that is away. */
const RETRY_INTERVAL_MS = 30_000
/** The receiver's word that the certificate is on its disk. */
const KEPT = Uint8Array.of(1)

/** What bringing authority certificates to their nodes needs. */
export interface AuthorityDeliveryInit {
  readonly network: Pick<Libp2p, 'handle' | 'unhandle'>
  readonly root: Root
  /** This node's key, 32 bytes. */
  readonly selfKey: Uint8Array
  readonly openStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  readonly isMember: (peerId: string) => boolean
  /** True for an authority that the root key cut. */
  readonly isCut: (key: Uint8Array) => boolean
  /** When this node's present authority certificate ends, ms; 0 without one. */
  readonly heldUntil: () => number
  /** Puts a certificate for this node on the disk. */
  readonly keep: (certificate: Uint8Array) => Promise<void>
  /** Told when a kept certificate is to be taken up. */
  readonly received: () => void
  readonly store: Store
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
}

/**
 * Brings authority certificates to the nodes they are for. The root key's signature is the proof, so any member may carry one;
 * a certificate waits on the disk until its node has it.
 */
export class AuthorityDelivery {
  readonly #init: AuthorityDeliveryInit
  readonly #protocol: string
  readonly #known = new Map<string, Uint8Array>()
  readonly #stopped = new AbortController()
  #delivering: Promise<void> | undefined
  #stopTimer: (() => void) | undefined

  constructor(init: AuthorityDeliveryInit) {
    this.#init = init
    this.#protocol = `/kith/${id8Of(init.root.meshId)}/authority/1`
  }

  async start(): Promise<void> {
    for await (const [key, certificate] of this.#init.store.entries(KNOWN_PREFIX))
      this.#known.set(key, certificate)
    await this.#init.network.handle(
      this.#protocol,
      (stream, connection) => void this.#receive(stream, connection),
      { runOnLimitedConnection: true, maxInboundStreams: 1 },
    )
    this.#stopTimer = this.#init.timers.every(RETRY_INTERVAL_MS, () => {
      this.#delivering ??= this.#deliverAll().finally(() => (this.#delivering = undefined))
    })
  }

  async stop(): Promise<void> {
    this.#stopTimer?.()
    this.#stopped.abort()
    await this.#delivering // it still uses the store
    await this.#init.network.unhandle(this.#protocol)
  }

  /** Keeps a certificate until its node has it, and tries at once. True when the node has it already. */
  async send(certificate: Uint8Array): Promise<boolean> {
    const { id, key } = readAuthority(certificate)
    if (equalBytes(key, this.#init.selfKey)) {
      await this.#init.keep(certificate)
      this.#init.received()
      return true
    }
    const { store } = this.#init
    await store.put(KNOWN_PREFIX + id, certificate)
    this.#known.set(KNOWN_PREFIX + id, certificate)
    await store.put(OUT_PREFIX + id, certificate, { sync: true })
    return this.#deliver(id, certificate)
  }

  /** Certificates this node brought on their way, the newest of each authority. */
  known(): Uint8Array[] {
    return [...this.#known.values()]
  }

  async #deliverAll(): Promise<void> {
    try {
      for await (const [key, certificate] of this.#init.store.entries(OUT_PREFIX)) {
        if (this.#stopped.signal.aborted) return
        await this.#deliver(key.slice(OUT_PREFIX.length), certificate)
      }
    } catch (error) {
      // Nobody waits for a retry: a disk that fails is told, and tried again with the next one.
      const { message } = error as Error
      this.#init.emit({ kind: 'authority.undelivered', severity: 'warning', text: message })
    }
  }

  async #deliver(id: string, certificate: Uint8Array): Promise<boolean> {
    const { store, emit, openStream, isCut, clock } = this.#init
    const { key, notAfter, roles } = readAuthority(certificate)
    if (isCut(key) || notAfter <= clock.now()) {
      await store.delete(OUT_PREFIX + id)
      return false
    }
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(DELIVERY_TIMEOUT_MS)])
    let stream: Stream | undefined
    try {
      stream = await openStream(id, this.#protocol, signal)
      const answer = readFrame(stream, KEPT.length, signal)
      answer.catch(() => undefined) // awaited below
      stream.send(lengthPrefixed(certificate))
      await answer
      await stream.close({ signal })
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      stream?.abort(reason)
      emit({ kind: 'authority.undelivered', severity: 'info', peer: id, text: reason.message })
      return false
    }
    await store.delete(OUT_PREFIX + id)
    emit({
      kind: 'authority.delivered',
      severity: 'notice',
      peer: id,
      fields: { roles: roles.join(' '), expires: notAfter },
    })
    return true
  }

  async #receive(stream: Stream, connection: Connection): Promise<void> {
    const { isMember, root, selfKey, isCut, keep, received, emit, clock } = this.#init
    const peer = connection.remotePeer.toString()
    const signal = AbortSignal.timeout(DELIVERY_TIMEOUT_MS)
    try {
      if (!isMember(peer)) throw new Error('only members bring certificates')
      const certificate = await readFrame(stream, AUTHORITY_CERTIFICATE_BYTES_MAX, signal)
      const authority = verifyAuthority(root, certificate)
      if (authority === null)
        throw new AdmissionError('certificate-authority-unknown', 'no root key signed the certificate')
      if (!equalBytes(authority.subject, selfKey))
        throw new AdmissionError('certificate-wrong-key', 'the certificate is for another node')
      if (isCut(selfKey)) throw new AdmissionError('authority-retired', 'this authority was cut')
      const now = clock.now()
      if (authority.notBefore > now + CLOCK_TOLERANCE_MS)
        throw new AdmissionError(
          'certificate-not-yet-valid',
          `valid from ${authority.notBefore}, it is ${now}`,
        )
      if (authority.notAfter <= now)
        throw new AdmissionError('certificate-expired', `ended at ${authority.notAfter}, it is ${now}`)
      const isNews = authority.notAfter > this.#init.heldUntil() // an old one may be replayed
      if (isNews) await keep(certificate)
      stream.send(lengthPrefixed(KEPT))
      await stream.close({ signal })
      if (!isNews) return
      const fields = { roles: authority.roles.join(' '), expires: authority.notAfter }
      emit({ kind: 'authority.received', severity: 'notice', peer, fields })
      received()
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      const code = reason instanceof KithError ? { reason: reason.code } : {}
      emit({ kind: 'authority.refused', severity: 'warning', peer, text: reason.message, ...code })
      stream.abort(reason)
    }
  }
}
