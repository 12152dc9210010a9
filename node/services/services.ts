import type { Member } from '../../protocols/admission/certificates.ts'
import type { Clock, EmitEvent, Store, Timers } from '../../protocols/common/ports.ts'
import type { MembershipService } from '../../protocols/membership/service.ts'
import type { MemberView } from '../../protocols/membership/view.ts'
import {
  buildDirectory,
  type Directory,
  type NamedService,
  type ServiceEntry,
} from '../../protocols/naming/directory.ts'
import { answerQuestion, type LocalEndpoint } from '../../protocols/naming/zone.ts'
import type { RegisteredService } from '../../protocols/registry/wire.ts'
import type { PublishInput } from '../api/schemas.ts'
import type { Config } from '../config/schema.ts'
import type { Answer } from '../resolver/dns-server.ts'
import { memoryStore } from '../storage/memory-store.ts'
import { ipOf } from '../transport/addresses.ts'
import { startHealthChecks } from './health.ts'
import { startLocal } from './local.ts'
import type { MeshView, ServiceMember } from './mesh-view.ts'
import { createProvider, type Provider } from './provider.ts'
import { openPublications, toRegisteredService, type Publication, type Publications } from './publications.ts'
import { createReach, type OpenChannel, type Reach } from './reach.ts'

/** What the services of a node are started with. */
export interface ServicesInit {
  readonly self: Member
  readonly domain: string
  readonly localLabel: string
  readonly membership: MembershipService
  readonly config: Config
  readonly store: Store
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
  readonly openChannel: OpenChannel
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
  // A door provides nothing; what it once published stays in the store until it is started as something else.
  const publications = await openPublications(config.door ? memoryStore() : store, clock, ownerOf)
  const provider = createProvider({ publications, selfId: self.id, timers: init.timers, emit })
  const health = startHealthChecks({
    publications: () => publications.list(),
    connect: (publication) => provider.connectTarget(publication),
    timers: init.timers,
    emit,
    changed: () => void announce(),
  })
  const registered = (): RegisteredService[] =>
    publications
      .list()
      .map((publication) => toRegisteredService(publication, health.isHealthy(publication.name)))
  ownServices = registered
  const reach = createReach({
    mesh,
    directory: () => directory,
    publications,
    provider,
    openChannel: init.openChannel,
    timers: init.timers,
  })
  const answer: Answer = ({ name, type }) =>
    answerQuestion({ domain, directory, endpoint, self: self.name, serial }, name, type)
  const local = config.door
    ? undefined
    : await startLocal({ reach, nodeId: self.id, domain, localLabel: init.localLabel, config, answer, emit })

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
    membership.announce({ services: registered() })
    provider.recheck()
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
      const before = publications.get(input.name)
      const publication = await publications.add(input)
      try {
        await announce()
      } catch (error) {
        // It did not fit into the record: as if it had never been asked for.
        if (before === undefined) await publications.remove(input.name)
        else await publications.restore(before)
        throw error
      }
      emit({
        kind: 'service.published',
        severity: 'info',
        fields: { service: input.name, proto: publication.proto },
      })
      void health.checkAll()
      return publication
    },
    async unpublish(name) {
      await publications.remove(name)
      await announce()
      emit({ kind: 'service.unpublished', severity: 'info', fields: { service: name } })
    },
    async stop() {
      stopped.abort()
      health.stop()
      await local?.stop()
      provider.close()
    },
  }
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
