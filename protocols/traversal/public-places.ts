import { endpointKey, isV6, sameIp, scopeOf, type Endpoint } from './endpoint.ts'

/** A connection to a member, as far as it shows where that is. */
export interface MetAt {
  /** Goes through a relay. */
  readonly isRelayed: boolean
  /** Nothing comes over it any more. */
  readonly isSilent: boolean
  /** This node dialled. */
  readonly dialled: boolean
  /** Both sides dialled at once: nobody else is let in there. */
  readonly isPunched: boolean
  /** The other end, or the relay; undefined where it has no IP address. */
  readonly remote: Endpoint | undefined
}

/** Where a member is reached unasked from the internet. */
export interface PublicPlace {
  readonly endpoint: Endpoint
  /**
   * `dialled`: this node reached it there. `met`: the member announces it and comes from this very address. `announced`: it says
   * so, and this node meets it elsewhere, on the LAN for instance.
   */
  readonly known: 'dialled' | 'met' | 'announced'
}

/**
 * Where a member can be reached unasked, by the connections to it and the endpoints it announces, the best known first; none
 * without a direct connection that lives. A member with such a place can relay for others. It can say from where it sees this
 * node where the place is `dialled` or `met`: the way to an address at which it is not met may end in the own network, or at a
 * stranger's.
 */
export function publicPlaces(connections: readonly MetAt[], announced: readonly Endpoint[]): PublicPlace[] {
  const live = connections.filter(({ isRelayed, isSilent }) => !isRelayed && !isSilent)
  if (live.length === 0) return []
  const dialled = live.flatMap(({ dialled, isPunched, remote }) =>
    dialled && !isPunched && remote !== undefined ? [remote] : [],
  )
  const isMet = ({ ip }: Endpoint): boolean =>
    live.some(({ remote }) => remote !== undefined && sameIp(remote.ip, ip))
  const places: readonly PublicPlace[] = [
    ...dialled.map((endpoint) => ({ endpoint, known: 'dialled' as const })),
    ...announced.filter(isMet).map((endpoint) => ({ endpoint, known: 'met' as const })),
    ...announced
      .filter((endpoint) => !isMet(endpoint))
      .map((endpoint) => ({ endpoint, known: 'announced' as const })),
  ]
  const seen = new Set<string>()
  return places.filter(({ endpoint }) => {
    const key = endpointKey(endpoint)
    if (seen.has(key) || scopeOf(endpoint.ip) !== 'public') return false
    seen.add(key)
    return true
  })
}

/** A member that is asked from where it sees this node, and where its mesh port is. */
export interface ReflectorPlace {
  readonly peer: string
  readonly endpoint: Endpoint
}

/** Of a member whose round trip was not measured: behind all that are near. */
const RTT_UNKNOWN_MS = 1000

/**
 * Whom to ask from where this node is seen, the best first: at a place this node dialled, for it knows the member to be there, or
 * meets it, then the nearest. Over one family only, IPv4 where somebody is asked over it: what a NAT does to IPv4 would otherwise
 * be compared with IPv6, where nothing translates.
 */
export function reflectorsAmong(
  members: readonly { readonly peerId: string; readonly places: readonly PublicPlace[] }[],
  rttOf: (peerId: string) => number | null,
): ReflectorPlace[] {
  const asked = members.flatMap(({ peerId, places }) =>
    places.flatMap(({ endpoint, known }) =>
      known === 'announced' ? [] : [{ peer: peerId, endpoint, known }],
    ),
  )
  const v4 = asked.filter(({ endpoint }) => !isV6(endpoint.ip))
  const rttMs = ({ peer }: ReflectorPlace): number => rttOf(peer) ?? RTT_UNKNOWN_MS
  const isOther = ({ known }: (typeof asked)[number]): number => (known === 'dialled' ? 0 : 1)
  return (v4.length > 0 ? v4 : asked)
    .toSorted((a, b) => isOther(a) - isOther(b) || rttMs(a) - rttMs(b))
    .map(({ peer, endpoint }) => ({ peer, endpoint }))
}
