import type { Duplex } from 'node:stream'
import { pipe } from 'it-pipe'
import type { Timers } from '../../protocols/common/ports.ts'
import type { ByteChannel } from '../../protocols/mux/channel.ts'
import type { Directory, ServiceEntry } from '../../protocols/naming/directory.ts'
import { parseName } from '../../protocols/naming/names.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import { requestService } from '../../protocols/tunnel/channel.ts'
import { isAllowed } from './access.ts'
import type { MeshView } from './mesh-view.ts'
import type { Provider } from './provider.ts'
import type { Publications } from './publications.ts'
import { channelStream, drop, joinChannel } from './channel-stream.ts'
import { streamPipe } from './socket-pipe.ts'

/** Opens a fresh channel to a member, at once where it can. @throws or rejects with TunnelError `peer-unreachable`. */
export type OpenChannel = (peerId: string) => ByteChannel | Promise<ByteChannel>

/** The consumer's side: from a name to a byte stream. */
export interface Reach {
  /** Finds a service by short name, full name or name under its node. @throws TunnelError `service-unknown`. */
  find(name: string): ServiceEntry
  /** The same service of the same member as it is known now: its state and its rules change while a forward stands. */
  current(entry: ServiceEntry): ServiceEntry
  /**
   * Joins a local stream with the service until both are done. `onClosed` is told once; with a `TunnelError` when the service
   * could not be reached.
   */
  join(entry: ServiceEntry, local: Duplex, onClosed: (error?: Error) => void): void
  /** Resolves when the provider and its target answer. @throws TunnelError */
  check(entry: ServiceEntry): Promise<void>
  /** The service as a Node stream, for node:http; a refusal ends it with a `TunnelError`. @throws TunnelError */
  openStream(entry: ServiceEntry): Promise<Duplex>
}

/** Everything reaching a service needs. */
export interface ReachInit {
  readonly mesh: MeshView
  readonly directory: () => Directory
  readonly publications: Publications
  readonly provider: Provider
  readonly openChannel: OpenChannel
  readonly timers: Timers
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

  const channelTo = (entry: ServiceEntry): ByteChannel | Promise<ByteChannel> => {
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
    return init.openChannel(member.id)
  }
  const openRemote = async (entry: ServiceEntry): Promise<ByteChannel> =>
    requestService(await channelTo(entry), entry.service.name, init.timers)

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
      const provider = directory().nodes.get(entry.provider.name)
      if (provider?.id !== entry.provider.id) return entry
      const service = provider.services.find((candidate) => candidate.name === entry.service.name)
      return service === undefined ? entry : { provider, service }
    },
    join(entry, local, onClosed) {
      local.on('error', () => undefined) // the local program's own reset, before anybody else listens
      const fail = (error: Error): void => {
        drop(local, error) // plain TCP has no other way to say "no"
        onClosed(error)
      }
      if (isOwn(entry)) {
        localTarget(entry).then((target) => joinStreams(local, target, onClosed), fail)
        return
      }
      const joinNow = (channel: ByteChannel): void =>
        joinChannel(local, requestService(channel, entry.service.name, init.timers), onClosed)
      try {
        const channel = channelTo(entry)
        if (channel instanceof Promise) channel.then(joinNow, fail)
        else joinNow(channel)
      } catch (error) {
        fail(error as Error)
      }
    },
    async check(entry) {
      if (isOwn(entry)) return void (await localTarget(entry)).destroy()
      const channel = await channelTo(entry)
      await new Promise<void>((resolve, reject) => {
        const asked = requestService(channel, entry.service.name, init.timers, resolve)
        asked.use({
          onData: () => undefined,
          onEnd: () => undefined,
          onReset: reject,
          onDrain: () => undefined,
        })
      }).finally(() => channel.reset())
    },
    openStream: async (entry) => (isOwn(entry) ? localTarget(entry) : channelStream(await openRemote(entry))),
  }
}

/** A service of this very node: no channel in between. */
function joinStreams(local: Duplex, target: Duplex, onClosed: (error?: Error) => void): void {
  const [ours, theirs] = [streamPipe(local), streamPipe(target)]
  pipe(ours, theirs, ours).then(
    () => onClosed(),
    (error: Error) => {
      drop(local, error)
      drop(target, error)
      onClosed(error)
    },
  )
}
