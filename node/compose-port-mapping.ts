import { scopeOf } from '../protocols/traversal/endpoint.ts'
import type { EmitEvent } from '../protocols/common/ports.ts'
import type { Config } from './config/schema.ts'
import type { Mapping } from './port-mapping/mapping-state.ts'
import { mappingClients, PortMapper, type PortMappingReport } from './port-mapping/port-mapper.ts'
import { steadyClock, systemRandom, systemTimers } from './system-ports.ts'
import { endpointOf, localityOf } from './transport/addresses.ts'
import type { MeshNode } from './transport/mesh-node.ts'
import { ownAddresses } from './transport/own-addresses.ts'

/** What a port mapping is made of. */
export interface PortMappingParts {
  readonly config: Config
  readonly network: MeshNode
  /** Told of another outside endpoint, or that there is none any more. */
  readonly changed: () => void
  readonly emit: EmitEvent
}

/** A port mapping that is kept, or not wanted. */
export interface RunningPortMapping {
  /** Null: not asked for, or of no use here. */
  state(): PortMappingReport | null
  /** Begins to ask. */
  start(): void
  networkChanged(): void
  stop(): Promise<void>
}

/**
 * Will ask the router for the mesh port, where one may stand in between: not where the mesh listens on loopback only, nor on a
 * machine that has a public IPv4 address.
 */
export function createPortMapping({ config, network, changed, emit }: PortMappingParts): RunningPortMapping {
  const port = wantedPort(config, network)
  if (port === undefined) {
    const nothing = (): void => undefined
    return { state: () => null, start: nothing, networkChanged: nothing, stop: () => Promise.resolve() }
  }
  const mapper = new PortMapper({
    port,
    clients: mappingClients(systemRandom),
    clock: steadyClock,
    timers: systemTimers,
    random: systemRandom,
    emit,
    changed,
  })
  let isStarted = false
  return {
    state: () => mapper.state(),
    start() {
      isStarted = true
      mapper.start()
    },
    networkChanged() {
      if (isStarted) mapper.networkChanged()
    },
    stop: () => mapper.stop(),
  }
}

/** `/ip4/…/tcp/…` at which the router leads to this node; undefined where it does not, or only to another NAT. */
export function mappedAddress(mapping: Mapping | null | undefined): string | undefined {
  if (mapping === null || mapping === undefined || scopeOf(mapping.externalAddress) !== 'public')
    return undefined
  return `/ip4/${mapping.externalAddress.join('.')}/tcp/${mapping.externalPort}`
}

function wantedPort(config: Config, network: MeshNode): number | undefined {
  if (!config.portmap || ownAddresses().some((ip) => ip.length === 4 && scopeOf(ip) === 'public'))
    return undefined
  const far = network
    .getMultiaddrs()
    .map((address) => address.toString())
    .filter((address) => address.startsWith('/ip4/') && localityOf(address) !== 'loopback')
  return far.flatMap((address) => endpointOf(address)?.port ?? [])[0]
}
