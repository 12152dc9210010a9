import type { MuxRegistry } from '../../protocols/mux/registry.ts'
import { publicPlaces, type PublicPlace } from '../../protocols/traversal/public-places.ts'
import { endpointOf } from './addresses.ts'

/** A member, and where it is reached unasked from the internet. */
export interface MemberPlaces {
  readonly peerId: string
  /** At least one, the best known first. */
  readonly places: readonly PublicPlace[]
}

/**
 * The members this node is connected to that are reached from the internet: they can relay, and some can say from where they
 * see this node (`reflectorsAmong`). `announcedBy`: the multiaddrs at which a member says it is reached.
 */
export function memberPlaces(
  muxes: Pick<MuxRegistry, 'list'>,
  announcedBy: (peerId: string) => readonly string[],
): MemberPlaces[] {
  const byPeer = Map.groupBy(muxes.list(), ({ peerId }) => peerId)
  return [...byPeer].flatMap(([peerId, listed]) => {
    const connections = listed.map(({ via, isSilent, dialled, isPunched, remote }) => ({
      isRelayed: via !== null,
      isSilent,
      dialled,
      isPunched,
      remote: endpointOf(remote),
    }))
    const announced = announcedBy(peerId).flatMap((address) => endpointOf(address) ?? [])
    const places = publicPlaces(connections, announced)
    return places.length === 0 ? [] : [{ peerId, places }]
  })
}
