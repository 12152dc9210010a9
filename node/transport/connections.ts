import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Target } from '../../bootstrap/reconnect.ts'
import type { MuxRegistry } from '../../protocols/mux/registry.ts'
import { RelayError } from '../../protocols/relay/errors.ts'
import { AddressRace } from './address-race.ts'
import { firstToSucceed } from './attempts.ts'
import type { Circuits } from './circuits.ts'
import type { MeshNode } from './mesh-node.ts'

/** Streams to one peer over one connection, for services and forwarded joins. */
export const STREAMS_TO_PEER_MAX = 4096
/** How long a direct dial may take before a relay is tried beside it (RFC 8305 §5 recommends 250 ms). */
const RELAY_AFTER_MS = 250
/** A direct dial that goes on after a relay was quicker: two SYN retransmissions. */
const DIRECT_DIAL_MS = 5000

/** Finding, making and judging connections to members. */
export interface Connections {
  /** Dials these addresses, and through relays where that takes long. @throws the error of the direct dial, if there was one. */
  dial(target: Target, signal: AbortSignal): Promise<Connection>
  /** The open connection to the peer, or a new one. */
  to(peerId: string, signal: AbortSignal): Promise<Connection>
  /** A direct connection, open or new. */
  directTo(peerId: string, signal: AbortSignal): Promise<Connection>
  openStream(peerId: string, protocol: string, signal: AbortSignal): Promise<Stream>
  pathTo(peerId: string): 'direct' | 'relay' | 'none'
  /** Peer id of the relay new streams to the peer go through; null for a direct path, and for none. */
  viaTo(peerId: string): string | null
}

/** What connections are made with. */
export interface ConnectionsInit {
  readonly network: MeshNode
  readonly muxes: MuxRegistry
  readonly circuits: Pick<Circuits, 'dial'>
  /** Full multiaddrs of a member, by the member table; empty when there are none. */
  readonly known: (peerId: string) => string[]
  /** Of the copies in the DHT, for a member the table does not have. */
  readonly lookUp: (peerId: string, signal: AbortSignal) => Promise<string[]>
  /** Members that may relay to the peer, the best first. */
  readonly relaysTo: (peerId: string) => string[]
}

/** Connections over `network`: direct where that works quickly, otherwise through a relay. */
export function createConnections(init: ConnectionsInit): Connections {
  const { network, muxes } = init
  const openTo = (peerId: string): Connection[] => {
    const open = network.getConnections(peerIdFromString(peerId)).filter(({ status }) => status === 'open')
    const isDirectUsed = muxes.list(peerId)[0]?.via === null
    return open.toSorted((a, b) => Number(b.direct === isDirectUsed) - Number(a.direct === isDirectUsed))
  }
  const race = new AddressRace(network)
  /** A silent connection does not count: it is probably dead. */
  const directNow = (peerId: string): Connection | undefined =>
    muxes.list(peerId).some(({ via, isSilent }) => via === null && isSilent)
      ? undefined
      : openTo(peerId).find((connection) => connection.direct)
  const direct = async (
    peerId: string,
    addresses: readonly string[],
    signal: AbortSignal,
  ): Promise<Connection> => directNow(peerId) ?? race.dial(peerId, addresses, signal)
  const addressesOf = async (peerId: string, signal: AbortSignal): Promise<string[]> => {
    const known = init.known(peerId)
    return known.length > 0 ? known : init.lookUp(peerId, signal)
  }
  const connections: Connections = {
    dial({ peer, addresses }, signal) {
      const relays = init.relaysTo(peer)
      // It goes on when a relay was quicker: then it is the path's first direct connection.
      const patient = AbortSignal.any([signal, AbortSignal.timeout(DIRECT_DIAL_MS)])
      const ways = [
        ...(addresses.length > 0 ? [() => direct(peer, addresses, patient)] : []),
        ...(relays.length > 0 ? [() => init.circuits.dial(peer, relays, signal)] : []),
      ]
      if (ways.length === 0) return Promise.reject(new RelayError('relay-none', 'no address of it is known'))
      return firstToSucceed(ways, RELAY_AFTER_MS, signal)
    },
    async to(peerId, signal) {
      const [open] = openTo(peerId)
      if (open !== undefined && (muxes.has(peerId) || muxes.list(peerId).length === 0)) return open
      return connections.dial({ peer: peerId, addresses: await addressesOf(peerId, signal) }, signal)
    },
    async directTo(peerId, signal) {
      return directNow(peerId) ?? direct(peerId, await addressesOf(peerId, signal), signal)
    },
    async openStream(peerId, protocol, signal) {
      const connection = await connections.to(peerId, signal)
      return connection.newStream(protocol, {
        signal,
        maxOutboundStreams: STREAMS_TO_PEER_MAX,
        runOnLimitedConnection: true,
      })
    },
    pathTo(peerId) {
      const [used] = muxes.list(peerId)
      if (used !== undefined) return used.via === null ? 'direct' : 'relay'
      return openTo(peerId).length === 0 ? 'none' : 'direct'
    },
    viaTo: (peerId) => muxes.list(peerId)[0]?.via ?? null,
  }
  return connections
}
