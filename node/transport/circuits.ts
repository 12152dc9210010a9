import type { Connection } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { KithError } from '../../protocols/common/errors.ts'
import { keyFromPeerId } from '../../protocols/common/peer-id.ts'
import type { Clock, EmitEvent, Timers } from '../../protocols/common/ports.ts'
import type { ByteChannel } from '../../protocols/mux/channel.ts'
import type { MuxRegistry } from '../../protocols/mux/registry.ts'
import { connectThrough, readIncoming } from '../../protocols/relay/client.ts'
import { RelayError } from '../../protocols/relay/errors.ts'
import { RELAYS_TRIED_MAX } from '../../protocols/relay/limits.ts'
import { RelayService, type RelayLoad } from '../../protocols/relay/service.ts'
import type { ByteTransport } from '../../protocols/secure-channel/byte-transport.ts'
import { ipOf } from './addresses.ts'
import { firstToSucceed } from './attempts.ts'
import { ChannelConnection } from './channel-connection.ts'
import { CircuitRecord } from './circuit-record.ts'
import type { ReadyConnections } from './ready-connections.ts'
import type { EndRelayTry } from './relay-tries.ts'
import { SharedWork } from './shared-work.ts'

/** When the next relay is tried beside one that has not led to the peer yet (RFC 8305 calls it the connection attempt delay). */
const NEXT_RELAY_MS = 1000
/** A direct connection a relay makes to reach the target. */
const RELAY_DIAL_MS = 5000

/** What circuits are made of. */
export interface CircuitsInit {
  readonly selfId: string
  /** First 8 hex digits of the mesh id. */
  readonly id8: string
  readonly muxes: MuxRegistry
  readonly ready: ReadyConnections
  /** Whether this node relays for others. */
  readonly isRelay: boolean
  /** Makes a direct connection where none stands. */
  readonly directTo: (peerId: string, signal: AbortSignal) => Promise<unknown>
  /** The same to the target of somebody else's circuit, where a relay may dial it for others; absent: only what is connected. */
  readonly targetTo?: (peerId: string, signal: AbortSignal) => Promise<unknown>
  /** Told that a relay is tried to reach a peer; what it returns is told how that ended. */
  readonly tried?: (peerId: string, relay: string) => EndRelayTry
  /** Never goes back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Connections through relays: making them, taking them, and carrying those of others. */
export class Circuits {
  readonly #init: CircuitsInit
  readonly #service: RelayService
  readonly #stopping = new AbortController()
  /** Dials under way, by peer: a pair has room for few circuits at one relay. */
  readonly #dials = new SharedWork<Connection>()
  readonly #record: CircuitRecord
  /** Addresses at which relays see peers whose circuits stand. */
  readonly #seenAt = new Map<string, Uint8Array>()
  readonly #unlisten: () => void

  constructor(init: CircuitsInit) {
    this.#init = init
    this.#service = new RelayService({
      selfId: init.selfId,
      isOn: init.isRelay,
      openCircuit: (peerId) => this.#openCircuit(peerId),
      ipOf: (peerId) => this.#ipOf(peerId),
      clock: init.clock,
      timers: init.timers,
      emit: init.emit,
    })
    init.muxes.handle(this.relayProtocol, (channel, peerId, via) =>
      this.#service.serve(channel, peerId, via !== null),
    )
    init.muxes.handle(this.#circuitProtocol, (channel, relay, via) => {
      if (via !== null) channel.reset()
      else this.#incoming(channel, relay)
    })
    this.#record = new CircuitRecord(init.clock)
    this.#unlisten = init.muxes.listen({
      added: (listed) => this.#record.made(listed),
      removed: (listed) => {
        const { peerId } = listed
        this.#record.ended(listed, init.muxes.has(peerId))
        if (!init.muxes.list(peerId).some(({ via }) => via !== null)) this.#seenAt.delete(peerId)
      },
    })
  }

  /** Protocol of channels to a relay. */
  get relayProtocol(): string {
    return `/kith/${this.#init.id8}/relay/1`
  }

  get #circuitProtocol(): string {
    return `/kith/${this.#init.id8}/circuit/1`
  }

  /** What this node carries for others. */
  get load(): RelayLoad {
    return this.#service.load
  }

  /** Whether the member is reachable through this node: their connection is needed. */
  holds(peerId: string): boolean {
    return this.#service.holds(peerId)
  }

  /** Whether circuits to the peer through this relay did not last lately, or one of them is silent: another one is better. */
  isDoubtful(peerId: string, relay: string): boolean {
    const isSilent = this.#init.muxes.list(peerId).some((one) => one.via === relay && one.isSilent)
    return isSilent || this.#record.isDoubtful(peerId, relay)
  }

  /** The address at which a relay sees the peer, while a circuit to it stands. */
  seenAt(peerId: string): Uint8Array | undefined {
    return this.#seenAt.get(peerId)
  }

  /**
   * Connects to `peerId` through the first of `relays` that leads there; a slow one does not keep the next waiting for long.
   * @throws RelayError `relay-none`, or why the first of them failed.
   */
  async dial(peerId: string, relays: readonly string[], signal: AbortSignal): Promise<Connection> {
    if (relays.length === 0) throw new RelayError('relay-none', `no relay leads to ${peerId}`)
    return this.#dials.join(peerId, (shared) => this.#dialAll(peerId, relays, shared), signal)
  }

  async #dialAll(peerId: string, relays: readonly string[], signal: AbortSignal): Promise<Connection> {
    const won = new AbortController()
    let winner: Connection | undefined
    const all = AbortSignal.any([signal, won.signal, this.#stopping.signal])
    try {
      const tries = relays.slice(0, RELAYS_TRIED_MAX).map((relay) => async () => {
        const ended = this.#init.tried?.(peerId, relay)
        const made = await this.#dialVia(peerId, relay, all).catch((error: unknown) => {
          ended?.(all.aborted ? 'cancelled' : error instanceof KithError ? error.code : 'relay-lost')
          throw error
        })
        winner ??= made
        ended?.(winner === made ? null : 'cancelled')
        // Too late: it would hold a place at its relay.
        if (winner !== made) void made.close().catch((error: Error) => made.abort(error))
        return winner
      })
      return await firstToSucceed(tries, NEXT_RELAY_MS, signal)
    } finally {
      won.abort(new RelayError('relay-none', 'another relay was quicker'))
    }
  }

  /** Ends what this node carries and takes nothing more. */
  stop(): void {
    this.#stopping.abort(new Error('the node is stopping'))
    this.#unlisten()
    this.#service.stop()
  }

  async #dialVia(peerId: string, relay: string, signal: AbortSignal): Promise<Connection> {
    const { muxes, timers, ready, directTo } = this.#init
    if (!muxes.list(relay).some(({ via }) => via === null)) await directTo(relay, signal)
    signal.throwIfAborted()
    const channel = muxes.openDirect(relay, this.relayProtocol)
    const circuit = connectThrough(channel, keyFromPeerId(peerId), timers)
    const address = multiaddr(`/p2p/${relay}/p2p-circuit/p2p/${peerId}`)
    const connection = new ChannelConnection(circuit, address, 'outbound', ready.log())
    const transport = (): ByteTransport => connection.transport()
    const made = await ready
      .dial(
        {
          connection,
          transport,
          via: relay,
          local: null,
          isPunched: false,
          signal,
          failure: () => (connection.failure instanceof RelayError ? connection.failure : undefined),
        },
        peerIdFromString(peerId),
      )
      .catch((error: unknown) => Promise.reject(connection.failure ?? error))
    this.#see(peerId, relay, circuit.at)
    return made
  }

  #incoming(channel: ByteChannel, relay: string): void {
    const { timers, ready, emit } = this.#init
    readIncoming(channel, timers, {
      onIncoming: ({ source, at, channel: behind }) => {
        // A relay that names itself has no business but to vouch for an address of its own choice.
        if (source === relay) return behind.reset()
        const address = multiaddr(`/p2p/${relay}/p2p-circuit/p2p/${source}`)
        const connection = new ChannelConnection(behind, address, 'inbound', ready.log())
        const signal = this.#stopping.signal
        const transport = (): ByteTransport => connection.transport()
        void ready
          .answer(
            { connection, transport, via: relay, local: null, isPunched: false, signal },
            `relay ${relay}`,
          )
          .then((proved) => {
            if (proved === source) this.#see(source, relay, at)
          })
      },
      onFailure: (error) =>
        emit({
          kind: 'circuit.refused',
          severity: 'info',
          peer: relay,
          reason: error instanceof RelayError ? error.code : 'relay-malformed',
          text: error.message,
        }),
    })
  }

  /** Where a relay sees the peer: known as long as a circuit to it stands, which may have ended meanwhile. */
  #see(peerId: string, relay: string, at: Uint8Array | null): void {
    if (at !== null && this.#init.muxes.list(peerId).some(({ via }) => via === relay))
      this.#seenAt.set(peerId, at)
  }

  async #openCircuit(peerId: string): Promise<ByteChannel> {
    const { muxes, targetTo } = this.#init
    if (!muxes.list(peerId).some(({ via }) => via === null)) {
      if (targetTo === undefined) throw new RelayError('relay-target-away', `${peerId} is not connected`)
      await targetTo(peerId, AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(RELAY_DIAL_MS)]))
    }
    return muxes.openDirect(peerId, this.#circuitProtocol)
  }

  #ipOf(peerId: string): Uint8Array | null {
    const direct = this.#init.muxes.list(peerId).find(({ via }) => via === null)
    return direct === undefined ? null : (ipBytes(ipOf(direct.remote) ?? '') ?? null)
  }
}
