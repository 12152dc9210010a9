import { peerIdFromString } from '@libp2p/peer-id'
import { parseBootstrapAddresses, validBootstrapAddresses } from '../bootstrap/addresses.ts'
import type { Member } from '../protocols/admission/certificates.ts'
import { compareBytes } from '../protocols/common/bytes.ts'
import { RecordCopies } from '../protocols/registry/record-copies.ts'
import { keyFromPeerId, peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { EmitEvent, Signer, Store } from '../protocols/common/ports.ts'
import { MuxRegistry } from '../protocols/mux/registry.ts'
import { MembershipService } from '../protocols/membership/service.ts'
import { openFirstMessageGuard } from '../protocols/replay/keeper.ts'
import { SessionRegistry } from '../protocols/secure-channel/sessions.ts'
import type { Config } from './config/schema.ts'
import { askAny, authoritiesIn, readAuthority, renewers, watchAuthorities } from './membership/authorities.ts'
import { AuthorityDelivery } from './membership/authority-delivery.ts'
import { createGatekeeper } from './membership/gatekeeper.ts'
import { Issuer } from './membership/issuer.ts'
import { JoinForward } from './membership/join-forward.ts'
import { saveAuthority, saveCredentials, type StoredMesh } from './membership/mesh-store.ts'
import { OwnCertificate } from './membership/own-certificate.ts'
import { startNearby } from './membership/nearby-members.ts'
import { startReconnecting } from './membership/reconnecting.ts'
import { Renewal } from './membership/renewal.ts'
import { cutConnections, Revocations } from './membership/revocations.ts'
import { storedServices } from './services/publications.ts'
import { startServices, type Services } from './services/services.ts'
import { createTunnels } from './services/tunnels.ts'
import { steadyClock, systemClock, systemRandom, systemTimers } from './system-ports.ts'
import { announcedAddresses } from './transport/addresses.ts'
import { refuseDowngrades } from './transport/compat.ts'
import { RecordDatastore } from './transport/record-datastore.ts'
import { RecordStore } from './transport/record-store.ts'
import { createConnections, type Connections } from './transport/connections.ts'
import type { MeshNode } from './transport/mesh-node.ts'
import { Reflector } from './traversal/reflector.ts'
import { startNetwork, stopNetwork } from './compose-network.ts'
import { startPaths, type RunningPaths } from './compose-paths.ts'
import { mappedAddress, startPortMapping, type RunningPortMapping } from './compose-port-mapping.ts'
import { createTraversal, type RunningTraversal } from './compose-traversal.ts'

/** Addresses of each other member put into invites and join replies. */
const ADDRESSES_PER_MEMBER = 2
/** Addresses a registration record holds (protocols/registry). */
const ADDRESSES_MAX = 8
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
  const { signer, store, config, emit } = init
  const { root } = init.mesh
  const sessions = new SessionRegistry()
  const muxes = new MuxRegistry()
  /** Parts that others name before they exist: the transport needs the door, the door needs the transport. */
  const later: {
    membership?: MembershipService
    forward?: JoinForward
    network?: MeshNode
    renewal?: Renewal
    connections?: Connections
    traversal?: RunningTraversal
    portMapping?: RunningPortMapping
  } = {}
  const members = (): MembershipService => started(later.membership)
  const addressesOf = (id: string): string[] => fullAddresses(later.membership?.addressesOf(id) ?? [], id)
  const selfId = peerIdFromKey(signer.publicKey)
  const revocations = await Revocations.open({
    root,
    store,
    timers: systemTimers,
    emit,
    nameOf: (id) => later.membership?.member(id)?.name,
  })
  const isCut = (key: Uint8Array): boolean => revocations.set.cutFrom(key) <= systemClock.now()
  const mesh = isCut(signer.publicKey) ? { ...init.mesh, authority: null } : init.mesh
  /** Where this node says it is: where the router leads to it, and its own addresses. */
  const announced = (): string[] => {
    const outside = [
      mappedAddress(later.portMapping?.state()?.mapping),
      later.traversal?.reachedAddress(),
    ].filter((address) => address !== undefined)
    const own = announcedAddresses(started(later.network).getMultiaddrs())
    return [...new Set([...outside, ...own])].slice(0, ADDRESSES_MAX)
  }
  const doors = (): string[] => doorsOf(selfId, announced(), members(), addressesOf)
  const admits = mesh.authority !== null && readAuthority(mesh.authority).roles.includes('admit')
  const issuer =
    mesh.authority !== null && admits
      ? await openIssuer(init, mesh.authority, members, doors, revocations)
      : null
  const issue = issuer === null ? null : (member: Member): Uint8Array => issuer.renew(member)
  const own = new OwnCertificate({
    root,
    selfKey: signer.publicKey,
    credentials: mesh.credentials,
    clock: systemClock,
    timers: systemTimers,
    emit,
    issue,
    ask: (issuerId, signal) =>
      askAny(renewers(issuerId, selfId, members(), isCut), (id) => started(later.renewal).ask(id, signal)),
    save: (credentials) => saveCredentials(store, credentials),
    renewed: (credentials) => later.membership?.renew(credentials),
  })
  if (issue !== null) await own.renewIfDue() // before anybody sees the old one
  const self = own.member

  const gatekeeper = createGatekeeper(
    {
      root,
      clock: systemClock,
      emit,
      // An authority itself lets those in whose certificate ended lately: how else could they have it renewed?
      authorityReachable: (issuers) =>
        mesh.authority === null &&
        (later.membership?.members() ?? []).some(
          (member) => member.state === 'alive' && issuers.has(member.id),
        ),
      credentialsOf: (id) => later.membership?.member(id)?.entry.credentials,
      revoked: revocations.set.isRevoked,
    },
    self,
  )
  const redeem = issuer === null ? null : (request: Uint8Array): Promise<Uint8Array> => issuer.redeem(request)
  /** Undoes what has been started, in reverse, should a later part fail. */
  await using cleanup = new AsyncDisposableStack()
  const { guard, keeper } = await openFirstMessageGuard({
    store,
    clock: systemClock,
    timers: systemTimers,
    onError: (error) =>
      emit({
        kind: 'replay.unsaved',
        severity: 'warning',
        reason: 'replay-memory-unsaved',
        text: (error as Error).message,
      }),
  })
  cleanup.defer(() => keeper.stop())
  const records = {
    copies: new RecordCopies({
      root,
      clock: systemClock,
      authorityReachable: () => gatekeeper.authorityReachable(),
      revoked: revocations.set.isRevoked,
      known: (id) => later.membership?.member(id)?.registration ?? undefined,
    }),
    datastore: new RecordDatastore(systemClock),
  }
  const reflector = new Reflector({
    clock: steadyClock,
    timers: systemTimers,
    random: systemRandom,
    hasExtraPort: true,
  })
  const { network, ready } = await startNetwork({
    meshId: root.meshId,
    seed: init.seed,
    selfKey: signer.publicKey,
    config,
    emit,
    own,
    gatekeeper,
    sessions,
    muxes,
    guard,
    records,
    redeem,
    forward: () => started(later.forward),
    reflection: reflector.raw,
  })
  later.network = network
  cleanup.defer(() => stopNetwork(network))
  const ways = startPaths({
    meshId: root.meshId,
    selfId,
    network,
    muxes,
    ready,
    membership: () => later.membership,
    connections: () => started(later.connections),
    isRelay: config.relay,
    punch: (id, signal) => started(later.traversal).punch(id, signal),
    isReached: () => later.traversal?.nat.isReached() ?? null,
    networkChanged() {
      later.portMapping?.networkChanged()
      later.traversal?.nat.forget()
    },
    relaysChanged: (relays) => later.membership?.announce({ relays }),
    emit,
  })
  cleanup.defer(() => ways.stop())
  const recordStore = new RecordStore({
    network,
    ...records,
    selfId,
    ownEntry: () => later.membership?.member(selfId)?.entry,
    timers: systemTimers,
    random: systemRandom,
    emit,
  })
  const connections = createConnections({
    network,
    muxes,
    circuits: () => ways.circuits,
    relaysTo: (id) => ways.relaysTo(id),
    known: addressesOf,
    async lookUp(id, signal) {
      const statement = (await recordStore.find(id, signal))?.statement
      return statement?.kind === 'registration' ? fullAddresses(statement.addresses, id) : []
    },
  })
  later.connections = connections
  const traversal = createTraversal({
    meshId: root.meshId,
    selfId,
    network,
    muxes,
    ready,
    reflector,
    openStream: (id, protocol, signal) => connections.openStream(id, protocol, signal),
    openDirectStream: async (id, protocol, signal) =>
      (await connections.directTo(id, signal)).newStream(protocol, { signal }),
    isMember: (id) => gatekeeper.proved(id) !== undefined,
    seenAt: (id) => ways.circuits.seenAt(id),
    met: (id) => ways.tries.met(id),
    rttOf: (id) => later.membership?.member(id)?.rttMs ?? null,
    router: () => later.portMapping?.state()?.mapping ?? null,
    natChanged() {
      later.membership?.announce({ addresses: announced() })
      ways.reservations.look()
      ways.paths.natChanged()
    },
    emit,
  })
  later.traversal = traversal
  await traversal.start()
  cleanup.defer(() => traversal.stop())

  const forward = new JoinForward({
    network,
    meshId: root.meshId,
    openStream: (id, protocol, signal) => connections.openStream(id, protocol, signal),
    isMember: (id) => gatekeeper.proved(id) !== undefined,
    redeem,
    timers: systemTimers,
    emit,
  })
  revocations.onChange(() => {
    cutConnections(network, gatekeeper)
    if (mesh.authority !== null && isCut(signer.publicKey)) init.authorityChanged()
  })
  cleanup.defer(() => revocations.flush())
  const membership = new MembershipService({
    network,
    root,
    signer,
    credentials: own.credentials,
    announcement: {
      addresses: announced(),
      relays: [],
      // What a door once published stays in the store until it is started as something else.
      services: config.door ? [] : await storedServices(store, systemClock),
    },
    clock: systemClock,
    random: systemRandom,
    timers: systemTimers,
    store,
    emit,
    authorityReachable: () => gatekeeper.authorityReachable(),
    revocations: revocations.set,
  })
  const renewal = new Renewal({
    network,
    meshId: root.meshId,
    openStream: (id, protocol, signal) => connections.openStream(id, protocol, signal),
    proved: (id) => gatekeeper.proved(id),
    issue,
    emit,
  })
  const delivery = new AuthorityDelivery({
    network,
    root,
    selfKey: signer.publicKey,
    openStream: (id, protocol, signal) => connections.openStream(id, protocol, signal),
    isMember: (id) => gatekeeper.proved(id) !== undefined,
    isCut,
    heldUntil: () => (mesh.authority === null ? 0 : readAuthority(mesh.authority).notAfter),
    keep: (certificate) => saveAuthority(store, certificate),
    received: () => init.authorityChanged(),
    store,
    clock: systemClock,
    timers: systemTimers,
    emit,
  })
  const heldAuthorities = (): Uint8Array[] => [
    ...delivery.known(),
    ...(mesh.authority === null ? [] : [mesh.authority]),
  ]
  Object.assign(later, { membership, forward, renewal })
  refuseDowngrades(network, (id) => membership.member(id) !== undefined, emit)
  await membership.start()
  cleanup.defer(() => membership.stop())
  const portMapping = startPortMapping({
    config,
    network,
    changed() {
      membership.announce({ addresses: announced() })
      traversal.nat.forget()
    },
    emit,
  })
  later.portMapping = portMapping
  cleanup.defer(() => portMapping.stop())
  recordStore.start()
  cleanup.defer(() => recordStore.stop())
  membership.onChange((ids) => {
    if (ids.includes(selfId)) recordStore.changed()
    for (const id of ids) if (ways.tries.hasNews(id)) ways.paths.tryNow(id)
  })
  await forward.start()
  cleanup.defer(() => forward.stop())
  await delivery.start()
  cleanup.defer(() => delivery.stop())
  await renewal.start()
  cleanup.defer(() => renewal.stop())
  cleanup.defer(
    watchAuthorities({
      list: () => authoritiesIn(membership, heldAuthorities(), isCut),
      clock: systemClock,
      timers: systemTimers,
      emit,
    }),
  )
  own.start()
  cleanup.defer(() => own.stop())
  network.addEventListener('self:peer:update', () => membership.announce({ addresses: announced() }))
  const lists = [...validBootstrapAddresses(mesh.bootstrap), ...parseBootstrapAddresses(config.bootstrap)]
  const nearby = config.mdns
    ? startNearby({
        meshId: root.meshId,
        selfKey: signer.publicKey,
        config,
        network,
        membership,
        lists,
        isCut,
        found: (id, addresses) => reconnect.sighted(id, addresses),
        emit,
      })
    : null
  const reconnect = startReconnecting({
    lists,
    selfId,
    network,
    membership,
    connections,
    addressesOf,
    nearby,
    isSilent: (id) => muxes.list(id).length > 0 && !muxes.has(id),
    isCut: (id) => isCut(keyFromPeerId(id)),
    emit,
  })
  cleanup.defer(() => reconnect.stop())
  if (nearby !== null) cleanup.defer(() => nearby.stop())
  const lastFailure = (id: string): { code: string; text: string } | undefined =>
    sessions.lastFailure(id) ?? reconnect.lastFailure(id) ?? undefined
  const tunnels = createTunnels({
    muxes,
    meshId: root.meshId,
    connections,
    proved: (id) => gatekeeper.proved(id),
    nameOf: (id) => membership.member(id)?.name ?? id,
    lastFailure,
  })
  const services = await startServices({
    self,
    domain: root.document.domain,
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
    mesh,
    get self() {
      return own.member
    },
    membership,
    sessions,
    services,
    ways,
    traversal,
    portMapping,
    issuer,
    sendAuthority: (certificate) => delivery.send(certificate),
    heldAuthorities,
    revocations,
    revoke(revocation) {
      const before = revocations.set.hash()
      membership.revoke(revocation)
      return compareBytes(before, revocations.set.hash()) !== 0
    },
    doors,
    listen: () => network.getMultiaddrs().map(String),
    pathTo: (id) => connections.pathTo(id),
    viaTo: (id) => connections.viaTo(id),
    lastFailure,
    proved: (id) => gatekeeper.proved(id),
    async ping(id, signal) {
      try {
        await connections.to(id, signal)
        return await network.services.ping.ping(peerIdFromString(id), { signal })
      } catch (cause) {
        throw tunnels.unreachable(id, cause)
      }
    },
    stop: () => running.disposeAsync(),
  }
}

/** Full multiaddrs from those of a registration, which leave the peer out. */
function fullAddresses(addresses: readonly string[], id: string): string[] {
  return addresses.map((address) => `${address}/p2p/${id}`)
}

function openIssuer(
  init: MeshInit,
  authorityCertificate: Uint8Array,
  members: () => MembershipService,
  bootstrap: () => string[],
  revocations: Revocations,
): Promise<Issuer> {
  const { mesh, signer, store, emit } = init
  return Issuer.open({
    root: mesh.root,
    signer,
    authorityCertificate,
    store,
    clock: systemClock,
    random: systemRandom,
    emit,
    nameTaken: (name, joinerKey) =>
      members()
        .members()
        .some((member) => member.name === name && compareBytes(member.key, joinerKey) !== 0),
    bootstrap,
    isRevoked: (joinerKey) => revocations.set.isKeyRevoked(joinerKey),
  })
}

/** Own addresses first; other members' make them doors, for a newcomer that cannot reach this node. */
function doorsOf(
  selfId: string,
  announced: readonly string[],
  membership: MembershipService,
  addressesOf: (id: string) => string[],
): string[] {
  const own = announced.map((address) => `${address}/p2p/${selfId}`)
  const others = membership.members().filter((member) => member.state === 'alive' && !member.self)
  return [
    ...own.slice(0, OWN_DOORS),
    ...others.flatMap((member) => addressesOf(member.id).slice(0, ADDRESSES_PER_MEMBER)),
  ]
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('used before the mesh had started')
  return part
}
