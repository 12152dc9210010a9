import { connect, type Socket } from 'node:net'
import { duplexPair, type Duplex } from 'node:stream'
import type { EmitEvent, Timers } from '../../protocols/common/ports.ts'
import type { ByteChannel } from '../../protocols/mux/channel.ts'
import { MuxError } from '../../protocols/mux/errors.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import { readServiceRequest, type ServiceRequest } from '../../protocols/tunnel/channel.ts'
import { STREAMS_PER_PEER_MAX, TARGET_CONNECT_TIMEOUT_MS } from '../../protocols/tunnel/limits.ts'
import { isAllowed, type Requester } from './access.ts'
import type { Publication, Publications } from './publications.ts'
import { drop, joinChannel, LOCAL_HIGH_WATER_BYTES } from './channel-stream.ts'
import { createStaticSite, type StaticSite } from './static-site.ts'

/** Lets other members reach what this node publishes: the place where access is decided. */
export interface Provider {
  /** Serves one channel of an authenticated member until it ends; expected failures end in the event log. */
  serve(channel: ByteChannel, requester: Requester): void
  /** A connection to the target of one of our own services. @throws TunnelError `target-refused`, `target-timeout`. */
  connectTarget(publication: Publication): Promise<Duplex>
  /** Cuts every open stream that would not be let in now; called after what is published, or for whom, has changed. */
  recheck(): void
  close(): void
}

/** A stream that was let in. */
interface Served {
  readonly service: string
  readonly requester: Requester
  cut(error: Error): void
}

/** What a provider needs. */
export interface ProviderInit {
  readonly publications: Publications
  /** This node's peer id. */
  readonly selfId: string
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Starts with nothing open. */
export function createProvider({ publications, selfId, timers, emit }: ProviderInit): Provider {
  const sites = new Map<string, StaticSite>()
  const openStreams = new Map<string, number>()
  const served = new Set<Served>()

  const connectTarget = async (publication: Publication): Promise<Duplex> => {
    const target = publication.resolved
    if (target.kind === 'tcp') return connectTcp(publication.name, target.host, target.port)
    let site = sites.get(target.path)
    if (site === undefined) sites.set(target.path, (site = createStaticSite(target.path)))
    const [ours, theirs] = duplexPair()
    site.serve(theirs)
    return ours
  }

  /** Why this member may not reach the service now, if so. */
  const denial = (name: string, requester: Requester): TunnelError | undefined => {
    const publication = publications.get(name)
    if (publication === undefined)
      return new TunnelError('service-unknown', `No service "${name}" is published here`)
    if (!isAllowed(publication.allow, requester, selfId)) {
      return new TunnelError(
        'not-allowed',
        `"${name}" is open to ${publication.allow.join(', ') || 'nobody'}, not to ${requester.name}`,
      )
    }
    return undefined
  }

  /** What stands against a new stream, if anything. */
  const refusal = (name: string, requester: Requester): TunnelError | undefined => {
    const denied = denial(name, requester)
    if (denied !== undefined) return denied
    if ((openStreams.get(requester.id) ?? 0) > STREAMS_PER_PEER_MAX) {
      return new TunnelError(
        'too-many-streams',
        `${requester.name} has ${STREAMS_PER_PEER_MAX} streams open here`,
      )
    }
    return undefined
  }

  const report = (denied: TunnelError, service: string, requester: Requester): void => {
    const { code: reason, message: text } = denied
    if (reason === 'not-allowed')
      emit({
        kind: 'service.denied',
        severity: 'warning',
        peer: requester.id,
        reason,
        text,
        fields: { service },
      })
  }

  const failed = (error: Error, requester: Requester): void =>
    emit({
      kind: 'tunnel.failed',
      severity: 'notice',
      peer: requester.id,
      reason: (error as { code?: string }).code ?? 'stream-failed',
      text: error.message,
    })

  /** Joins an accepted request with its target. */
  const join = (
    request: ServiceRequest,
    target: Duplex,
    requester: Requester,
    onClosed: () => void,
  ): void => {
    const channel = request.accept()
    const cut = (error: Error): void => {
      channel.reset()
      target.destroy(error)
    }
    const entry: Served = { service: request.service, requester, cut }
    served.add(entry)
    // Either end may drop a connection at any time; that is no failure of ours.
    joinChannel(target, channel, () => {
      served.delete(entry)
      onClosed()
    })
  }

  const serveRequest = async (
    request: ServiceRequest,
    requester: Requester,
    hasLeft: () => boolean,
    onClosed: () => void,
  ): Promise<void> => {
    const { service } = request
    const refuse = (denied: TunnelError): void => {
      report(denied, service, requester)
      request.refuse(denied.code, denied.message)
      onClosed()
    }
    const denied = refusal(service, requester)
    if (denied !== undefined) return refuse(denied)
    let target: Duplex
    try {
      target = await connectTarget(publications.get(service) as Publication)
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      return refuse(error)
    }
    if (hasLeft()) {
      target.destroy()
      return onClosed()
    }
    const late = denial(service, requester) // it may have been taken away while the target was connected
    if (late === undefined) return join(request, target, requester, onClosed)
    drop(target, late)
    refuse(late)
  }

  return {
    connectTarget,
    serve(channel, requester) {
      openStreams.set(requester.id, (openStreams.get(requester.id) ?? 0) + 1)
      let isOpen = true
      let isAsked = false
      let hasLeft = false
      const onClosed = (): void => {
        if (!isOpen) return
        isOpen = false
        const left = (openStreams.get(requester.id) ?? 1) - 1
        if (left === 0) openStreams.delete(requester.id)
        else openStreams.set(requester.id, left)
      }
      const fail = (error: Error): void => {
        channel.reset()
        failed(error, requester)
        onClosed()
      }
      readServiceRequest(channel, timers, {
        onRequest: (request) => {
          isAsked = true
          serveRequest(request, requester, () => hasLeft, onClosed).catch(fail)
        },
        onFailure: (error) => {
          // A consumer may leave before it was answered; that is no failure. Its place is free once its target is.
          if (!(error instanceof MuxError)) return fail(error)
          hasLeft = true
          if (!isAsked) onClosed()
        },
      })
    },
    recheck() {
      const folders = new Set(
        publications.list().map(({ resolved }) => (resolved.kind === 'folder' ? resolved.path : '')),
      )
      for (const [path, site] of sites) {
        if (folders.has(path)) continue
        sites.delete(path)
        site.close()
      }
      for (const { service, requester, cut } of served) {
        const denied = denial(service, requester)
        if (denied === undefined) continue
        report(denied, service, requester)
        cut(denied)
      }
    },
    close() {
      for (const site of sites.values()) site.close()
    },
  }
}

function connectTcp(name: string, host: string, port: number): Promise<Socket> {
  // A stream's own option, which node's types leave out for sockets.
  const options = { host, port, allowHalfOpen: true, noDelay: true, highWaterMark: LOCAL_HIGH_WATER_BYTES }
  const socket = connect(options)
  // The texts travel to other members, and where a target lies is nobody's business: `kith services` tells its owner.
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer)
      socket.off('connect', onConnect)
      socket.off('error', onError)
    }
    const onConnect = (): void => {
      settle()
      resolve(socket)
    }
    const onError = (cause: NodeJS.ErrnoException): void => {
      settle()
      const text = `Nothing answers at the target of "${name}" (${cause.code ?? 'failed'})`
      reject(new TunnelError('target-refused', text, { cause }))
    }
    const timer = setTimeout(() => {
      settle()
      socket.destroy()
      const text = `The target of "${name}" did not answer within ${TARGET_CONNECT_TIMEOUT_MS / 1000} s`
      reject(new TunnelError('target-timeout', text))
    }, TARGET_CONNECT_TIMEOUT_MS)
    socket.on('connect', onConnect)
    socket.on('error', onError)
  })
}
