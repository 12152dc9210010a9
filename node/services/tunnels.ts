import type { Connection, Stream } from '@libp2p/interface'
import { id8Of } from '../../protocols/admission/root.ts'
import { byteStream } from '../../protocols/tunnel/byte-stream.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import type { BytePipe } from '../../protocols/tunnel/handshake.ts'
import { STREAMS_TO_PEER_MAX, type Connections } from '../transport/connections.ts'
import type { MeshNode } from '../transport/libp2p.ts'
import type { Requester } from './access.ts'
import type { Provider } from './provider.ts'

/** A new stream to a peer we are connected to; longer means that the connection is dead. */
const STREAM_TIMEOUT_MS = 5000

/** What tunnels run on. */
export interface TunnelsInit {
  readonly network: MeshNode
  readonly meshId: Uint8Array
  readonly connections: Connections
  /** The member behind a connection, as its handshake proved it. */
  readonly proved: (peerId: string) => Requester | undefined
  readonly nameOf: (peerId: string) => string
  /** Why the last dial of a peer failed, if it did. */
  readonly lastFailure: (peerId: string) => { text: string } | undefined
}

/** Streams to services, on libp2p. */
export interface Tunnels {
  /** @throws TunnelError `peer-unreachable` with what was tried. */
  open(peerId: string): Promise<BytePipe>
  /** Hands the streams of others to the provider, with who they are. */
  serve(provider: Provider): Promise<void>
  /** The error that says why a peer is out of reach. */
  unreachable(peerId: string, cause: unknown): TunnelError
}

/** Streams of protocol `/kith/<id8>/tunnel/1`. */
export function createTunnels({
  network,
  meshId,
  connections,
  proved,
  nameOf,
  lastFailure,
}: TunnelsInit): Tunnels {
  const protocol = `/kith/${id8Of(meshId)}/tunnel/1`
  const unreachable = (peerId: string, cause: unknown): TunnelError => {
    const why = lastFailure(peerId)?.text ?? (cause as Error).message
    return new TunnelError('peer-unreachable', `No connection to ${nameOf(peerId)}: ${why}`, { cause })
  }
  return {
    unreachable,
    async open(peerId) {
      try {
        return byteStream(
          await connections.openStream(peerId, protocol, AbortSignal.timeout(STREAM_TIMEOUT_MS)),
        )
      } catch (cause) {
        throw unreachable(peerId, cause)
      }
    },
    async serve(provider) {
      const accept = (stream: Stream, connection: Connection): void => {
        const pipe = byteStream(stream)
        const requester = proved(connection.remotePeer.toString())
        if (requester === undefined) pipe.abort(new Error('a connection without credentials'))
        else void provider.serve(pipe, requester)
      }
      await network.handle(protocol, accept, {
        maxInboundStreams: STREAMS_TO_PEER_MAX,
        // libp2p takes the handler's number for streams we open too, and its default is 64.
        maxOutboundStreams: STREAMS_TO_PEER_MAX,
        runOnLimitedConnection: true,
      })
    },
  }
}
