import type { BootstrapAddress } from '../../bootstrap/addresses.ts'
import type { Target } from '../../bootstrap/reconnect.ts'
import { ReconnectLoop } from '../../bootstrap/reconnect-loop.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import type { MembershipService } from '../../protocols/membership/service.ts'
import { systemClock, systemRandom, systemTimers } from '../system-ports.ts'
import type { Connections } from '../transport/connections.ts'
import type { MeshNode } from '../transport/libp2p.ts'

/** What keeping the wanted connections needs. */
export interface ReconnectingInit {
  /** Bootstrap addresses, of the join and of the configuration. */
  readonly lists: readonly BootstrapAddress[]
  readonly selfId: string
  readonly network: MeshNode
  readonly membership: MembershipService
  readonly connections: Connections
  /** Full multiaddrs of a member. */
  readonly addressesOf: (peerId: string) => string[]
  readonly emit: EmitEvent
}

/** Keeps the wanted connections; alone, it tries the bootstrap list and everybody it ever knew. */
export function startReconnecting({
  lists,
  selfId,
  network,
  membership,
  connections,
  addressesOf,
  emit,
}: ReconnectingInit): ReconnectLoop {
  const listed = lists.filter(({ peer }) => peer !== selfId)
  const fallback = (): Target[] => [
    ...listed.map(({ peer, address }) => ({ peer, addresses: [address] })),
    ...membership.archived().map(({ id, addresses }) => ({
      peer: id,
      addresses: addresses.map((address) => `${address}/p2p/${id}`),
    })),
  ]
  const reconnect = new ReconnectLoop({
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    emit,
    wanted: () => membership.wantedNeighbours().map((peer) => ({ peer, addresses: addressesOf(peer) })),
    fallback,
    connected: () => network.getPeers().map((peer) => peer.toString()),
    dial: (target, signal) => connections.dial(target, signal),
    failed: (peer, failure) => membership.dialFailed(peer, failure.code === 'dial-refused'),
  })
  // News of a member that came back: dial it now instead of when its back-off ends.
  membership.onChange((ids) => {
    for (const id of ids) if (membership.member(id)?.state === 'alive') reconnect.hint(id)
  })
  reconnect.start()
  return reconnect
}
