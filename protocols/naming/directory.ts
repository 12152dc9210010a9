import { compareBytes } from '../common/bytes.ts'

/** What naming needs to know of one member; taken from its registration record and certificate. */
export interface NamedMember {
  readonly id: string
  readonly key: Uint8Array
  readonly name: string
  readonly state: 'alive' | 'suspect' | 'dead' | 'left'
  /** IP addresses the member can be found at, for its node name. */
  readonly addresses: readonly string[]
  readonly services: readonly NamedService[]
}

/** One published service as its record tells it. */
export interface NamedService {
  readonly name: string
  readonly proto: 'http' | 'https' | 'tcp'
  readonly port: number
  readonly healthy: boolean
  readonly allow: readonly string[]
  readonly crossSite: boolean
  /** When it was first published, ms since the epoch; decides a clash of names. */
  readonly publishedAt: number
}

/** A service name and the member that answers for it. */
export interface ServiceEntry {
  readonly service: NamedService
  readonly provider: NamedMember
}

/** All names of the mesh at one moment: a pure function of the member table. */
export interface Directory {
  /** By service name. */
  readonly services: ReadonlyMap<string, ServiceEntry>
  /** By node name. */
  readonly nodes: ReadonlyMap<string, NamedMember>
  /** Publications that lost their name to an earlier one, for the operator. */
  readonly clashes: readonly ServiceEntry[]
}

/**
 * Builds the directory. Until authorities grant names, a service name belongs to whoever published it first (then: lower
 * key); everyone computes the same answer from the same table, and the loser is told. The name under the node always works.
 */
export function buildDirectory(members: Iterable<NamedMember>): Directory {
  const services = new Map<string, ServiceEntry>()
  const nodes = new Map<string, NamedMember>()
  const clashes: ServiceEntry[] = []
  const ordered = [...members]
    .filter((member) => member.state !== 'left')
    .sort((a, b) => compareBytes(a.key, b.key))
  for (const provider of ordered) {
    if (!nodes.has(provider.name)) nodes.set(provider.name, provider)
    for (const service of provider.services) {
      const entry = { service, provider }
      const held = services.get(service.name)
      if (held === undefined) services.set(service.name, entry)
      else if (service.publishedAt < held.service.publishedAt) {
        services.set(service.name, entry)
        clashes.push(held)
      } else clashes.push(entry)
    }
  }
  return { services, nodes, clashes }
}
