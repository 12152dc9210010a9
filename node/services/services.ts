import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Member } from '../../protocols/admission/certificates.ts'
import type { Clock, EmitEvent, Store } from '../../protocols/common/ports.ts'
import type { MembershipService, MemberView } from '../../protocols/membership/service.ts'
import {
  buildDirectory,
  type Directory,
  type NamedService,
  type ServiceEntry,
} from '../../protocols/naming/directory.ts'
import { answerQuestion, type LocalEndpoint } from '../../protocols/naming/zone.ts'
import type { PublishInput } from '../api/schemas.ts'
import type { Config } from '../config/schema.ts'
import { startDnsServer, type DnsServer } from '../resolver/dns-server.ts'
import { listenFailure } from '../listening.ts'
import { ipOf } from '../transport/addresses.ts'
import { joinConnection } from './forward.ts'
import { createGateway, type Gateway } from './gateway/gateway.ts'
import { openServiceListeners, type ServiceListeners } from './listeners.ts'
import type { MeshView, ServiceMember } from './mesh-view.ts'
import { createProvider, type Provider } from './provider.ts'
import { openPublications, toRegisteredService, type Publication, type Publications } from './publications.ts'
import { createReach, type OpenStream, type Reach } from './reach.ts'

/** Ports below 1024 that `--privileged` adds. */
const DNS_PORT = 53
const HTTP_PORT = 80

/** What the services of a node are started with. */
export interface ServicesInit {
  readonly self: Member
  readonly domain: string
  readonly localLabel: string
  readonly membership: MembershipService
  readonly config: Config
  readonly store: Store
  readonly clock: Clock
  readonly emit: EmitEvent
  readonly openStream: OpenStream
}

/** Publishing, names and reaching, running. */
export interface Services {
  readonly mesh: MeshView
  readonly publications: Publications
  readonly provider: Provider
  readonly reach: Reach
  directory(): Directory
  /** Where this node listens for a service, if it does. */
  endpoint(entry: ServiceEntry): LocalEndpoint | undefined
  publish(input: PublishInput): Promise<Publication>
  unpublish(name: string): Promise<void>
  readonly dnsPort: number | null
  readonly gatewayPort: number | null
  stop(): Promise<void>
}

/** Starts names, gateway and listeners over the member table, which announces what was published before (`storedServices`). */
export async function startServices(init: ServicesInit): Promise<Services> {
  const { self, domain, membership, config, store, clock, emit } = init
  const stopped = new AbortController()
  /** Own services as published, not as last announced: announcements wait up to a second for each other. */
  let ownServices: () => readonly NamedService[] = () => []
  const mesh = meshView(init, () => ownServices())
  let directory = buildDirectory(mesh.members())
  let serial = 1

  const ownerOf = (name: string): string | undefined => {
    const owner = directory.services.get(name)?.provider
    return owner === undefined || owner.id === self.id ? undefined : owner.name
  }
  const publications = await openPublications(store, clock, ownerOf)
  ownServices = () => publications.list().map(toRegisteredService)
  const provider = createProvider(publications, self.id, emit)
  const reach = createReach({
    mesh,
    directory: () => directory,
    publications,
    provider,
    openStream: init.openStream,
  })
  const local = config.door
    ? undefined
    : await startLocal(init, reach, (question) => {
        const answer = answerQuestion(
          { domain, directory, endpoint, self: self.name, serial },
          question.name,
          question.type,
        )
        return answer
      })

  const endpoint = (entry: ServiceEntry): LocalEndpoint | undefined => {
    if (local === undefined) return undefined
    const owner = directory.services.get(entry.service.name)?.provider.id
    if (owner === entry.provider.id) return local.listeners.endpoint(entry.service.name)
    // A name under its node that lost the short name: HTTP is told apart by its Host on the shared address.
    return entry.service.proto === 'http' ? { address: '127.0.0.1', port: local.gatewayPort } : undefined
  }
  const follow = async (): Promise<void> => {
    directory = buildDirectory(mesh.members())
    serial = (serial + 1) >>> 0
    await local?.listeners.update(directory)
  }
  const announce = async (): Promise<void> => {
    membership.announce({ services: publications.list().map(toRegisteredService) })
    await follow()
  }
  mesh.onChange(() => void follow(), stopped.signal)
  await follow()

  return {
    mesh,
    publications,
    provider,
    reach,
    directory: () => directory,
    endpoint,
    dnsPort: local?.dns[0]?.port ?? null,
    gatewayPort: local?.gatewayPort ?? null,
    async publish(input) {
      const publication = await publications.add(input)
      try {
        await announce()
      } catch (error) {
        await publications.remove(input.name) // it did not fit into the record: as if it had never been asked for
        throw error
      }
      emit({
        kind: 'service.published',
        severity: 'info',
        fields: { service: input.name, proto: publication.proto },
      })
      return publication
    },
    async unpublish(name) {
      await publications.remove(name)
      await announce()
      emit({ kind: 'service.unpublished', severity: 'info', fields: { service: name } })
    },
    async stop() {
      stopped.abort()
      await local?.stop()
      provider.close()
    },
  }
}

/** What listens on this machine for its own programs. */
interface Local {
  readonly dns: readonly DnsServer[]
  readonly gatewayPort: number
  readonly listeners: ServiceListeners
  stop(): Promise<void>
}

async function startLocal(
  init: ServicesInit,
  reach: Reach,
  answer: (question: { name: string; type: string }) => ReturnType<typeof answerQuestion>,
): Promise<Local> {
  const { config, self, domain, localLabel, emit } = init
  const gateway = createGateway({ reach, domain, localLabel, emit })
  const connections = new Set<Socket>()
  const first = await listenGateway(gateway, connections, config.gateway.address, config.gateway.port)
  const gatewayPort = first.port
  const servers = [first.server]
  const dns: DnsServer[] = []
  const close = async (): Promise<void> => {
    await Promise.all(dns.map((server) => server.close()))
    gateway.close()
    for (const connection of connections) connection.destroy()
    for (const server of servers) {
      server.close()
      await once(server, 'close')
    }
  }
  try {
    dns.push(await startDnsServer('127.0.0.1', config.dns.port, answer))
    if (config.privileged) {
      servers.push((await listenGateway(gateway, connections, config.gateway.address, HTTP_PORT)).server)
      dns.push(await startDnsServer('127.0.0.1', DNS_PORT, answer))
    }
  } catch (error) {
    await close()
    throw error
  }
  const listeners = openServiceListeners({
    nodeId: self.id,
    gatewayPort,
    extraHttpPorts: config.privileged ? [HTTP_PORT] : [],
    hasOwnAddresses: process.platform === 'linux',
    accept: (connection, entry) => acceptLocal(gateway, reach, emit, connection, entry),
    emit,
  })
  return {
    dns,
    gatewayPort,
    listeners,
    async stop() {
      await listeners.close()
      await close()
    },
  }
}

async function listenGateway(
  gateway: Gateway,
  connections: Set<Socket>,
  address: string,
  port: number,
): Promise<{ port: number; server: Server }> {
  const server = createServer({ noDelay: true }, (connection) => {
    connections.add(connection)
    connection.on('close', () => connections.delete(connection))
    gateway.serve(connection)
  })
  try {
    server.listen({ host: address, port })
    await once(server, 'listening')
  } catch (error) {
    throw listenFailure('the gateway', address, port, error)
  }
  const bound = server.address()
  return { server, port: typeof bound === 'object' && bound !== null ? bound.port : port }
}

/** HTTP goes through the gateway's checks; anything else is joined byte by byte. */
function acceptLocal(
  gateway: Gateway,
  reach: Reach,
  emit: EmitEvent,
  connection: Socket,
  entry: ServiceEntry,
): void {
  if (entry.service.proto === 'http') return gateway.serve(connection)
  void joinConnection(reach, connection, entry, (error) => {
    emit({
      kind: 'service.failed',
      severity: 'notice',
      peer: entry.provider.id,
      reason: (error as { code?: string }).code ?? 'stream-failed',
      text: error.message,
      fields: { service: entry.service.name },
    })
  })
}

function meshView(
  { self, domain, membership }: ServicesInit,
  ownServices: () => readonly NamedService[],
): MeshView {
  return {
    domain,
    self,
    members: () =>
      membership.members().map((member) => {
        const seen = toServiceMember(member)
        return member.self ? Object.assign(seen, { services: ownServices() }) : seen
      }),
    onChange(listener, signal) {
      const off = membership.onChange(listener)
      signal.addEventListener('abort', off, { once: true })
    },
  }
}

function toServiceMember(member: MemberView): ServiceMember {
  const addresses = (member.registration?.addresses ?? []).flatMap((address) => ipOf(address) ?? [])
  return {
    id: member.id,
    key: member.key,
    name: member.name,
    tags: member.tags,
    state: member.state,
    addresses: [...new Set(addresses)],
    services: member.registration?.services ?? [],
    rttMs: member.rttMs,
    self: member.self,
  }
}
