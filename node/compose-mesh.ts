import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { parseBootstrapAddress, type BootstrapAddress } from '../bootstrap/addresses.ts'
import type { Target } from '../bootstrap/reconnect.ts'
import { ReconnectLoop } from '../bootstrap/reconnect-loop.ts'
import { checkCredentials, type Member } from '../protocols/admission/certificates.ts'
import { id8Of } from '../protocols/admission/root.ts'
import { toHex } from '../protocols/common/bytes.ts'
import { peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { EmitEvent, Signer, Store } from '../protocols/common/ports.ts'
import { MembershipService } from '../protocols/membership/service.ts'
import { joinDoor } from '../protocols/secure-channel/exchange.ts'
import { secureChannel, type PeerClaim, type PeerVerdict } from '../protocols/secure-channel/service.ts'
import { SessionRegistry } from '../protocols/secure-channel/sessions.ts'
import { byteStream } from '../protocols/tunnel/byte-stream.ts'
import { TunnelError } from '../protocols/tunnel/errors.ts'
import type { Config } from './config/schema.ts'
import { createDoor } from './membership/door.ts'
import { Issuer } from './membership/issuer.ts'
import { JoinForward } from './membership/join-forward.ts'
import type { StoredMesh } from './membership/mesh-store.ts'
import { startServices, type Services } from './services/services.ts'
import { systemClock, systemRandom, systemTimers } from './system-ports.ts'
import { announcedAddresses } from './transport/addresses.ts'
import { startLibp2p, type MeshNode } from './transport/libp2p.ts'

/** Streams a member may have open to this node's services over one connection, beyond the provider's own count. */
const TUNNEL_STREAMS_MAX = 4096
/** A new stream to a peer we are connected to; longer means that the connection is dead. */
const STREAM_TIMEOUT_MS = 5000

/** What a mesh is run with. */
export interface MeshInit {
  readonly mesh: StoredMesh
  readonly seed: Uint8Array
  readonly signer: Signer
  readonly store: Store
  readonly config: Config
  /** The random label of `http://NAME.<label>.localhost`. */
  readonly localLabel: string
  readonly emit: EmitEvent
}

/** A node inside its mesh, running. */
export interface RunningMesh {
  readonly mesh: StoredMesh
  /** This node as its certificate names it. */
  readonly self: Member
  readonly membership: MembershipService
  readonly sessions: SessionRegistry
  readonly services: Services
  /** Null on a node that is no admit authority. */
  readonly issuer: Issuer | null
  /** Multiaddrs with this node's /p2p/ that others are told, and those it listens on. */
  announced(): string[]
  listen(): string[]
  pathTo(peerId: string): 'direct' | 'relay' | 'none'
  lastFailure(peerId: string): { code: string; text: string } | undefined
  /** Round trip in ms. @throws TunnelError `peer-unreachable`. */
  ping(peerId: string, signal: AbortSignal): Promise<number>
  stop(): Promise<void>
}

/**
 * Starts everything that exists only inside a mesh: transport, membership, admission, services.
 * @throws KithError for ports in use and credentials that no longer hold.
 */
export async function startMesh(init: MeshInit): Promise<RunningMesh> {
  const { mesh, seed, signer, store, config, emit } = init
  const { root } = mesh
  const clock = systemClock
  const selfId = peerIdFromKey(signer.publicKey)
  const sessions = new SessionRegistry()
  /** Members by peer id as their last handshake proved them; bounded by the session registry's room and the table. */
  const proved = new Map<string, Member>()
  const knownIssuers = new Set<string>()

  const authorityReachable = (): boolean => mesh.authority !== null || (membership?.members() ?? []).some((member) => member.state === 'alive' && knownIssuers.has(member.id))
  const checkPeer = ({ key, id, credentials }: PeerClaim): PeerVerdict => {
    const checked = checkCredentials({ root, credentials, peerKey: key, now: clock.now(), authorityReachable: authorityReachable() })
    if (!checked.ok) return checked
    if (checked.warning !== null) emit({ kind: 'certificate.expired', severity: 'warning', peer: id, reason: checked.warning, text: 'accepted while no authority can be reached' })
    proved.set(id, checked.member)
    knownIssuers.add(peerIdFromKey(checked.member.issuer))
    return { ok: true }
  }
  const own = checkCredentials({ root, credentials: mesh.credentials, peerKey: signer.publicKey, now: clock.now(), authorityReachable: false })
  if (!own.ok) throw new TunnelError('no-mesh', `This node's own certificate does not hold: ${own.text}`)
  knownIssuers.add(peerIdFromKey(own.member.issuer))

  let membership: MembershipService | undefined
  let libp2p: MeshNode | undefined
  let forward: JoinForward | undefined

  const issuer = mesh.authority === null ? null : await openIssuer()
  const redeem = issuer === null ? null : (request: Uint8Array) => issuer.redeem(request)
  const identity = { meshId: root.meshId, seed, clock, random: systemRandom }
  const door = createDoor({
    selfKey: signer.publicKey,
    redeem,
    forwardTo: (issuerId, request, signal) => started(forward).forwardTo(issuerId, request, signal),
    timers: systemTimers,
    emit,
  })
  libp2p = await startLibp2p({
    seed,
    id8: id8Of(root.meshId),
    listen: config.listen,
    announce: config.announce,
    encrypters: [
      secureChannel({ ...identity, emit, defer: queueMicrotask, credentials: () => mesh.credentials, checkPeer, sessions }),
      joinDoor({ ...identity, emit }, door),
    ],
  })
  const network = libp2p

  const addressesOf = (id: string): string[] => {
    const registration = membership?.member(id)?.registration
    return (registration?.addresses ?? []).map((address) => `${address}/p2p/${id}`)
  }
  const dial = ({ addresses }: Target, signal: AbortSignal): Promise<Connection> => network.dial(addresses.map((address) => multiaddr(address)), { signal })
  const connectionTo = async (id: string, signal: AbortSignal): Promise<Connection> => {
    const open = network.getConnections(peerIdFromString(id)).find((connection) => connection.status === 'open')
    if (open !== undefined) return open
    const addresses = addressesOf(id)
    if (addresses.length === 0) throw new Error('no address of it is known')
    return dial({ peer: id, addresses }, signal)
  }
  const openStream = async (id: string, protocol: string, signal: AbortSignal): Promise<Stream> => {
    const connection = await connectionTo(id, signal)
    return connection.newStream(protocol, { signal, maxOutboundStreams: TUNNEL_STREAMS_MAX, runOnLimitedConnection: true })
  }

  async function openIssuer(): Promise<Issuer> {
    return Issuer.open({
      root,
      signer,
      authorityCertificate: mesh.authority as Uint8Array,
      store,
      clock,
      random: systemRandom,
      emit,
      nameTaken: (name, joinerKey) => started(membership).members().some((member) => member.name === name && toHex(member.key) !== toHex(joinerKey)),
      bootstrap: () => [...announced(), ...(membership?.members() ?? []).filter((member) => member.state === 'alive' && !member.self).flatMap((member) => addressesOf(member.id).slice(0, 2))],
    })
  }
  const announced = (): string[] => announcedAddresses(network.getMultiaddrs()).map((address) => `${address}/p2p/${selfId}`)

  forward = new JoinForward({ network, meshId: root.meshId, openStream, isMember: (id) => proved.has(id), redeem, timers: systemTimers, emit })
  membership = new MembershipService({
    network,
    root,
    signer,
    credentials: mesh.credentials,
    announcement: { addresses: announcedAddresses(network.getMultiaddrs()), relays: [], services: [] },
    clock,
    random: systemRandom,
    timers: systemTimers,
    store,
    emit,
    authorityReachable,
  })
  const members = membership
  await members.start()
  await forward.start()

  const bootstrap = new Map<string, string[]>()
  for (const address of [...mesh.bootstrap, ...config.bootstrap]) addBootstrap(bootstrap, parseBootstrapAddress(address), selfId)
  const reconnect = new ReconnectLoop({
    clock,
    timers: systemTimers,
    random: systemRandom,
    emit,
    wanted: () => members.wantedNeighbours().map((peer) => ({ peer, addresses: addressesOf(peer) })),
    fallback: () => [...bootstrap].map(([peer, addresses]) => ({ peer, addresses })),
    connected: () => network.getPeers().map((peer) => peer.toString()),
    dial,
    failed: (peer, failure) => members.dialFailed(peer, failure.code === 'dial-refused'),
  })
  reconnect.start()
  network.addEventListener('self:peer:update', () => members.announce({ addresses: announcedAddresses(network.getMultiaddrs()) }))

  const lastFailure = (id: string): { code: string; text: string } | undefined => sessions.lastFailure(id) ?? reconnect.lastFailure(id) ?? undefined
  const services = await startServices({
    self: own.member,
    domain: root.document.domain,
    localLabel: init.localLabel,
    membership: members,
    config,
    store,
    clock,
    emit,
    openStream: async (id) => {
      try {
        const stream = await openStream(id, tunnelProtocol(root.meshId), AbortSignal.timeout(STREAM_TIMEOUT_MS))
        return byteStream(stream)
      } catch (cause) {
        const why = lastFailure(id)?.text ?? (cause as Error).message
        const name = members.member(id)?.name ?? id
        throw new TunnelError('peer-unreachable', `No connection to ${name}: ${why}`, { cause })
      }
    },
  })
  await network.handle(
    tunnelProtocol(root.meshId),
    (stream, connection) => {
      const pipe = byteStream(stream)
      const requester = proved.get(connection.remotePeer.toString())
      if (requester === undefined) pipe.abort(new Error('a connection without credentials'))
      else void services.provider.serve(pipe, requester)
    },
    { maxInboundStreams: TUNNEL_STREAMS_MAX, runOnLimitedConnection: true },
  )

  return {
    mesh,
    self: own.member,
    membership: members,
    sessions,
    services,
    issuer,
    announced,
    listen: () => network.getMultiaddrs().map(String),
    pathTo(id) {
      const open = network.getConnections(peerIdFromString(id)).filter((connection) => connection.status === 'open')
      if (open.length === 0) return 'none'
      return open.some((connection) => connection.limits === undefined && !connection.remoteAddr.toString().includes('/p2p-circuit')) ? 'direct' : 'relay'
    },
    lastFailure,
    async ping(id, signal) {
      try {
        await connectionTo(id, signal)
        return await network.services.ping.ping(peerIdFromString(id), { signal })
      } catch (cause) {
        if (signal.aborted) signal.throwIfAborted()
        throw new TunnelError('peer-unreachable', `${members.member(id)?.name ?? id} cannot be reached: ${lastFailure(id)?.text ?? (cause as Error).message}`, { cause })
      }
    },
    async stop() {
      await reconnect.stop()
      await services.stop()
      await forward.stop()
      await members.stop()
      // libp2p destroys accepted sockets when it stops; closed first, both sides see an orderly end.
      await Promise.all(network.getConnections().map((connection) => connection.close().catch(() => connection.abort(new Error('stopping')))))
      await network.stop()
    },
  }
}

/** Protocol id of streams to services. */
function tunnelProtocol(meshId: Uint8Array): string {
  return `/kith/${id8Of(meshId)}/tunnel/1`
}

function addBootstrap(bootstrap: Map<string, string[]>, { peer, address }: BootstrapAddress, selfId: string): void {
  if (peer !== selfId) bootstrap.set(peer, [...(bootstrap.get(peer) ?? []), address])
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('used before the mesh had started')
  return part
}
