import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { duplexPair, type Duplex } from 'node:stream'
import { pipe } from 'it-pipe'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import { readServiceRequest, type BytePipe } from '../../protocols/tunnel/handshake.ts'
import { STREAMS_PER_PEER_MAX, TARGET_CONNECT_TIMEOUT_MS } from '../../protocols/tunnel/limits.ts'
import { isAllowed, type Requester } from './access.ts'
import type { Publication, Publications } from './publications.ts'
import { streamPipe } from './socket-pipe.ts'
import { createStaticSite, type StaticSite } from './static-site.ts'

/** Lets other members reach what this node publishes: the place where access is decided. */
export interface Provider {
  /** Serves one tunnel stream of an authenticated member until it ends; expected failures end in the event log. */
  serve(stream: BytePipe, requester: Requester): Promise<void>
  /** A connection to the target of one of our own services. @throws TunnelError `target-refused`, `target-timeout`. */
  connectTarget(publication: Publication): Promise<Duplex>
  close(): void
}

/** @param selfId this node's peer id. */
export function createProvider(publications: Publications, selfId: string, emit: EmitEvent): Provider {
  const sites = new Map<string, StaticSite>()
  const openStreams = new Map<string, number>()

  const connectTarget = async (publication: Publication): Promise<Duplex> => {
    const target = publication.resolved
    if (target.kind === 'tcp') return connectTcp(publication.name, target.host, target.port)
    let site = sites.get(target.path)
    if (site === undefined) sites.set(target.path, (site = createStaticSite(target.path)))
    const [ours, theirs] = duplexPair()
    site.serve(theirs)
    return ours
  }

  /** What stands against this request, if anything. */
  const refusal = (name: string, requester: Requester): TunnelError | undefined => {
    const publication = publications.get(name)
    if (publication === undefined)
      return new TunnelError('service-unknown', `No service "${name}" is published here`)
    if (!isAllowed(publication.allow, requester, selfId)) {
      return new TunnelError(
        'not-allowed',
        `"${name}" is open to ${publication.allow.join(', ') || 'nobody'}, not to ${requester.name}`,
      )
    }
    if ((openStreams.get(requester.id) ?? 0) > STREAMS_PER_PEER_MAX) {
      return new TunnelError(
        'too-many-streams',
        `${requester.name} has ${STREAMS_PER_PEER_MAX} streams open here`,
      )
    }
    return undefined
  }

  const serveRequest = async (stream: BytePipe, requester: Requester): Promise<void> => {
    const request = await readServiceRequest(stream)
    const denied = refusal(request.service, requester)
    if (denied !== undefined) {
      if (denied.code === 'not-allowed') {
        emit({
          kind: 'service.denied',
          severity: 'warning',
          peer: requester.id,
          reason: denied.code,
          text: denied.message,
          fields: { service: request.service },
        })
      }
      return request.refuse(denied.code, denied.message)
    }
    let target: Duplex
    try {
      target = await connectTarget(publications.get(request.service) as Publication)
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      return request.refuse(error.code, error.message)
    }
    const accepted = request.accept()
    const local = streamPipe(target)
    try {
      await pipe(accepted, local, accepted)
    } catch (error) {
      // Either end may drop a connection at any time; the other end must then see it dropped too, not wait.
      accepted.abort(error as Error)
      local.abort(error as Error)
    }
  }

  return {
    connectTarget,
    async serve(stream, requester) {
      openStreams.set(requester.id, (openStreams.get(requester.id) ?? 0) + 1)
      try {
        await serveRequest(stream, requester)
      } catch (error) {
        stream.abort(error as Error)
        emit({
          kind: 'tunnel.failed',
          severity: 'notice',
          peer: requester.id,
          reason: (error as { code?: string }).code ?? 'stream-failed',
          text: (error as Error).message,
        })
      } finally {
        const left = (openStreams.get(requester.id) ?? 1) - 1
        if (left === 0) openStreams.delete(requester.id)
        else openStreams.set(requester.id, left)
      }
    },
    close() {
      for (const site of sites.values()) site.close()
    },
  }
}

async function connectTcp(name: string, host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(TARGET_CONNECT_TIMEOUT_MS) })
  } catch (cause) {
    socket.destroy()
    const where = `${host}:${port}`
    if ((cause as Error).name === 'AbortError') {
      throw new TunnelError(
        'target-timeout',
        `"${name}": ${where} did not answer within ${TARGET_CONNECT_TIMEOUT_MS / 1000} s`,
        { cause },
      )
    }
    throw new TunnelError(
      'target-refused',
      `"${name}": nothing answers at ${where} (${(cause as NodeJS.ErrnoException).code ?? 'failed'})`,
      { cause },
    )
  }
  return socket
}
