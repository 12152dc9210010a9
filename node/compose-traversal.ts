import { ipMultiaddr } from '../bootstrap/ip-bytes.ts'
import type { Stream } from '@libp2p/interface'
import type { EmitEvent } from '../protocols/common/ports.ts'
import type { MuxRegistry } from '../protocols/mux/registry.ts'
import { ipKey, isInternetV6, sameIp, scopeOf, type Endpoint } from '../protocols/traversal/endpoint.ts'
import type { TraversalCode } from '../protocols/traversal/errors.ts'
import { reflectorsAmong, type ReflectorPlace } from '../protocols/traversal/public-places.ts'
import { reachedOutside } from '../protocols/traversal/reached-outside.ts'
import { steadyClock, systemRandom, systemTimers } from './system-ports.ts'
import { endpointOf } from './transport/addresses.ts'
import type { MemberPlaces } from './transport/member-places.ts'
import type { MeshNode } from './transport/mesh-node.ts'
import { ownAddresses } from './transport/own-addresses.ts'
import { PunchedSockets } from './transport/punched-sockets.ts'
import type { ReadyConnections } from './transport/ready-connections.ts'
import { netcheck } from './traversal/netcheck.ts'
import { endpointsTowards } from './traversal/own-v6.ts'
import { OwnNat } from './traversal/own-nat.ts'
import { PunchService } from './traversal/punch-service.ts'
import { ReflectService } from './traversal/reflect-service.ts'
import { reflectFrom } from './traversal/reflecting.ts'
import type { Reflector } from './traversal/reflector.ts'

/** What traversal is made of. */
export interface TraversalParts {
  readonly meshId: Uint8Array
  readonly selfId: string
  readonly network: MeshNode
  readonly muxes: MuxRegistry
  readonly ready: ReadyConnections
  readonly reflector: Reflector
  /** Opens a stream over what leads to the peer now. */
  readonly openStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  /** Opens a stream over a direct connection. */
  readonly openDirectStream: (peerId: string, protocol: string, signal: AbortSignal) => Promise<Stream>
  readonly isMember: (peerId: string) => boolean
  /** The address at which a relay sees a peer. */
  readonly seenAt: (peerId: string) => Uint8Array | undefined
  /** Both sides met directly, whoever began. */
  readonly met: (peerId: string) => void
  /** Multiaddrs a member announces. */
  readonly addressesOf: (peerId: string) => readonly string[]
  /** Members that are reached from the internet, and where. */
  readonly places: () => readonly MemberPlaces[]
  /** Round trip to a neighbour in ms, null when it is not known. */
  readonly rttOf: (peerId: string) => number | null
  /** The mapping of the mesh port at the router, where there is one. */
  readonly router: () => { readonly externalAddress: Uint8Array; readonly externalPort: number } | null
  /** Told after each measurement of the own NAT. */
  readonly natChanged: (isNews: boolean) => void
  readonly emit: EmitEvent
}

/** Traversal, running. */
export interface RunningTraversal {
  readonly nat: OwnNat
  /**
   * Where members reached this node's port from outside, as `/ip4/…/tcp/…`: a port forwarded by hand, or a server behind its
   * provider's translation. Undefined where they did not, or where what they see differs.
   */
  reachedAddress(): string | undefined
  /** The member that is asked at this endpoint, or at another port of its address. */
  peerAt(endpoint: Endpoint): string | undefined
  /** Both sides dial at once; null when it led to a connection. */
  punch(peerId: string, signal: AbortSignal): Promise<TraversalCode | null>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Reflectors, hole punching and the measurement of the own NAT. */
export function createTraversal(parts: TraversalParts): RunningTraversal {
  const { network, meshId, muxes, reflector, isMember, emit } = parts
  const reflecting = new ReflectService({
    network,
    meshId,
    reflector,
    openStream: parts.openDirectStream,
    isMember,
    timers: systemTimers,
    emit,
  })
  const ask = reflecting.ask.bind(reflecting)
  const places = (): ReflectorPlace[] => reflectorsAmong(parts.places(), parts.rttOf)
  const v6Of = (peerId: string): Endpoint[] =>
    parts
      .addressesOf(peerId)
      .flatMap((address) => endpointOf(address) ?? [])
      .filter(({ ip }) => isInternetV6(ip))
  const nat = new OwnNat({
    measure: (signal) =>
      netcheck({
        places: places(),
        ask,
        meshPort: meshPortOf(network, reflector, parts.router()?.externalPort),
        routerOutside: parts.router()?.externalAddress ?? null,
        timers: systemTimers,
        random: systemRandom,
        signal,
      }),
    reflectors: () => new Set(places().map(({ endpoint }) => ipKey(endpoint.ip))).size,
    wasDialled: () => isDialledFromTheInternet(muxes),
    changed: parts.natChanged,
    clock: steadyClock,
    timers: systemTimers,
    emit,
  })
  const sockets = new PunchedSockets(parts.ready)
  const punches = new PunchService({
    network,
    meshId,
    selfId: parts.selfId,
    openStream: parts.openStream,
    isMember,
    vouchedOf(peerId) {
      const direct = muxes.list(peerId).find(({ via }) => via === null)
      const ip = (direct === undefined ? undefined : endpointOf(direct.remote)?.ip) ?? parts.seenAt(peerId)
      // Where nobody can say it, nothing is dialled: whoever names endpoints may name a victim's.
      return [...(ip === undefined ? [] : [ip]), ...v6Of(peerId).map((endpoint) => endpoint.ip)]
    },
    hasV6: (peerId) => v6Of(peerId).length > 0 && ownAddresses().some(isInternetV6),
    standing: () => nat.standing(),
    standingOf: () => null, // the exchange says it
    reflect: (peerId, port, signal) =>
      endpointsTowards(v6Of(peerId)[0] ?? null, port.number, () =>
        reflectFrom(port, places(), ask, systemTimers, signal),
      ),
    made(peerId, socket, role, remote) {
      parts.met(peerId)
      sockets.take(peerId, socket, role, remote)
    },
    clock: steadyClock,
    timers: systemTimers,
    random: systemRandom,
    emit,
  })
  return {
    nat,
    reachedAddress() {
      const observations = nat.latest?.observations
      const port = meshPortOf(network, reflector, parts.router()?.externalPort)?.port
      if (observations === undefined || port === undefined) return undefined
      const outside = reachedOutside(observations, ownAddresses(), nat.askedOf)
      return outside === null ? undefined : `${ipMultiaddr(outside)}/tcp/${port}`
    },
    peerAt: ({ ip }) => places().find(({ endpoint }) => sameIp(endpoint.ip, ip))?.peer,
    async punch(peerId, signal) {
      const punched = await punches.attempt(peerId, signal)
      if (punched.path === 'relay') return punched.reason
      return (await sockets.made(peerId)) ? null : 'endpoint-silent'
    },
    async start() {
      await reflecting.start()
      await punches.start()
    },
    async stop() {
      await nat.stop()
      sockets.stop()
      await punches.stop()
      await reflecting.stop()
    },
  }
}

/** Whether a member dialled this node from the internet: its port is reached. */
function isDialledFromTheInternet(muxes: MuxRegistry): boolean {
  return muxes.list().some(({ via, dialled, isPunched, remote }) => {
    const endpoint = endpointOf(remote)
    const isUnasked = via === null && !dialled && !isPunched
    return isUnasked && endpoint !== undefined && scopeOf(endpoint.ip) === 'public'
  })
}

function meshPortOf(
  network: MeshNode,
  { raw }: Reflector,
  mappedPort: number | undefined,
): { port: number; openings: Reflector['raw'] } | null {
  const ports = network.getMultiaddrs().flatMap((address) => endpointOf(address.toString())?.port ?? [])
  const port = mappedPort ?? ports[0]
  return port === undefined ? null : { port, openings: raw }
}
