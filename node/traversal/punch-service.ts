import type { Socket } from 'node:net'
import type { Connection, Stream } from '@libp2p/interface'
import { id8Of } from '../../protocols/admission/root.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import type { Clock, EmitEvent, Random, Timers } from '../../protocols/common/ports.ts'
import type { Endpoint } from '../../protocols/traversal/endpoint.ts'
import type { TraversalCode } from '../../protocols/traversal/errors.ts'
import { PUNCH_NONCE_BYTES } from '../../protocols/traversal/limits.ts'
import type { PartialStanding } from '../../protocols/traversal/nat.ts'
import { admitOffer, createOfferGate } from '../../protocols/traversal/offer-gate.ts'
import type { PunchRole } from '../../protocols/traversal/punch-events.ts'
import type { PunchOptions } from '../../protocols/traversal/punch-state.ts'
import { PUNCH_KIND, punchFormat, type Offer } from '../../protocols/traversal/wire.ts'
import type { MeshNode } from '../transport/mesh-node.ts'
import type { FreshPort } from './fresh-port.ts'
import { ATTEMPTS_MAX, CLOSE_MS, OFFER_MS, PUNCH_STREAMS_MAX } from './limits.ts'
import { runPunch, type Punched } from './punch-driver.ts'
import { endStream, PunchStreams, readFrames, sendFrame } from './punch-streams.ts'

/** What the exchange of punches needs. */
export interface PunchServiceInit {
  readonly network: Pick<MeshNode, 'handle' | 'unhandle'>
  readonly meshId: Uint8Array
  readonly selfId: string
  /** Opens a stream to a member over what leads to it now: a relay. */
  readonly openStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  /** True for a peer whose credentials were accepted. */
  readonly isMember: (peerId: string) => boolean
  /** Addresses at which the mesh has seen a peer; null when nobody can say. */
  readonly vouchedOf: (peerId: string) => readonly Uint8Array[] | null
  readonly standing: () => PartialStanding | null
  readonly standingOf: (peerId: string) => PartialStanding | null
  /** Whether this node and the peer have addresses of IPv6's internet. */
  readonly hasV6: (peerId: string) => boolean
  /** From where a peer sees a port; rejects when nobody says it. */
  readonly reflect: (peerId: string, port: FreshPort, signal: AbortSignal) => Promise<readonly Endpoint[]>
  /** Takes over a direct connection; the initiator of the exchange dials in what follows. Called at once, or nobody hears its end. */
  readonly made: (peerId: string, socket: Socket, role: PunchRole, remote: Endpoint) => void
  /** One that no correction sets back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly emit: EmitEvent
}

/** Protocol id of the exchange. */
export function punchProtocol(meshId: Uint8Array): string {
  return `/kith/${id8Of(meshId)}/punch/1`
}

interface Attempt {
  readonly streams: PunchStreams
  readonly result: Promise<Punched>
}

/** Makes direct connections with members, by turns or both at once; one attempt for each at a time. */
export class PunchService {
  readonly #init: PunchServiceInit
  readonly #protocol: string
  readonly #gate = createOfferGate()
  readonly #attempts = new Map<string, Attempt>()
  readonly #stopped = new AbortController()

  constructor(init: PunchServiceInit) {
    this.#init = init
    this.#protocol = punchProtocol(init.meshId)
  }

  async start(): Promise<void> {
    await this.#init.network.handle(this.#protocol, (stream, connection) => this.#serve(stream, connection), {
      runOnLimitedConnection: true,
      maxInboundStreams: PUNCH_STREAMS_MAX,
      maxOutboundStreams: PUNCH_STREAMS_MAX,
    })
  }

  /** Ends every attempt. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    await this.#init.network.unhandle(this.#protocol)
    await Promise.all([...this.#attempts.values()].map(({ result }) => result))
  }

  /** Peers to whom a direct connection is being made. */
  get attempting(): readonly string[] {
    return [...this.#attempts.keys()]
  }

  /** Tries to meet a peer directly; joins the attempt that goes on, whoever began it. Never rejects. */
  attempt(peerId: string, signal: AbortSignal): Promise<Punched> {
    const current = this.#attempts.get(peerId)
    if (current !== undefined) return current.result
    const nonce = this.#init.random.bytes(PUNCH_NONCE_BYTES)
    return this.#begin(peerId, null, nonce, signal, async (streams) => {
      const stream = await this.#init.openStream(peerId, this.#protocol, signal)
      streams.add(nonce, stream)
      readFrames(
        stream,
        (frame) => streams.frame(frame),
        () => streams.closed(nonce),
      )
    })
  }

  #serve(stream: Stream, connection: Connection): void {
    const { isMember, timers } = this.#init
    const peer = connection.remotePeer.toString()
    if (!isMember(peer)) return void stream.abort(new Error('only members punch'))
    const late = timers.after(OFFER_MS, () => stream.abort(new Error('no offer came')))
    let attempt: PunchStreams | null = null
    let nonce: Uint8Array | null = null
    readFrames(
      stream,
      (frame) => {
        if (attempt !== null) return attempt.frame(frame)
        if (nonce !== null) return // refused
        late()
        try {
          const offer = punchFormat.decode(frame)
          if (offer.kind !== PUNCH_KIND.offer) throw new MalformedError('an exchange begins with an offer')
          nonce = offer.nonce
          attempt = this.#offered(peer, stream, offer, frame)
        } catch (error) {
          if (!(error instanceof MalformedError)) throw error
          this.#refused(peer, 'exchange-malformed', error.message)
          stream.abort(error)
        }
      },
      () => {
        late()
        if (nonce === null) void endStream(stream, AbortSignal.timeout(CLOSE_MS))
        else attempt?.closed(nonce)
      },
    )
  }

  /** Answers an OFFER, or gives it to the attempt it meets; null when it is refused. */
  #offered(peer: string, stream: Stream, offer: Offer, frame: Uint8Array): PunchStreams | null {
    const { clock } = this.#init
    const current = this.#attempts.get(peer)
    const isBusy = current === undefined ? this.#attempts.size >= ATTEMPTS_MAX : current.streams.hasOffer
    const code = isBusy ? 'punch-busy' : admitOffer(this.#gate, peer, offer.nonce, clock.now())
    if (code !== null) {
      this.#refused(peer, code, 'An offer was not answered')
      sendFrame(stream, punchFormat.encode({ kind: PUNCH_KIND.failed, nonce: offer.nonce, code }))
      void endStream(stream, AbortSignal.timeout(CLOSE_MS))
      return null
    }
    if (current !== undefined) {
      current.streams.hasOffer = true
      current.streams.add(offer.nonce, stream)
      current.streams.frame(frame)
      return current.streams
    }
    let streams: PunchStreams | null = null
    void this.#begin(peer, offer, offer.nonce, this.#stopped.signal, (made) => {
      streams = made
      made.hasOffer = true
      made.add(offer.nonce, stream)
      return Promise.resolve()
    })
    return streams
  }

  #begin(
    peerId: string,
    offer: Offer | null,
    nonce: Uint8Array,
    signal: AbortSignal,
    open: (streams: PunchStreams) => Promise<void>,
  ): Promise<Punched> {
    if (this.#attempts.size >= ATTEMPTS_MAX)
      return Promise.resolve({ path: 'relay', reason: 'punch-busy', text: 'As many as fit are being tried' })
    const streams = new PunchStreams()
    const opened = open(streams)
    const result = this.#attempt(peerId, offer, nonce, signal, streams, opened).finally(() =>
      this.#attempts.delete(peerId),
    )
    this.#attempts.set(peerId, { streams, result })
    return result
  }

  async #attempt(
    peerId: string,
    offer: Offer | null,
    nonce: Uint8Array,
    parent: AbortSignal,
    streams: PunchStreams,
    opened: Promise<void>,
  ): Promise<Punched> {
    const { clock, timers, random, emit, made } = this.#init
    const signal = AbortSignal.any([parent, this.#stopped.signal])
    try {
      await opened
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      return this.#ended(peerId, { path: 'relay', reason: 'exchange-lost', text })
    }
    const options = this.#options(peerId, nonce)
    const reflect = this.#init.reflect.bind(null, peerId)
    const run = { options, offer, exchange: streams, reflect, clock, timers, random, emit, signal }
    const punched = await runPunch(run)
    if (punched.path === 'direct') made(peerId, punched.socket, punched.role, punched.remote)
    void streams.close(AbortSignal.timeout(CLOSE_MS))
    return this.#ended(peerId, punched)
  }

  #options(peerId: string, nonce: Uint8Array): PunchOptions {
    const { selfId, standing, standingOf, hasV6, vouchedOf } = this.#init
    return {
      ownId: selfId,
      peerId,
      nonce,
      standing: standing(),
      peerStanding: standingOf(peerId),
      hasV6: hasV6(peerId),
      vouched: vouchedOf(peerId),
    }
  }

  #ended(peer: string, punched: Punched): Punched {
    this.#init.emit(
      punched.path === 'direct'
        ? {
            kind: 'punch.made',
            severity: 'info',
            peer,
            fields: { role: punched.role, tookMs: punched.tookMs },
          }
        : { kind: 'punch.failed', severity: 'info', peer, reason: punched.reason, text: punched.text },
    )
    return punched
  }

  #refused(peer: string, reason: TraversalCode, text: string): void {
    this.#init.emit({ kind: 'punch.refused', severity: 'warning', peer, reason, text })
  }
}
