import { peerIdFromString } from '@libp2p/peer-id'
import type { Member } from '../protocols/admission/certificates.ts'
import { compareBytes } from '../protocols/common/bytes.ts'
import type { EmitEvent, Signer, Store } from '../protocols/common/ports.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import type { SessionRegistry } from '../protocols/secure-channel/sessions.ts'
import { createAuthorities, startAuthorities, type Authorities } from './compose-authorities.ts'
import { openIdentity, type Identity } from './compose-identity.ts'
import { openMembership, startMembership } from './compose-membership.ts'
import type { RunningPaths } from './compose-paths.ts'
import type { RunningPortMapping } from './compose-port-mapping.ts'
import { startReach, type Reach } from './compose-reach.ts'
import { startReconnect } from './compose-reconnect.ts'
import type { RunningTraversal } from './compose-traversal.ts'
import type { Config } from './config/schema.ts'
import { existing } from './late.ts'
import type { Issuer } from './membership/issuer.ts'
import type { StoredMesh } from './membership/mesh-store.ts'
import type { Revocations } from './membership/revocations.ts'
import { tellingFailure } from './transport/telling-failure.ts'
import { startServices, type Services } from './services/services.ts'
import { createTunnels, type Tunnels } from './services/tunnels.ts'
import { systemClock, systemTimers } from './system-ports.ts'
import { fullAddresses } from './transport/addresses.ts'

/*
 * A node inside its mesh, put together from parts in the order they start in; they are undone in the reverse order. Three parts
 * are named before they exist (`later`), because these cycles are real:
 *
 * - identity → membership → network → identity. A handshake asks the member table, which is spread over what handshakes made.
 * - issuer → network → issuer. An invite says where this node is reached, and there joiners are let in by the issuer.
 * - own certificate → renewal → network → own certificate. It is shown in handshakes, and renewed over what they made.
 *
 * Two more stay inside the network's part: its door passes requests on over its own connections (compose-reach.ts), and relays
 * and paths dial and punch over relays and paths (compose-ways.ts).
 */

/** Addresses of each other member put into invites and join replies. */
const ADDRESSES_PER_MEMBER = 2
/** Own addresses at most, so that an invite has room for another door. */
const OWN_DOORS = 4

/** What a mesh is run with. */
export interface MeshInit {
  readonly mesh: StoredMesh
  /** 32-byte Ed25519 seed; `signer` is made of it. */
  readonly seed: Uint8Array
  readonly signer: Signer
  readonly store: Store
  readonly config: Config
  /** The random label of `http://NAME.<label>.localhost`. */
  readonly localLabel: string
  readonly emit: EmitEvent
  /** Told when this node became an authority, or is one no more: the mesh is to be started anew. */
  readonly authorityChanged: () => void
}

/** A node inside its mesh, running. */
export interface RunningMesh {
  readonly mesh: StoredMesh
  /** This node as its certificate names it. */
  readonly self: Member
  readonly membership: MembershipService
  readonly sessions: SessionRegistry
  readonly services: Services
  /** The ways to peers. */
  readonly ways: RunningPaths
  /** Hole punching, and what is known of the own NAT. */
  readonly traversal: RunningTraversal
  readonly portMapping: RunningPortMapping
  /** Null on a node that is no admit authority. */
  readonly issuer: Issuer | null
  /** Authority certificates of this node itself, and those it brought to others. */
  heldAuthorities(): Uint8Array[]
  readonly revocations: Revocations
  /** Brings an authority certificate to its node; false while that is away: it is tried again. */
  sendAuthority(certificate: Uint8Array): Promise<boolean>
  /** Takes a revocation made here: kept, acted upon and spread. False when it says nothing new, or is not taken. */
  revoke(revocation: Uint8Array): boolean
  /** Addresses (with /p2p/) a newcomer can dial: this node's first, then other members'. */
  doors(): string[]
  listen(): string[]
  pathTo(peerId: string): 'direct' | 'relay' | 'none'
  /** Peer id of the relay new streams to a peer go through, null where there is none. */
  viaTo(peerId: string): string | null
  lastFailure(peerId: string): { code: string; text: string } | undefined
  /** What a peer's certificate said at its last handshake. */
  proved(peerId: string): Member | undefined
  /** Round trip in ms. @throws TunnelError `peer-unreachable`. */
  ping(peerId: string, signal: AbortSignal): Promise<number>
  stop(): Promise<void>
}

/**
 * Starts everything that exists only inside a mesh: transport, membership, admission, services.
 * @throws KithError for ports in use and credentials that no longer hold.
 */
export async function startMesh(init: MeshInit): Promise<RunningMesh> {
  const { seed, signer, store, config, emit, authorityChanged } = init
  const later: { membership?: MembershipService; reach?: Reach; authorities?: Authorities } = {}
  const table = (): MembershipService | undefined => later.membership
  const members = (): MembershipService => existing(later.membership)
  const identity = await openIdentity({
    mesh: init.mesh,
    signer,
    store,
    emit,
    table,
    members,
    doors: () => doorsOf(existing(later.reach), members(), identity.selfId),
    renewAt: (id, signal) => existing(later.authorities).renewal.ask(id, signal),
  })
  /** Undoes what has been started, in reverse, should a later part fail. */
  await using cleanup = new AsyncDisposableStack()
  const reach = await startReach({ identity, seed, store, config, emit, table, cleanup })
  later.reach = reach
  const parts = { identity, reach, signer, store, config, emit, authorityChanged, cleanup }
  const membership = await openMembership(parts)
  const authorities = createAuthorities(parts)
  Object.assign(later, { membership, authorities })
  await startMembership(membership, parts)
  await startAuthorities(authorities, membership, parts)
  reach.network.addEventListener('self:peer:update', () =>
    membership.announce({ addresses: reach.announced() }),
  )
  const reconnect = startReconnect({ ...parts, membership })
  const lastFailure: RunningMesh['lastFailure'] = (id) =>
    tellingFailure(reach.sessions.lastFailure(id), reconnect.lastFailure(id) ?? undefined)
  const tunnels = tunnelsOf(identity, reach, membership, lastFailure)
  const services = await startServices({
    self: identity.own.member,
    domain: identity.mesh.root.document.domain,
    localLabel: init.localLabel,
    membership,
    config,
    store,
    clock: systemClock,
    timers: systemTimers,
    emit,
    openChannel: (id) => tunnels.open(id),
  })
  cleanup.defer(() => services.stop())
  tunnels.serve(services.provider)
  const running = cleanup.move()
  return {
    ...views(identity, reach, membership, authorities),
    get self() {
      return identity.own.member
    },
    services,
    lastFailure,
    async ping(id, signal) {
      try {
        await reach.connections.to(id, signal)
        return await reach.network.services.ping.ping(peerIdFromString(id), { signal })
      } catch (cause) {
        throw tunnels.unreachable(id, cause)
      }
    },
    stop: () => running.disposeAsync(),
  }
}

function tunnelsOf(
  { mesh, gatekeeper }: Identity,
  { muxes, connections }: Reach,
  membership: MembershipService,
  lastFailure: RunningMesh['lastFailure'],
): Tunnels {
  return createTunnels({
    muxes,
    meshId: mesh.root.meshId,
    connections,
    proved: (id) => gatekeeper.proved(id),
    nameOf: (id) => membership.member(id)?.name ?? id,
    lastFailure,
  })
}

/** What the parts show of themselves. */
function views(
  { mesh, selfId, issuer, revocations, gatekeeper }: Identity,
  reach: Reach,
  membership: MembershipService,
  authorities: Authorities,
): Omit<RunningMesh, 'self' | 'services' | 'lastFailure' | 'ping' | 'stop'> {
  const { network, sessions, ways, connections, traversal, portMapping } = reach
  return {
    mesh,
    membership,
    sessions,
    ways,
    traversal,
    portMapping,
    issuer,
    revocations,
    sendAuthority: (certificate) => authorities.delivery.send(certificate),
    heldAuthorities: () => authorities.held(),
    revoke(revocation) {
      const before = revocations.set.hash()
      membership.revoke(revocation)
      return compareBytes(before, revocations.set.hash()) !== 0
    },
    doors: () => doorsOf(reach, membership, selfId),
    listen: () => network.getMultiaddrs().map(String),
    pathTo: (id) => connections.pathTo(id),
    viaTo: (id) => connections.viaTo(id),
    proved: (id) => gatekeeper.proved(id),
  }
}

/** Own addresses first; other members' make them doors, for a newcomer that cannot reach this node. */
function doorsOf(reach: Reach, membership: MembershipService, selfId: string): string[] {
  const own = fullAddresses(reach.announced(), selfId)
  const others = membership.members().filter((member) => member.state === 'alive' && !member.self)
  return [
    ...own.slice(0, OWN_DOORS),
    ...others.flatMap(({ id }) =>
      fullAddresses(membership.addressesOf(id), id).slice(0, ADDRESSES_PER_MEMBER),
    ),
  ]
}
