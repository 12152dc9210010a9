import type { Socket } from 'node:net'
import {
  serviceCapabilities,
  transportSymbol,
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  type MultiaddrConnection,
  type Transport,
  type Upgrader,
  type UpgraderOptions,
} from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp, type TCPComponents } from '@libp2p/tcp'
import { CODE_P2P, type Multiaddr } from '@multiformats/multiaddr'
import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import { ChannelError } from '../../protocols/secure-channel/errors.ts'
import { asKithError } from '../../protocols/secure-channel/failures.ts'
import type { JoinDoor } from '../../protocols/secure-channel/exchange.ts'
import { readOpening, type Opening } from '../../protocols/secure-channel/frames.ts'
import { HandshakeBudget } from '../../protocols/secure-channel/handshake-budget.ts'
import { HalfOpenConnections } from '../../protocols/secure-channel/half-open.ts'
import { servedBy, type ServedProtocols } from '../../protocols/secure-channel/service.ts'
import type { ChannelUpgrade, RawConnection } from '../../protocols/secure-channel/upgrade.ts'
import { networkOf } from './addresses.ts'
import { deadline } from './deadline.ts'
import { withoutNegotiation } from './negotiated.ts'
import type { ReadyConnections } from './ready-connections.ts'
import { socketOf, socketTransport } from './socket-transport.ts'

/** A first message is there within a round trip; whoever needs longer than this is broken or stalls. */
const OPENING_TIMEOUT_MS = 5000
/** Handshake of a member: one more round trip. */
const HANDSHAKE_TIMEOUT_MS = 5000
/** A join waits up to 10 s for its issuer (node/membership/door.ts). */
const JOIN_TIMEOUT_MS = 15_000
/** Connections without any byte; our probes run every second. */
const SOCKET_INACTIVITY_MS = 120_000

/** What the mesh port is served with. */
export interface MeshTcpInit {
  readonly upgrade: ChannelUpgrade
  readonly door: JoinDoor
  readonly emit: EmitEvent
  /** One that no correction sets back. */
  readonly steadyClock: Clock
  /** Lets stock libp2p peers in, by libp2p's own negotiation. Off by default: they have no certificates. */
  readonly compat: boolean
  /** Makes connections of sockets and channels that stand already; is given what it needs of libp2p. */
  readonly ready: ReadyConnections
  /** Takes accepted sockets that speak about addresses instead of a handshake. */
  readonly reflection: RawOpenings
}

/** Takes accepted sockets by their first bytes; false: not its own, the socket is untouched. */
export interface RawOpenings {
  /** True when it took the connection over; `known` is told once that showed something we gave out. */
  serve(socket: Socket, first: Uint8Array, known: () => void): boolean
}

/**
 * TCP with our handshake right behind it: no multistream-select, so that the first byte of a stream leaves the dialler one round
 * trip after the connection stands (three with libp2p's own way). Strangers hear nothing at all.
 */
export function meshTcp(init: MeshTcpInit): (components: TCPComponents) => Transport {
  return (components) => new MeshTcp(init, components)
}

class MeshTcp implements Transport {
  readonly [transportSymbol] = true as const
  readonly [Symbol.toStringTag] = 'kith-tcp'
  readonly [serviceCapabilities] = ['@libp2p/transport']
  readonly #init: MeshTcpInit
  readonly #tcp: Transport
  readonly #halfOpen = new HalfOpenConnections()
  readonly #budget: HandshakeBudget
  readonly #isServed: (protocol: string) => boolean

  constructor(init: MeshTcpInit, components: TCPComponents) {
    this.#init = init
    this.#budget = new HandshakeBudget(init.steadyClock)
    // libp2p gives every component to a transport; the types of @libp2p/tcp name those it uses.
    const { registrar, upgrader } = components as { registrar?: ServedProtocols; upgrader?: Upgrader }
    this.#isServed = servedBy(registrar)
    if (upgrader === undefined) throw new Error('libp2p gave the transport no upgrader')
    init.ready.bind({ upgrader, isServed: this.#isServed, logger: components.logger })
    this.#tcp = tcp({
      inboundSocketInactivityTimeout: SOCKET_INACTIVITY_MS,
      outboundSocketInactivityTimeout: SOCKET_INACTIVITY_MS,
    })(components)
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return this.#tcp.listenFilter(addresses)
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return this.#tcp.dialFilter(addresses)
  }

  dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const { upgrader } = options
    return this.#tcp.dial(address, {
      ...options,
      upgrader: overridden(upgrader, {
        upgradeOutbound: (connection, upgradeOptions) => this.#outbound(connection, upgradeOptions, upgrader),
      }),
    })
  }

  createListener(options: CreateListenerOptions): Listener {
    const { upgrader } = options
    return this.#tcp.createListener({
      ...options,
      upgrader: overridden(upgrader, {
        upgradeInbound: (connection, upgradeOptions) => this.#inbound(connection, upgradeOptions, upgrader),
      }),
    })
  }

  async #outbound(
    connection: MultiaddrConnection,
    options: UpgraderOptions,
    upgrader: Upgrader,
  ): Promise<Connection> {
    const id = connection.remoteAddr.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
    const peer = id === undefined ? undefined : peerIdFromString(id)
    const raw = rawConnection(connection, options.signal, this.#isServed)
    const secured = await this.#init.upgrade.dial(raw, peer)
    return upgrader.upgradeOutbound(connection, { ...options, ...withoutNegotiation(secured) })
  }

  async #inbound(
    connection: MultiaddrConnection,
    options: UpgraderOptions,
    upgrader: Upgrader,
  ): Promise<void> {
    const network = networkOf(connection.remoteAddr.getComponents()[0]?.value ?? '')
    const proved = this.#halfOpen.enter(network, (error) => connection.abort(error))
    try {
      const { opening, refund } = await this.#admitted(connection, options.signal, network)
      if (opening.purpose === 'raw') return this.#serveRaw(connection, opening.message, refund)
      if (opening.purpose === 'multistream') {
        connection.unshift(opening.message)
        return await upgrader.upgradeInbound(connection, options)
      }
      const from = connection.remoteAddr.toString()
      if (opening.purpose === 'join') {
        using joining = deadline(options.signal, JOIN_TIMEOUT_MS)
        return await this.#init.door.serve(connection, opening.message, {
          signal: joining.signal,
          from,
          onRequest: proved,
        })
      }
      using shaking = deadline(options.signal, HANDSHAKE_TIMEOUT_MS)
      const raw = { ...rawConnection(connection, shaking.signal, this.#isServed), from }
      const secured = await this.#init.upgrade.answer(raw, () => Promise.resolve(opening.message))
      refund()
      await upgrader.upgradeInbound(connection, { ...options, ...withoutNegotiation(secured) })
    } finally {
      proved()
    }
  }

  /** Somebody who was told a ticket over a secured connection asks from where it is seen; all others are strangers. */
  #serveRaw(connection: MultiaddrConnection, first: Uint8Array, refund: () => void): void {
    const socket = socketOf(connection)
    socket?.removeAllListeners('data')
    if (socket !== undefined && this.#init.reflection.serve(socket, first, refund)) return
    connection.abort(new ChannelError('stranger-refused', 'It speaks about addresses without a ticket'))
  }

  /** The first message, if there is budget to look at it; whoever says anything else is cut without a byte. */
  async #admitted(
    connection: MultiaddrConnection,
    parent: AbortSignal,
    network: string,
  ): Promise<{ opening: Opening; refund: () => void }> {
    try {
      using opened = deadline(parent, OPENING_TIMEOUT_MS)
      const opening = await readOpening(connection, opened.signal)
      if (opening.purpose === 'multistream' && !this.#init.compat)
        throw new ChannelError('stranger-refused', 'It speaks libp2p without a mesh')
      return { opening, refund: this.#budget.take(network) }
    } catch (error) {
      connection.abort(error as Error)
      this.#init.emit({
        kind: 'connection.refused',
        severity: 'notice',
        reason: asKithError(error).code,
        text: (error as Error).message,
        fields: { from: connection.remoteAddr.toString() },
      })
      throw error
    }
  }
}

function rawConnection(
  connection: MultiaddrConnection,
  signal: AbortSignal | undefined,
  isServed: (protocol: string) => boolean,
): RawConnection {
  return {
    stream: connection,
    transport: () => socketTransport(connection),
    signal,
    place: {
      via: null,
      remote: connection.remoteAddr.toString(),
      local: socketOf(connection)?.localAddress ?? null,
      isPunched: false,
    },
    // Never on a direct connection: there all our nodes have our own.
    muxers: new Map(),
    isServed,
  }
}

/** The upgrader with some of its methods replaced. */
function overridden(
  upgrader: Upgrader,
  methods: {
    upgradeOutbound?: (connection: MultiaddrConnection, options: UpgraderOptions) => Promise<Connection>
    upgradeInbound?: (connection: MultiaddrConnection, options: UpgraderOptions) => Promise<void>
  },
): Upgrader {
  return {
    upgradeOutbound: (connection, options) => upgrader.upgradeOutbound(connection, options),
    upgradeInbound: (connection, options) => upgrader.upgradeInbound(connection, options),
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
    ...methods,
  }
}
