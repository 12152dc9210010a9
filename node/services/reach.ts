import type { Duplex } from 'node:stream'
import type { Directory, ServiceEntry } from '../../protocols/naming/directory.ts'
import { parseName } from '../../protocols/naming/names.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import { OPEN_TIMEOUT_MS } from '../../protocols/tunnel/limits.ts'
import { requestService, type BytePipe } from '../../protocols/tunnel/handshake.ts'
import { isAllowed } from './access.ts'
import type { MeshView } from './mesh-view.ts'
import type { Provider } from './provider.ts'
import type { Publications } from './publications.ts'
import { pipeDuplex, streamPipe } from './socket-pipe.ts'

/** Opens a fresh tunnel stream to a member. @throws TunnelError `peer-unreachable`. */
export type OpenStream = (peerId: string) => Promise<BytePipe>

/** The consumer's side: from a name to a byte stream. */
export interface Reach {
  /** Finds a service by short name, full name or name under its node. @throws TunnelError `service-unknown`. */
  find(name: string): ServiceEntry
  /** The same service of the same member as it is known now: its state and its rules change while a forward stands. */
  current(entry: ServiceEntry): ServiceEntry
  /** Connects to the service. @throws TunnelError with the reason. */
  open(entry: ServiceEntry): Promise<BytePipe>
  /** The same as a Node stream, for node:http. */
  openStream(entry: ServiceEntry): Promise<Duplex>
}

/** Everything reaching a service needs. */
export interface ReachInit {
  readonly mesh: MeshView
  readonly directory: () => Directory
  readonly publications: Publications
  readonly provider: Provider
  readonly openStream: OpenStream
}

/** Joins directory, early policy and transport; the provider decides again, and its word counts. */
export function createReach(init: ReachInit): Reach {
  const { mesh, directory, publications, provider } = init

  const find = (name: string): ServiceEntry => {
    const parsed = parseName(name, mesh.domain) ?? parseName(`${name}.${mesh.domain}`, mesh.domain)
    let entry: ServiceEntry | undefined
    if (parsed?.kind === 'service') entry = directory().services.get(parsed.service)
    else if (parsed?.kind === 'provider') {
      const member = directory().nodes.get(parsed.node)
      const service = member?.services.find((candidate) => candidate.name === parsed.service)
      if (member !== undefined && service !== undefined) entry = { provider: member, service }
    }
    if (entry === undefined) throw new TunnelError('service-unknown', `No member publishes "${name}"`)
    return entry
  }

  const openRemote = async (entry: ServiceEntry): Promise<BytePipe> => {
    const { service, provider: member } = entry
    if (member.state === 'dead')
      throw new TunnelError(
        'peer-dead',
        `${member.name}, which provides "${service.name}", has stopped answering`,
      )
    if (!isAllowed(service.allow, mesh.self, member.id)) {
      throw new TunnelError(
        'not-allowed',
        `"${service.name}" on ${member.name} is open to ${service.allow.join(', ') || 'nobody'}, not to ${mesh.self.name}`,
      )
    }
    return withinTime(await init.openStream(member.id), service.name)
  }

  const localTarget = (entry: ServiceEntry): Promise<Duplex> => {
    const publication = publications.get(entry.service.name)
    if (publication === undefined)
      throw new TunnelError('service-unknown', `"${entry.service.name}" is no longer published here`)
    return provider.connectTarget(publication)
  }
  const isOwn = (entry: ServiceEntry): boolean => entry.provider.id === mesh.self.id

  return {
    find,
    current(entry) {
      const provider = mesh.members().find((member) => member.id === entry.provider.id)
      const service = provider?.services.find((candidate) => candidate.name === entry.service.name)
      return provider === undefined || service === undefined ? entry : { provider, service }
    },
    open: async (entry) => (isOwn(entry) ? streamPipe(await localTarget(entry)) : openRemote(entry)),
    openStream: async (entry) => (isOwn(entry) ? localTarget(entry) : pipeDuplex(await openRemote(entry))),
  }
}

/** Asks for the service and gives up, with a reason, when the provider does not answer in time. */
async function withinTime(stream: BytePipe, service: string): Promise<BytePipe> {
  const late = new TunnelError(
    'stream-failed',
    `The provider of "${service}" did not answer within ${OPEN_TIMEOUT_MS / 1000} s`,
  )
  const timer = setTimeout(() => stream.abort(late), OPEN_TIMEOUT_MS)
  try {
    return await requestService(stream, service)
  } catch (cause) {
    if (cause instanceof TunnelError) throw cause
    throw new TunnelError('stream-failed', `"${service}": ${(cause as Error).message}`, { cause })
  } finally {
    clearTimeout(timer)
  }
}
