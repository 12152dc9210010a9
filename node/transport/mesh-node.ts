import type { Libp2p } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Ping } from '@libp2p/ping'

/** The services every mesh node runs on libp2p. */
export interface MeshServices extends Record<string, unknown> {
  readonly ping: Ping
  readonly dht: KadDHT
}
/** A libp2p node of a mesh. */
export type MeshNode = Libp2p<MeshServices>
