import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { MessageStream, PeerId, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { KithError } from '../common/errors.ts'
import type { Clock, EmitEvent, Timers } from '../common/ports.ts'
import type { ConnectionPlace, MuxRegistry } from '../mux/registry.ts'
import { ChannelMuxer, MUX_PROTOCOL } from '../mux/service.ts'
import { suiteByName, type CipherSuite, type SuiteName } from '../noise-ik/suite.ts'
import { FirstMessageGuard } from '../replay/machine.ts'
import { rotationCrypto } from '../rotation/crypto.ts'
import { RotationDriver } from '../rotation/driver.ts'
import { RotationError } from '../rotation/errors.ts'
import type { RotationLimits } from '../rotation/limits.ts'
import type { ByteTransport } from './byte-transport.ts'
import { ChannelError } from './errors.ts'
import { asKithError, emitFailure } from './failures.ts'
import { answerHandshake, dialHandshake, type Established } from './handshake.ts'
import { SecureLink, type LinkEnd } from './link.ts'
import { MUXERS_MAX } from './limits.ts'
import type { Party } from './machine.ts'
import { createParty, type IdentityInit } from './party.ts'
import { SecureStream } from './secure-stream.ts'
import type { SessionRegistry } from './sessions.ts'

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
  /** Runs `fn` once the event loop has handed out what has come (`setImmediate`): what is sent until then shares a record. */
  readonly defer: (fn: () => void) => void
  /** The same some turns later, for what nobody waits for. */
  readonly deferLate: (fn: () => void) => void
  /** Our certificate chain, at most 4 KiB; asked for at each handshake. */
  readonly credentials: () => Uint8Array
  /** Called on both sides before any application record. */
  readonly checkPeer: (peer: PeerClaim) => PeerVerdict
  readonly sessions: SessionRegistry
  /** Our own multiplexer is offered first when this is there. */
  readonly muxes?: MuxRegistry
  readonly timers: Pick<Timers, 'after'>
  /** Memory of first messages that survives restarts; one that does not unless given. */
  readonly guard?: FirstMessageGuard
  /** Ms since the epoch that no correction sets back: ages of keys and windows. `clock` unless given. */
  readonly steadyClock?: Clock
  /** When keys rotate; the defaults of `../rotation` unless given. */
  readonly rotation?: RotationLimits
  /** Suite offered when dialling; any known one is accepted. `aesgcm` unless the processor lacks AES instructions. */
  readonly suite?: SuiteName
}

/** A raw connection to be secured. */
export interface RawConnection {
  readonly stream: MessageStream
  /** Takes the raw connection over once the handshake is done. */
  readonly transport: () => ByteTransport
  /** How it leads to the other side; direct unless given. */
  readonly place?: Omit<ConnectionPlace, 'dialled'>
  /** Where the other side is, for events of inbound failures. */
  readonly from?: string
  readonly signal?: AbortSignal | undefined
  /** Why what carries the handshake failed, if it did; then the handshake itself has nothing to tell. */
  readonly carrierFailure?: () => KithError | undefined
  /** Muxers of libp2p that may be used as well. */
  readonly muxers: ReadonlyMap<string, StreamMuxerFactory>
  /** Whether libp2p serves a protocol. */
  readonly isServed: (protocol: string) => boolean
}

/** A secured connection. */
export interface Secured {
  readonly remotePeer: PeerId
  /** Makes the muxer both sides chose; undefined when they chose none. The stream it is given is not used. */
  readonly muxer: StreamMuxerFactory | undefined
  /** The plaintext as a stream; of use only where no muxer was chosen. */
  readonly stream: SecureStream
}

/** A link whose session is not listed yet. */
interface Opened {
  readonly link: SecureLink
  readonly stream: SecureStream
  readonly establish: () => void
}

/** Turns raw connections into secured ones, on both sides, and tells what happens to them. */
export class ChannelUpgrade {
  readonly #init: SecureChannelInit
  readonly #party: Party
  readonly #suite: CipherSuite
  readonly #guard: FirstMessageGuard

  constructor(init: SecureChannelInit) {
    this.#init = init
    this.#party = createParty(init, 'member')
    this.#suite = suiteByName(init.suite ?? 'aesgcm')
    this.#guard = init.guard ?? new FirstMessageGuard()
  }

  /** Dials `peer`. @throws KithError, after it was remembered as the peer's last failure, and told where it is the handshake's. */
  async dial(raw: RawConnection, peer: PeerId | undefined): Promise<Secured> {
    try {
      const secured = await this.#dial(raw, peer)
      this.#init.sessions.clearFailure(secured.remotePeer.toString())
      return secured
    } catch (caught) {
      const carrierFailure = raw.carrierFailure?.()
      const error = carrierFailure ?? asKithError(caught)
      if (carrierFailure === undefined)
        emitFailure(this.#init.emit, error, { direction: 'outbound', peer: peer?.toString() })
      if (peer !== undefined) {
        const offsetMs = error instanceof ChannelError ? error.offsetMs : undefined
        this.#init.sessions.recordFailure(peer.toString(), {
          code: error.code,
          text: error.message,
          at: this.#init.clock.now(),
          ...(offsetMs === undefined ? {} : { offsetMs }),
        })
      }
      throw error
    }
  }

  /** Answers whoever sends the first message, which `read` waits for. @throws KithError, after it was told as an event. */
  async answer(raw: RawConnection, read: () => Promise<Uint8Array>): Promise<Secured> {
    const seen: { peer?: string } = {}
    try {
      return await this.#answer(raw, read, seen)
    } catch (caught) {
      const error = asKithError(caught)
      emitFailure(this.#init.emit, error, { direction: 'inbound', peer: seen.peer, from: raw.from })
      throw error
    }
  }

  async #dial(raw: RawConnection, peer: PeerId | undefined): Promise<Secured> {
    const responderKey = keyOfPeer(peer)
    this.#needRoom()
    const { clock } = this.#init
    const sentAt = clock.now()
    const session = await dialHandshake(
      raw.stream,
      this.#party,
      {
        suite: this.#suite,
        responderKey,
        muxers: this.#offer(raw).slice(0, MUXERS_MAX),
        credentials: this.#init.credentials(),
      },
      raw.signal,
    )
    const remotePeer = peerIdFromPublicKey(publicKeyFromRaw(responderKey))
    this.#check({ key: responderKey, id: remotePeer.toString(), credentials: session.welcome.credentials })
    const open = this.#open(raw, session, remotePeer, true)
    open.link.sendConfirm()
    open.establish()
    return this.#secured(raw, open, remotePeer, session.welcome.muxer, clock.now() - sentAt, true)
  }

  async #answer(
    raw: RawConnection,
    read: () => Promise<Uint8Array>,
    seen: { peer?: string },
  ): Promise<Secured> {
    this.#needRoom()
    const offer = this.#offer(raw)
    const { clock } = this.#init
    const session = await answerHandshake(
      raw.stream,
      this.#party,
      await read(),
      {
        guard: this.#guard,
        onCaller: ({ id }) => (seen.peer = id),
        admit: ({ key, id, hello }) => {
          this.#check({ key, id, credentials: hello.credentials })
          if (!this.#init.sessions.hasRoomFor(id))
            throw new ChannelError('too-many-sessions-of-peer', `${id} has too many sessions with this node`)
          const muxer = hello.muxers.find((name) => offer.includes(name)) ?? null
          return { muxer, credentials: this.#init.credentials() }
        },
      },
      raw.signal,
    )
    const answeredAt = clock.now()
    const remotePeer = peerIdFromPublicKey(publicKeyFromRaw(session.caller.key))
    const open = this.#open(raw, session, remotePeer, false)
    try {
      await open.link.confirmed(raw.signal)
    } catch (cause) {
      open.link.abort(cause as Error)
      if (cause instanceof KithError) throw cause
      throw new ChannelError('confirm-missing', `${remotePeer.toString()} did not confirm the session`, {
        cause,
      })
    }
    open.establish()
    return this.#secured(raw, open, remotePeer, session.muxer, clock.now() - answeredAt, false)
  }

  #offer(raw: RawConnection): string[] {
    const ours = this.#init.muxes === undefined ? [] : [MUX_PROTOCOL]
    return [...ours, ...raw.muxers.keys()]
  }

  #needRoom(): void {
    if (!this.#init.sessions.hasRoom)
      throw new ChannelError('too-many-sessions', 'The registry of open sessions is full')
  }

  #check(peer: PeerClaim): void {
    const verdict = this.#init.checkPeer(peer)
    if (!verdict.ok) throw new ChannelError(verdict.code, verdict.text)
  }

  /** Puts the record layer around the connection; `establish` lists the session until it ends and reports both. */
  #open(raw: RawConnection, session: Established, peer: PeerId, initiator: boolean): Opened {
    if (raw.stream.status !== 'open')
      throw new ChannelError('handshake-closed', 'The connection closed during the handshake')
    const { clock, steadyClock = clock, defer, deferLate, sessions, emit } = this.#init
    const peerId = peer.toString()
    let remove: (() => void) | undefined
    let ended: LinkEnd | undefined
    const link = new SecureLink(raw.transport(), {
      writer: session.writer,
      reader: session.reader,
      initiator,
      defer,
      deferLate,
      onEnd: (end) => {
        ended = end
        remove?.()
        if (remove !== undefined) this.#ended(peerId, end)
      },
    })
    const rotation = this.#rotation(session, link, peerId, initiator)
    link.attach(rotation)
    const stream = new SecureStream(raw.stream, link)
    closeInOrder(raw.stream, link, stream)
    const establish = (): void => {
      if (ended !== undefined) {
        throw new ChannelError(ended.code === 'closed' ? 'handshake-closed' : ended.code, ended.text)
      }
      const establishedAt = clock.now()
      remove = sessions.add({
        read: () => {
          const { epoch, rotatedAt, lastRotAt, lastAckAt, state, failures } = rotation.view
          // The steady clock stands still while a machine sleeps; shown are times of the wall clock.
          const shiftMs = clock.now() - steadyClock.now()
          const shown = (at: number | null): number | null => (at === null ? null : Math.round(at + shiftMs))
          return {
            peerId,
            suite: session.suite.name,
            epoch,
            establishedAt,
            rotatedAt: shown(rotatedAt),
            rxBytes: link.rxBytes,
            txBytes: link.txBytes,
            initiator,
            // A closed session is listed until its connection is gone.
            rotation: {
              state: state === 'closed' ? 'active' : state,
              lastRotAt: shown(lastRotAt),
              lastAckAt: shown(lastAckAt),
              failures,
            },
          }
        },
        rotate: () => rotation.rotate(),
      })
      const direction = initiator ? 'outbound' : 'inbound'
      emit({
        kind: 'handshake.done',
        severity: 'info',
        peer: peerId,
        fields: { direction, suite: session.suite.name },
      })
    }
    return { link, stream, establish }
  }

  /** Lets the keys of a link rotate. */
  #rotation(session: Established, link: SecureLink, peer: string, dialler: boolean): RotationDriver {
    const { clock, steadyClock = clock, timers, random, emit, rotation } = this.#init
    const { writer, reader, suite, keys } = session
    return new RotationDriver({
      writer,
      reader,
      cipher: (key) => suite.cipher(key),
      crypto: rotationCrypto({
        suite,
        s: this.#party.s,
        rs: keys.remoteStatic,
        handshakeHash: keys.handshakeHash,
        random,
      }),
      dialler,
      root: keys.root,
      ...(rotation === undefined ? {} : { limits: rotation }),
      link: {
        get isWritable() {
          return link.isWritable
        },
        flush: () => link.flush(),
        send: (type, payload) => link.sendRecord(type, payload),
        fail: (code, text) => link.fail(code, new RotationError(code, text)),
      },
      clock: steadyClock,
      timers,
      emit: (event) => emit({ ...event, peer }),
    })
  }

  #secured(
    raw: RawConnection,
    { link, stream }: Opened,
    remotePeer: PeerId,
    name: string | null,
    rttMs: number,
    initiator: boolean,
  ): Secured {
    if (name !== MUX_PROTOCOL) {
      stream.start()
      const factory = raw.muxers.get(name ?? '')
      if (factory === undefined) return { remotePeer, stream, muxer: undefined }
      const { protocol } = factory
      const createStreamMuxer = (): StreamMuxer => factory.createStreamMuxer(stream)
      return { remotePeer, stream, muxer: { protocol, createStreamMuxer } }
    }
    const createStreamMuxer = (): ChannelMuxer => this.#muxer(raw, link, remotePeer, rttMs, initiator)
    return { remotePeer, stream, muxer: { protocol: MUX_PROTOCOL, createStreamMuxer } }
  }

  #muxer(
    raw: RawConnection,
    link: SecureLink,
    remotePeer: PeerId,
    rttMs: number,
    initiator: boolean,
  ): ChannelMuxer {
    const { muxes, clock, steadyClock = clock } = this.#init
    if (muxes === undefined) throw new Error('a muxer was chosen that was not offered')
    const peerId = remotePeer.toString()
    const place = {
      ...(raw.place ?? { via: null, remote: '', local: null, isPunched: false }),
      dialled: initiator,
    }
    const listed: { remove?: () => void } = {}
    const muxer = new ChannelMuxer({
      connection: { peerId, via: place.via, log: raw.stream.log.newScope('mux') },
      initiator,
      send: (bytes, late) => link.send(bytes, late),
      isWritable: () => link.isWritable,
      now: () => steadyClock.now(),
      rttMs,
      handlers: muxes.handlers,
      isServed: raw.isServed,
      onClosed: () => listed.remove?.(),
      onFailed: (error) => link.fail(asKithError(error).code, error),
    })
    listed.remove = muxes.add(peerId, muxer, place, {
      close: () => closeOrAbort(raw.stream),
      cut: (error) => raw.stream.abort(error),
    })
    link.use({
      onData: (bytes) => muxer.receive(bytes),
      onDrain: () => muxer.drained(),
      onClose: (error) => muxer.ended(error ?? new ChannelError('closed', 'The connection ended')),
    })
    return muxer
  }

  #ended(peer: string, end: LinkEnd): void {
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
function closeInOrder(raw: MessageStream, link: SecureLink, stream: SecureStream): void {
  const close = raw.close.bind(raw)
  raw.close = async (options) => {
    await stream.idle(options?.signal)
    link.finish()
    await close(options)
  }
}

/** Streams get no time to end: whoever closes a connection so has none on it, or wants them cut. */
function closeOrAbort(raw: MessageStream): void {
  raw.close().catch((error: unknown) => raw.abort(error as Error))
}
