import type { EmitEvent } from '../protocols/common/ports.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import type { MuxRegistry } from '../protocols/mux/registry.ts'
import { ADDRESSES_MAX } from '../protocols/registry/limits.ts'
import type { RecordCopies } from '../protocols/registry/record-copies.ts'
import type { Identity } from './compose-identity.ts'
import { startPaths, type RunningPaths } from './compose-paths.ts'
import { createPortMapping, mappedAddress, type RunningPortMapping } from './compose-port-mapping.ts'
import { createTraversal, type RunningTraversal } from './compose-traversal.ts'
import type { Config } from './config/schema.ts'
import { existing } from './late.ts'
import type { Mapping } from './port-mapping/mapping-state.ts'
import { systemRandom, systemTimers } from './system-ports.ts'
import { announcedAddresses, fullAddresses } from './transport/addresses.ts'
import { createConnections, type Connections } from './transport/connections.ts'
import type { MeshNode } from './transport/mesh-node.ts'
import type { ReadyConnections } from './transport/ready-connections.ts'
import type { RecordDatastore } from './transport/record-datastore.ts'
import { RecordStore } from './transport/record-store.ts'
import type { Reflector } from './traversal/reflector.ts'

/** What the ways to peers are made of. */
export interface WaysParts {
  readonly identity: Identity
  readonly config: Config
  readonly network: MeshNode
  readonly ready: ReadyConnections
  readonly muxes: MuxRegistry
  readonly records: { readonly copies: RecordCopies; readonly datastore: RecordDatastore }
  readonly reflector: Reflector
  /** The member table; undefined while there is none. */
  readonly table: () => MembershipService | undefined
  readonly emit: EmitEvent
  /** Undoes what has been started, in reverse. */
  readonly cleanup: AsyncDisposableStack
}

/** The ways to peers, and where this node is found. */
export interface Ways {
  /** Relays, reservations and the choice between ways. */
  readonly ways: RunningPaths
  readonly connections: Connections
  /** Hole punching, and what is known of the own NAT. */
  readonly traversal: RunningTraversal
  /** Not started: what it finds is announced by membership. */
  readonly portMapping: RunningPortMapping
  /** Copies of registrations in the DHT; not started. */
  readonly recordStore: RecordStore
  /** Where this node says it is. */
  announced(): string[]
}

/**
 * Relays and paths, connections, the router's port, traversal. Relays and paths dial (`connections`) and punch (`traversal`),
 * and these two go over relays: so the first names the others before they exist.
 */
export async function startWays(parts: WaysParts): Promise<Ways> {
  const { identity, config, network, ready, muxes, reflector, table, emit, cleanup } = parts
  const { selfId, gatekeeper } = identity
  const common = { meshId: identity.mesh.root.meshId, selfId, network, muxes, ready, emit }
  const later: { connections?: Connections; traversal?: RunningTraversal } = {}
  const announced = (): string[] =>
    announcedAt(portMapping.state()?.mapping, later.traversal?.reachedAddress(), network)
  const portMapping = createPortMapping({
    config,
    network,
    changed() {
      table()?.announce({ addresses: announced() })
      later.traversal?.nat.forget()
    },
    emit,
  })
  const ways = startPaths({
    ...common,
    membership: table,
    directTo: (id, signal) => existing(later.connections).directTo(id, signal),
    isRelay: config.relay,
    punch: (id, signal) => existing(later.traversal).punch(id, signal),
    isReached: () => later.traversal?.nat.isReached() ?? null,
    networkChanged() {
      portMapping.networkChanged()
      later.traversal?.nat.forget()
    },
    relaysChanged: (relays) => table()?.announce({ relays }),
  })
  cleanup.defer(() => ways.stop())
  const { recordStore, connections } = openConnections(parts, ways)
  later.connections = connections
  const traversal = createTraversal({
    ...common,
    reflector,
    openStream: (id, protocol, signal) => connections.openStream(id, protocol, signal),
    openDirectStream: async (id, protocol, signal) =>
      (await connections.directTo(id, signal)).newStream(protocol, { signal }),
    isMember: (id) => gatekeeper.proved(id) !== undefined,
    seenAt: (id) => ways.circuits.seenAt(id),
    met: (id) => ways.tries.met(id),
    addressesOf: (id) => table()?.addressesOf(id) ?? [],
    places: () => ways.places(),
    rttOf: (id) => table()?.member(id)?.rttMs ?? null,
    router: () => portMapping.state()?.mapping ?? null,
    natChanged(isNews) {
      table()?.announce({ addresses: announced() })
      ways.reservations.look()
      // What failed with the same knowledge would fail again.
      if (isNews) ways.paths.natChanged()
    },
  })
  later.traversal = traversal
  await traversal.start()
  cleanup.defer(() => traversal.stop())
  return { ways, recordStore, connections, traversal, portMapping, announced }
}

/** Where this node says it is: at the router's port, where members reached it, and at its own addresses. */
function announcedAt(
  mapping: Mapping | null | undefined,
  reached: string | undefined,
  network: MeshNode,
): string[] {
  const outside = [mappedAddress(mapping), reached].filter((address) => address !== undefined)
  return [...new Set([...outside, ...announcedAddresses(network.getMultiaddrs())])].slice(0, ADDRESSES_MAX)
}

/** Connections to members: where they say they are, or the copies in the DHT. */
function openConnections(
  { identity, network, muxes, records, table, emit }: WaysParts,
  ways: RunningPaths,
): Pick<Ways, 'recordStore' | 'connections'> {
  const { selfId } = identity
  const recordStore = new RecordStore({
    network,
    ...records,
    selfId,
    ownEntry: () => table()?.member(selfId)?.entry,
    timers: systemTimers,
    random: systemRandom,
    emit,
  })
  const connections = createConnections({
    network,
    muxes,
    circuits: ways.circuits,
    relaysTo: (id) => ways.relaysTo(id),
    known: (id) => fullAddresses(table()?.addressesOf(id) ?? [], id),
    async lookUp(id, signal) {
      const statement = (await recordStore.find(id, signal))?.statement
      return statement?.kind === 'registration' ? fullAddresses(statement.addresses, id) : []
    },
  })
  return { recordStore, connections }
}
