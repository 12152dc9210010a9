import { id8Of } from '../protocols/admission/root.ts'
import { keyFromPeerId, peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { EmitEvent } from '../protocols/common/ports.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import { membershipProtocol } from '../protocols/membership/service.ts'
import type { MuxRegistry } from '../protocols/mux/registry.ts'
import type { MemberView } from '../protocols/membership/view.ts'
import { isV6, scopeOf } from '../protocols/traversal/endpoint.ts'
import type { TraversalCode } from '../protocols/traversal/errors.ts'
import { steadyClock, systemRandom, systemTimers } from './system-ports.ts'
import { AddressRace } from './transport/address-race.ts'
import { Circuits } from './transport/circuits.ts'
import type { Connections } from './transport/connections.ts'
import { DirectTries } from './transport/direct-tries.ts'
import { memberPlaces, type MemberPlaces } from './transport/member-places.ts'
import type { MeshNode } from './transport/mesh-node.ts'
import { ownAddresses, ownAddressTexts, watchOwnAddresses } from './transport/own-addresses.ts'
import { Paths } from './transport/paths.ts'
import type { ReadyConnections } from './transport/ready-connections.ts'
import { RelayTargets } from './transport/relay-targets.ts'
import { RelayTries } from './transport/relay-tries.ts'
import { Reservations } from './transport/reservations.ts'

/** What ways to peers are made of. */
export interface PathsParts {
  readonly meshId: Uint8Array
  readonly selfId: string
  readonly network: MeshNode
  readonly muxes: MuxRegistry
  readonly ready: ReadyConnections
  readonly membership: () => MembershipService | undefined
  /** A direct connection to a member, which may have to be made. */
  readonly directTo: Connections['directTo']
  /** Whether this node relays for others. */
  readonly isRelay: boolean
  /** Both sides dial at once; null when it led to a connection. */
  readonly punch: (peerId: string, signal: AbortSignal) => Promise<TraversalCode | null>
  /** Whether others reach this node's mesh port unasked; null while nobody said. */
  readonly isReached: () => boolean | null
  /** This machine moved to another network. */
  readonly networkChanged: () => void
  /** Relays that keep this node reachable changed: to be announced. */
  readonly relaysChanged: (keys: readonly Uint8Array[]) => void
  readonly emit: EmitEvent
}

/** The ways to peers, running. */
export interface RunningPaths {
  readonly circuits: Circuits
  readonly reservations: Reservations
  readonly paths: Paths
  readonly tries: DirectTries
  /** Relays that were tried. */
  readonly relayTries: RelayTries
  /** Whether this node relays for others. */
  readonly isRelay: boolean
  /** Multiaddr of the other side of the direct connection to a member; undefined where there is none. */
  remoteOf(peerId: string): string | undefined
  /** Members that are reached from the internet, and where: they can relay, and reflect. */
  places(): MemberPlaces[]
  /** Members that could keep this node reachable. */
  candidates(): string[]
  /** Members that may relay to a peer, the best first. */
  relaysTo(peerId: string): string[]
  /** Whether this node needs relays to be reachable. */
  needsRelays(): boolean
  stop(): void
}

/** Relays, reservations and the choice between ways. */
export function startPaths(parts: PathsParts): RunningPaths {
  const { meshId, selfId, network, muxes, emit } = parts
  const id8 = id8Of(meshId)
  const rttOf = (id: string): number | null => parts.membership()?.member(id)?.rttMs ?? null
  const relayTries = new RelayTries(steadyClock)
  const race = new AddressRace(network)
  const targets = new RelayTargets({
    announcedBy: (id) => announcedByCurrent(parts.membership()?.member(id)),
    dial: (id, addresses, signal) => race.dial(id, addresses, signal),
    clock: steadyClock,
  })
  const circuits = new Circuits({
    selfId,
    id8,
    muxes,
    ready: parts.ready,
    isRelay: parts.isRelay,
    directTo: parts.directTo,
    tried: (id, relay) => relayTries.begin(id, relay),
    targetTo: (id, signal) => targets.reach(id, signal),
    clock: steadyClock,
    timers: systemTimers,
    emit,
  })
  // Before anybody said, a public address of its own speaks for being reached; not so in IPv6, which homes have behind firewalls.
  const needsRelays = (): boolean =>
    !(parts.isReached() ?? ownAddresses().some((ip) => !isV6(ip) && scopeOf(ip) === 'public'))
  // Who names relays says that nobody reaches it unasked: its address of IPv6 stands behind a firewall.
  const reachedAt = (id: string): readonly string[] =>
    (parts.membership()?.member(id)?.registration?.relays.length ?? 0) > 0
      ? []
      : (parts.membership()?.addressesOf(id) ?? [])
  const places = (): MemberPlaces[] => memberPlaces(muxes, reachedAt)
  const candidates = (): string[] => places().map(({ peerId }) => peerId)
  const reservations = new Reservations({
    muxes,
    protocol: circuits.relayProtocol,
    candidates: () => candidates().map((id) => ({ id, rttMs: rttOf(id) })),
    isNeeded: needsRelays,
    changed: (relays) => parts.relaysChanged(relays.map((id) => keyFromPeerId(id))),
    clock: steadyClock,
    timers: systemTimers,
    emit,
  })
  const tries = new DirectTries({
    dial: (id, address, signal) => race.dial(id, [address], signal),
    isDirect: (id) => muxes.list(id).some(({ via }) => via === null),
    addressesOf: (id) => parts.membership()?.addressesOf(id) ?? [],
    own: () => ({ addresses: ownAddresses(), endpoints: [] }),
    punch: parts.punch,
    clock: steadyClock,
  })
  const movable = membershipProtocol(meshId)
  const paths = new Paths({
    selfId,
    id8,
    muxes,
    tryDirect: (id, signal) => tries.tryAll(id, signal),
    hasNews: (id) => tries.hasNews(id),
    isMovable: (protocol) => protocol === movable,
    clock: steadyClock,
    random: systemRandom,
    timers: systemTimers,
    emit,
  })
  const unwatch = watchOwnAddresses(network, systemTimers, () => {
    emit({ kind: 'network.changed', severity: 'info' })
    parts.networkChanged()
    paths.networkChanged(ownAddressTexts())
  })
  return {
    circuits,
    reservations,
    paths,
    tries,
    relayTries,
    isRelay: parts.isRelay,
    remoteOf: (peerId) => muxes.list(peerId).find(({ via }) => via === null)?.remote,
    places,
    candidates,
    relaysTo: (peerId) => relaysTo(peerId, parts, circuits, rttOf),
    needsRelays,
    stop() {
      unwatch()
      paths.stop()
      reservations.stop()
      circuits.stop()
    },
  }
}

/** Where a member says it is, as long as it is held to be there. */
function announcedByCurrent(member: MemberView | undefined): readonly string[] | undefined {
  return member === undefined || member.state === 'dead' ? undefined : member.registration?.addresses
}

/**
 * Members that may relay to a peer, the best first: those it names, and those this node is connected to; the nearest of each.
 * Those whose circuits to it did not last come last.
 */
function relaysTo(
  peerId: string,
  { selfId, muxes, membership }: PathsParts,
  circuits: Pick<Circuits, 'isDoubtful'>,
  rttOf: (peerId: string) => number | null,
): string[] {
  const announced = membership()?.member(peerId)?.registration?.relays ?? []
  const named = announced.map((key) => peerIdFromKey(key))
  // Whoever we are connected to directly may be connected to the peer as well, and asks nobody else.
  const near = muxes
    .list()
    .flatMap(({ via, peerId: id, isSilent }) => (via === null && !isSilent ? [id] : []))
  const rank = (id: string): number =>
    (near.includes(id) ? 0 : 1_000) +
    Math.min(rttOf(id) ?? 500, 900) +
    (named.includes(id) ? 0 : 10_000) +
    (circuits.isDoubtful(peerId, id) ? 100_000 : 0)
  return [...new Set([...named, ...near])]
    .filter((id) => id !== peerId && id !== selfId)
    .toSorted((a, b) => rank(a) - rank(b))
}
