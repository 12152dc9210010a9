import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { MeshNode } from './mesh-node.ts'

/** Parts of libp2p that are there, but not part of its types: what nodes are, and how one address is dialled. */
interface Libp2pParts {
  readonly transportManager: {
    getAddrs(): Multiaddr[]
    dial(address: Multiaddr, options: { signal: AbortSignal }): Promise<Connection>
  }
  readonly addressManager: {
    confirmObservedAddr(address: Multiaddr, options: { type: 'transport'; ttl: number }): void
  }
}

/** See `Libp2pParts`. */
export function partsOf(network: MeshNode): Libp2pParts {
  return (network as unknown as { components: Libp2pParts }).components
}
