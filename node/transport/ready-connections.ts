import type {
  ComponentLogger,
  Connection,
  Logger,
  MultiaddrConnection,
  PeerId,
  Upgrader,
} from '@libp2p/interface'
import type { KithError } from '../../protocols/common/errors.ts'
import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import type { ByteTransport } from '../../protocols/secure-channel/byte-transport.ts'
import { ChannelError } from '../../protocols/secure-channel/errors.ts'
import { asKithError } from '../../protocols/secure-channel/failures.ts'
import { readOpening } from '../../protocols/secure-channel/frames.ts'
import { HandshakeBudget } from '../../protocols/secure-channel/handshake-budget.ts'
import { HalfOpenConnections } from '../../protocols/secure-channel/half-open.ts'
import type { ChannelUpgrade, RawConnection } from '../../protocols/secure-channel/upgrade.ts'
import { deadline } from './deadline.ts'
import { withoutNegotiation } from './negotiated.ts'

/** Handshake over a way that stands: two round trips of a slow relayed path. */
const HANDSHAKE_TIMEOUT_MS = 8000

/** What of libp2p makes connections. */
interface Libp2pParts {
  readonly upgrader: Upgrader
  readonly isServed: (protocol: string) => boolean
  readonly logger: ComponentLogger
}

/** A connection that stands, before its handshake. */
export interface ReadyConnection {
  readonly connection: MultiaddrConnection
  readonly transport: () => ByteTransport
  /** Peer id of the relay it goes through; null: direct. */
  readonly via: string | null
  /** Address of this end; null through a relay. */
  readonly local: string | null
  /** Both sides dialled at once. */
  readonly isPunched: boolean
  readonly signal: AbortSignal
  /** Why what carries it failed, if it did: a relay that refuses, say. */
  readonly failure?: () => KithError | undefined
}

/**
 * Makes connections of what stands already: sockets both sides dialled at once, channels through relays. Who dials in the
 * handshake is settled by then; the way the bytes take says nothing about it.
 */
export class ReadyConnections {
  readonly #upgrade: ChannelUpgrade
  readonly #emit: EmitEvent
  readonly #halfOpen = new HalfOpenConnections()
  readonly #budget: HandshakeBudget
  #parts: Libp2pParts | undefined

  /** @param steadyClock one that no correction sets back. */
  constructor(upgrade: ChannelUpgrade, steadyClock: Clock, emit: EmitEvent) {
    this.#upgrade = upgrade
    this.#emit = emit
    this.#budget = new HandshakeBudget(steadyClock)
  }

  /** Called by the transport, once libp2p exists. */
  bind(parts: Libp2pParts): void {
    this.#parts = parts
  }

  /** For connections that are made here. */
  log(): Logger {
    return this.#bound.logger.forComponent('kith:ready')
  }

  /** Does the handshake as the side that dials `peer`. @throws KithError; the connection is closed then. */
  async dial(ready: ReadyConnection, peer: PeerId): Promise<Connection> {
    const { upgrader } = this.#bound
    const { connection } = ready
    try {
      using shaking = deadline(ready.signal, HANDSHAKE_TIMEOUT_MS)
      const secured = await this.#upgrade.dial(this.#raw(ready, shaking.signal), peer)
      return await upgrader.upgradeOutbound(connection, {
        signal: shaking.signal,
        ...withoutNegotiation(secured),
      })
    } catch (error) {
      connection.abort(error as Error)
      throw error
    }
  }

  /**
   * Does the handshake as the side that is dialled. `origin`: who to hold to account for what is not proved. Gives the peer id that
   * was proved; null when none was, which is an event, and the connection is closed then.
   */
  async answer(ready: ReadyConnection, origin: string): Promise<string | null> {
    const { upgrader } = this.#bound
    const { connection } = ready
    const proved = this.#halfOpen.enter(origin, (error) => connection.abort(error))
    try {
      using shaking = deadline(ready.signal, HANDSHAKE_TIMEOUT_MS)
      const opening = await readOpening(connection, shaking.signal)
      if (opening.purpose !== 'member')
        throw new ChannelError('stranger-refused', `It is no member's handshake but ${opening.purpose}`)
      const refund = this.#budget.take(origin)
      const raw = { ...this.#raw(ready, shaking.signal), from: connection.remoteAddr.toString() }
      const secured = await this.#upgrade.answer(raw, () => Promise.resolve(opening.message))
      refund()
      await upgrader.upgradeInbound(connection, { signal: shaking.signal, ...withoutNegotiation(secured) })
      return secured.remotePeer.toString()
    } catch (error) {
      connection.abort(error as Error)
      this.#emit({
        kind: 'connection.refused',
        severity: 'notice',
        reason: asKithError(error).code,
        text: (error as Error).message,
        fields: { from: connection.remoteAddr.toString() },
      })
      return null
    } finally {
      proved()
    }
  }

  #raw(
    { connection, transport, via, local, isPunched, failure }: ReadyConnection,
    signal: AbortSignal,
  ): RawConnection {
    return {
      stream: connection,
      transport,
      signal,
      ...(failure === undefined ? {} : { carrierFailure: failure }),
      place: { via, remote: connection.remoteAddr.toString(), local, isPunched },
      muxers: new Map(),
      isServed: this.#bound.isServed,
    }
  }

  get #bound(): Libp2pParts {
    if (this.#parts === undefined) throw new Error('a connection was made before the transport was there')
    return this.#parts
  }
}
