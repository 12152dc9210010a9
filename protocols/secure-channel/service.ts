import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type {
  ConnectionEncrypter,
  MessageStream,
  PeerId,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { KithError } from '../common/errors.ts'
import type { EmitEvent } from '../common/ports.ts'
import { suiteByName, type CipherSuite, type SuiteName } from '../noise-ik/suite.ts'
import { FirstMessageGuard } from '../replay/machine.ts'
import { ChannelError } from './errors.ts'
import { asKithError, emitFailure } from './failures.ts'
import { answerHandshake, dialHandshake, type Caller, type Established } from './handshake.ts'
import { MUXERS_MAX, PENDING_HANDSHAKES_MAX } from './limits.ts'
import type { Party } from './machine.ts'
import { createParty, type IdentityInit } from './party.ts'
import { SecureStream, type StreamEnd } from './secure-stream.ts'
import type { SessionRegistry } from './sessions.ts'
import { protocolId } from './wire.ts'

/** Verdict of the owner on a peer's credentials. */
export type PeerVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly text: string }

/** A peer whose identity is proved, and what it shows. */
export interface PeerClaim {
  /** Ed25519 key, 32 bytes. */
  readonly key: Uint8Array
  readonly id: string
  readonly credentials: Uint8Array
}

/** What the secure channel of a node needs. */
export interface SecureChannelInit extends IdentityInit {
  readonly emit: EmitEvent
  /** Runs `fn` as a microtask. */
  readonly defer: (fn: () => void) => void
  /** Our certificate chain, at most 4 KiB; asked for at each handshake. */
  readonly credentials: () => Uint8Array
  /** Called on both sides before any application record. */
  readonly checkPeer: (peer: PeerClaim) => PeerVerdict
  readonly sessions: SessionRegistry
  /** Suite offered when dialling; any known one is accepted. `aesgcm` unless the processor lacks AES instructions. */
  readonly suite?: SuiteName
}

/** What libp2p hands to the factory. */
export interface SecureChannelComponents {
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

/**
 * A libp2p connection encrypter: Noise IK to a known peer id, credentials of both sides checked before the first application
 * record, records with exact counters behind it.
 * @example createLibp2p({ connectionEncrypters: [secureChannel(init)], … })
 */
export function secureChannel(
  init: SecureChannelInit,
): (components: SecureChannelComponents) => ConnectionEncrypter {
  return (components) => new SecureChannel(init, components)
}

class SecureChannel implements ConnectionEncrypter {
  readonly protocol: string
  readonly #init: SecureChannelInit
  readonly #components: SecureChannelComponents
  readonly #party: Party
  readonly #suite: CipherSuite
  readonly #guard = new FirstMessageGuard()
  #pending = 0

  constructor(init: SecureChannelInit, components: SecureChannelComponents) {
    this.protocol = protocolId(init.meshId, 'member')
    this.#init = init
    this.#components = components
    this.#party = createParty(init, 'member')
    this.#suite = suiteByName(init.suite ?? 'aesgcm')
  }

  async secureOutbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    const peer = options?.remotePeer
    try {
      const secured = await this.#dial(stream, options)
      this.#init.sessions.clearFailure(secured.remotePeer.toString())
      return secured
    } catch (raw) {
      const error = asKithError(raw)
      emitFailure(this.#init.emit, error, 'outbound', peer?.toString())
      if (peer !== undefined) {
        this.#init.sessions.recordFailure(peer.toString(), {
          code: error.code,
          text: error.message,
          at: this.#init.clock.now(),
          ...(error instanceof ChannelError && error.offsetMs !== undefined
            ? { offsetMs: error.offsetMs }
            : {}),
        })
      }
      throw error
    }
  }

  async secureInbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    let caller: Caller | undefined
    this.#pending++
    try {
      return await this.#answer(stream, options, (known) => (caller = known))
    } catch (raw) {
      const error = asKithError(raw)
      emitFailure(this.#init.emit, error, 'inbound', caller?.id)
      throw error
    } finally {
      this.#pending--
    }
  }

  async #dial(
    stream: MessageStream,
    options: SecureConnectionOptions | undefined,
  ): Promise<SecuredConnection> {
    const responderKey = keyOfPeer(options?.remotePeer)
    this.#needRoom()
    const muxers = this.#muxers(options)
    const offer = [...muxers.keys()].slice(0, MUXERS_MAX)
    const session = await dialHandshake(
      stream,
      this.#party,
      { suite: this.#suite, responderKey, muxers: offer, credentials: this.#init.credentials() },
      options?.signal,
    )
    const remotePeer = peerIdFromPublicKey(publicKeyFromRaw(responderKey))
    this.#check({ key: responderKey, id: remotePeer.toString(), credentials: session.welcome.credentials })
    const connection = this.#open(stream, session, remotePeer, true)
    connection.stream.sendConfirm()
    connection.establish()
    return secured(connection.stream, remotePeer, muxers.get(session.welcome.muxer ?? ''))
  }

  async #answer(
    stream: MessageStream,
    options: SecureConnectionOptions | undefined,
    onCaller: (caller: Caller) => void,
  ): Promise<SecuredConnection> {
    if (this.#pending > PENDING_HANDSHAKES_MAX) {
      throw new ChannelError(
        'too-many-handshakes',
        `More than ${PENDING_HANDSHAKES_MAX} inbound handshakes are under way`,
      )
    }
    this.#needRoom()
    const muxers = this.#muxers(options)
    const session = await answerHandshake(
      stream,
      this.#party,
      {
        guard: this.#guard,
        onCaller,
        admit: ({ key, id, hello }) => {
          this.#check({ key, id, credentials: hello.credentials })
          const muxer = hello.muxers.find((name) => muxers.has(name)) ?? null
          return { muxer, credentials: this.#init.credentials() }
        },
      },
      options?.signal,
    )
    const remotePeer = peerIdFromPublicKey(publicKeyFromRaw(session.caller.key))
    const connection = this.#open(stream, session, remotePeer, false)
    try {
      await connection.stream.confirmed(options?.signal)
    } catch (cause) {
      connection.stream.abort(cause instanceof Error ? cause : new Error(String(cause)))
      if (cause instanceof KithError) throw cause
      throw new ChannelError('confirm-missing', `${remotePeer.toString()} did not confirm the session`, {
        cause,
      })
    }
    connection.establish()
    return secured(connection.stream, remotePeer, muxers.get(session.muxer ?? ''))
  }

  #muxers(options: SecureConnectionOptions | undefined): Map<string, StreamMuxerFactory> {
    return options?.skipStreamMuxerNegotiation === true
      ? new Map()
      : this.#components.upgrader.getStreamMuxers()
  }

  #needRoom(): void {
    if (!this.#init.sessions.hasRoom)
      throw new ChannelError('too-many-sessions', 'The registry of open sessions is full')
  }

  #check(peer: PeerClaim): void {
    const verdict = this.#init.checkPeer(peer)
    if (!verdict.ok) throw new ChannelError(verdict.code, verdict.text)
  }

  /** Puts the record layer around `stream`; `establish` lists the session until it ends and reports both. */
  #open(
    stream: MessageStream,
    session: Established,
    peer: PeerId,
    initiator: boolean,
  ): { readonly stream: SecureStream; readonly establish: () => void } {
    if (stream.status !== 'open')
      throw new ChannelError('handshake-closed', 'The connection closed during the handshake')
    const { clock, defer, sessions, emit } = this.#init
    const peerId = peer.toString()
    let remove: (() => void) | undefined
    let ended: StreamEnd | undefined
    const connection = new SecureStream(stream, {
      writer: session.writer,
      reader: session.reader,
      initiator,
      defer,
      onEnd: (end) => {
        ended = end
        remove?.()
        if (remove !== undefined) this.#ended(peerId, end)
      },
    })
    closeInOrder(stream, connection)
    const establish = (): void => {
      if (ended !== undefined) {
        throw new ChannelError(ended.code === 'closed' ? 'handshake-closed' : ended.code, ended.text)
      }
      const establishedAt = clock.now()
      remove = sessions.add({
        read: () => ({
          peerId,
          suite: session.suite.name,
          epoch: 0,
          establishedAt,
          rotatedAt: null,
          rxBytes: connection.rxBytes,
          txBytes: connection.txBytes,
          initiator,
          rotation: { state: 'active', lastRotAt: null, lastAckAt: null, failures: 0 },
        }),
        rotate: () => false,
      })
      const direction = initiator ? 'outbound' : 'inbound'
      emit({
        kind: 'handshake.done',
        severity: 'info',
        peer: peerId,
        fields: { direction, suite: session.suite.name },
      })
    }
    return { stream: connection, establish }
  }

  #ended(peer: string, end: StreamEnd): void {
    if (end.code === 'closed') return
    const kind = end.code === 'truncated' ? 'session.truncated' : 'session.failed'
    const severity = end.code === 'truncated' ? 'notice' : 'alert'
    this.#init.emit({ kind, severity, peer, reason: end.code, text: end.text })
  }
}

/** The Ed25519 key to dial. @throws ChannelError `peer-id-required`, `peer-id-unsupported`. */
function keyOfPeer(peer: PeerId | undefined): Uint8Array {
  if (peer === undefined)
    throw new ChannelError('peer-id-required', 'Cannot dial an address without a peer id')
  if (peer.type !== 'Ed25519') {
    throw new ChannelError(
      'peer-id-unsupported',
      `Cannot dial ${peer.toString()}: its key is ${peer.type}, not Ed25519`,
    )
  }
  return peer.publicKey.raw
}

/** libp2p closes a connection by closing its muxer and then the raw stream, never ours: the CLOSE record is put before that. */
function closeInOrder(raw: MessageStream, connection: SecureStream): void {
  const close = raw.close.bind(raw)
  raw.close = async (options) => {
    await connection.finish(options)
    await close(options)
  }
}

function secured(
  connection: SecureStream,
  remotePeer: PeerId,
  muxer: StreamMuxerFactory | undefined,
): SecuredConnection {
  return { connection, remotePeer, ...(muxer === undefined ? {} : { streamMuxer: muxer }) }
}
