import type { BootstrapAddress } from '../../bootstrap/addresses.ts'
import type { LanPeer } from '../../bootstrap/lan-tags.ts'
import { keyFromPeerId } from '../../protocols/common/peer-id.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import type { MembershipService } from '../../protocols/membership/service.ts'
import type { Config } from '../config/schema.ts'
import { steadyClock, systemClock, systemRandom, systemTimers } from '../system-ports.ts'
import type { MeshNode } from '../transport/mesh-node.ts'
import { Nearby } from './nearby.ts'

/** What LAN discovery of a member needs. */
export interface NearbyMembersInit {
  readonly meshId: Uint8Array
  readonly selfKey: Uint8Array
  readonly config: Config
  readonly network: MeshNode
  readonly membership: MembershipService
  /** Bootstrap addresses: of peers that may not be in the table yet. */
  readonly lists: readonly BootstrapAddress[]
  readonly isCut: (key: Uint8Array) => boolean
  readonly found: (peer: string, addresses: readonly string[]) => void
  readonly emit: EmitEvent
}

/** Begins to announce this node on its LANs and to look for every member it knows, or once knew. */
export function startNearby(init: NearbyMembersInit): Nearby {
  const { network, membership, config, meshId, selfKey, found, emit } = init
  const known = new Set<string>()
  const peers = (): LanPeer[] => {
    const all = [
      ...membership.members().filter((member) => !member.self),
      ...membership.archived().map(({ id }) => ({ id, key: keyFromPeerId(id) })),
      ...init.lists.map(({ peer, key }) => ({ id: peer, key })),
    ]
    const byId = new Map(all.filter(({ key }) => !init.isCut(key)).map(({ id, key }) => [id, { id, key }]))
    known.clear()
    for (const id of byId.keys()) known.add(id)
    return [...byId.values()]
  }
  const nearby = new Nearby({
    meshId,
    selfKey,
    // A listener on a port of its own choice shows in the addresses found, unless others are announced instead.
    listening: () => [...network.getMultiaddrs().map(String), ...config.listen],
    peers,
    connected: () => network.getPeers().map((peer) => peer.toString()),
    found,
    wallClock: systemClock,
    steadyClock,
    timers: systemTimers,
    random: systemRandom,
    emit,
  })
  membership.onChange((ids) => {
    if (ids.some((id) => !known.has(id))) nearby.peersChanged()
  })
  nearby.start()
  return nearby
}
