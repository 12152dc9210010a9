import type { BootstrapAddress } from '../../bootstrap/addresses.ts'
import { BootstrapError } from '../../bootstrap/errors.ts'
import { SIGHTED_DIAL_MS } from '../../bootstrap/limits.ts'
import type { Target } from '../../bootstrap/reconnect.ts'
import { ReconnectLoop } from '../../bootstrap/reconnect-loop.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import type { MembershipService } from '../../protocols/membership/service.ts'
import { systemClock, systemRandom, systemTimers } from '../system-ports.ts'
import type { Connections } from '../transport/connections.ts'
import type { MeshNode } from '../transport/mesh-node.ts'
import type { Nearby } from './nearby.ts'

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
  /** Members seen on the LAN; null where it is not looked at. */
  readonly nearby: Pick<Nearby, 'addressesOf' | 'peers'> | null
  /** Whether nothing comes over the connections to a peer any more: it is dialled anew beside them. */
  readonly isSilent: (peerId: string) => boolean
  /** Whether a peer has no business here any more: it is not looked for. */
  readonly isCut: (peerId: string) => boolean
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
  nearby,
  isSilent,
  isCut,
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
  const seen = (peer: string): string[] => nearby?.addressesOf(peer) ?? []
  const wanted = (): Target[] => {
    const neighbours = membership.wantedNeighbours()
    // Whoever was seen on the LAN and is not here: back, or in the other half of a partition.
    const back = (nearby?.peers() ?? []).filter((peer) => {
      const state = membership.member(peer)?.state
      return state !== 'alive' && state !== 'left' && !neighbours.includes(peer) && !isCut(peer)
    })
    return [...neighbours, ...back].map((peer) => ({
      peer,
      addresses: [...new Set([...seen(peer), ...addressesOf(peer)])],
    }))
  }
  const reconnect = new ReconnectLoop({
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    emit,
    wanted,
    fallback,
    connected: () =>
      network
        .getPeers()
        .map((peer) => peer.toString())
        .filter((peer) => !isSilent(peer)),
    dial: (target, signal) => dialSeenFirst(connections, target, seen(target.peer), signal),
    failed: (peer, failure) => membership.dialFailed(peer, failure.code === 'dial-refused'),
  })
  // News of a member that came back: dial it now instead of when its back-off ends.
  membership.onChange((ids) => {
    for (const id of ids) if (membership.member(id)?.state === 'alive') reconnect.hint(id)
  })
  reconnect.start()
  return reconnect
}

/**
 * Tries where the peer was seen on the LAN, for a moment, then the addresses it announced itself. How the first went is never
 * the reason given: anybody on the LAN can point to a port that refuses, and a refusal counts as evidence of a death.
 */
export async function dialSeenFirst(
  connections: Pick<Connections, 'dial'>,
  { peer, addresses }: Target,
  seen: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const announced = addresses.filter((address) => !seen.includes(address))
  if (seen.length > 0) {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(SIGHTED_DIAL_MS)])
      await connections.dial({ peer, addresses: seen }, limit)
      return
    } catch (error) {
      signal.throwIfAborted()
      if (announced.length === 0)
        throw new BootstrapError('dial-failed', `not where the LAN shows it: ${(error as Error).message}`)
    }
  }
  await connections.dial({ peer, addresses: announced }, signal)
}
