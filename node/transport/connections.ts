import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Target } from '../../bootstrap/reconnect.ts'
import type { MeshNode } from './mesh-node.ts'

/** Streams to one peer over one connection, for services and forwarded joins. */
export const STREAMS_TO_PEER_MAX = 4096

/** Finding, making and judging connections to members. */
export interface Connections {
  dial(target: Target, signal: AbortSignal): Promise<Connection>
  /** The open connection to the peer, or a new one. */
  to(peerId: string, signal: AbortSignal): Promise<Connection>
  openStream(peerId: string, protocol: string, signal: AbortSignal): Promise<Stream>
  pathTo(peerId: string): 'direct' | 'relay' | 'none'
}

/** Where a member's full multiaddrs come from; empty when there are none. */
export interface AddressSources {
  /** Of the member table. */
  known(peerId: string): string[]
  /** Of the copies in the DHT, for a member the table does not have. */
  lookUp(peerId: string, signal: AbortSignal): Promise<string[]>
}

/** Connections over `network`. */
export function createConnections(network: MeshNode, addressesOf: AddressSources): Connections {
  const openTo = (peerId: string): Connection[] =>
    network.getConnections(peerIdFromString(peerId)).filter((connection) => connection.status === 'open')
  const connections: Connections = {
    dial: ({ addresses }, signal) =>
      network.dial(
        addresses.map((address) => multiaddr(address)),
        { signal },
      ),
    async to(peerId, signal) {
      const [open] = openTo(peerId)
      if (open !== undefined) return open
      const known = addressesOf.known(peerId)
      const addresses = known.length > 0 ? known : await addressesOf.lookUp(peerId, signal)
      if (addresses.length === 0) throw new Error('no address of it is known')
      return connections.dial({ peer: peerId, addresses }, signal)
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
      const open = openTo(peerId)
      if (open.length === 0) return 'none'
      const isDirect = (connection: Connection): boolean =>
        connection.limits === undefined && !connection.remoteAddr.toString().includes('/p2p-circuit')
      return open.some(isDirect) ? 'direct' : 'relay'
    },
  }
  return connections
}
