import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import type { EventInput } from '../../../protocols/common/ports.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { buildDirectory } from '../../../protocols/naming/directory.ts'
import { PublishInputSchema } from '../../../node/api/schemas.ts'
import { createGateway } from '../../../node/services/gateway/gateway.ts'
import type { MeshView, ServiceMember } from '../../../node/services/mesh-view.ts'
import { createProvider, type Provider } from '../../../node/services/provider.ts'
import { openPublications, toRegisteredService } from '../../../node/services/publications.ts'
import { createReach, type Reach } from '../../../node/services/reach.ts'
import { systemTimers } from '../../../node/system-ports.ts'
import { muxPair } from '../../protocols/mux/pair.ts'

/** What a test publishes. */
export interface Published {
  readonly name: string
  readonly target: string
  readonly allow?: string[]
  readonly proto?: 'http' | 'tcp'
  readonly crossSite?: boolean
}

/** Provider "nas" and consumer "pc" with its gateway, joined by an in-memory connection. */
export interface World {
  readonly gatewayPort: number
  readonly reach: Reach
  readonly provider: Provider
  readonly events: EventInput[]
  /** How the provider is held by the consumer. */
  readonly state: { provider: ServiceMember['state'] }
  publish(input: Published): Promise<void>
  unpublish(name: string): Promise<void>
  close(): void
}

function member(
  id: string,
  services: ServiceMember['services'],
  state: ServiceMember['state'],
): ServiceMember {
  const self = id === 'pc'
  const tags = self ? ['office'] : []
  const key = new Uint8Array(32)
  return { id, key, name: id, tags, state, addresses: [], services, rttMs: 1, self }
}

/** Everything between a client's socket and the target's is the real code. */
export async function makeWorld(): Promise<World> {
  const events: EventInput[] = []
  const state: World['state'] = { provider: 'alive' }
  const emit = (event: EventInput): void => void events.push(event)
  const published = await openPublications(memoryStore(), { now: () => 1 }, () => undefined)
  const own = await openPublications(memoryStore(), { now: () => 1 }, () => undefined)
  const mesh: MeshView = {
    domain: 'home.internal',
    self: { id: 'pc', name: 'pc', tags: ['office'] },
    members: () => [
      member(
        'nas',
        published.list().map((publication) => toRegisteredService(publication, true)),
        state.provider,
      ),
      member('pc', [], 'alive'),
    ],
    onChange: () => undefined,
  }
  const timers = systemTimers
  const provider = createProvider({ publications: published, selfId: 'nas', timers, emit })
  const pair = muxPair({
    isLive: true,
    onChannel: (channel) => provider.serve(channel, mesh.self),
  })
  const reach = createReach({
    mesh,
    directory: () => buildDirectory(mesh.members()),
    publications: own,
    provider: createProvider({ publications: own, selfId: 'pc', timers, emit }),
    timers,
    openChannel: () => Promise.resolve(pair.near.open('tunnel')),
  })
  const gateway = createGateway({ reach, domain: 'home.internal', localLabel: 'abcd1234', emit })
  const listener = createServer({ allowHalfOpen: true }, (socket) => gateway.serve(socket))
  const gatewayPort = await listening(listener)
  return {
    events,
    state,
    reach,
    provider,
    gatewayPort,
    publish: async (input) => void (await published.add(PublishInputSchema.parse(input))),
    unpublish: (name) => published.remove(name),
    close() {
      listener.close()
      gateway.close()
      provider.close()
    },
  }
}

/** Listens on a free loopback port. */
export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
