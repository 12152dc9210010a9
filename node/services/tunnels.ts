import { id8Of } from '../../protocols/admission/root.ts'
import type { ByteChannel } from '../../protocols/mux/channel.ts'
import type { MuxRegistry } from '../../protocols/mux/registry.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import type { Connections } from '../transport/connections.ts'
import type { Requester } from './access.ts'
import type { Provider } from './provider.ts'

/** A new connection to a peer; longer means that it is out of reach. */
const CONNECT_TIMEOUT_MS = 5000

/** What tunnels run on. */
export interface TunnelsInit {
  readonly muxes: MuxRegistry
  readonly meshId: Uint8Array
  readonly connections: Connections
  /** The member behind a connection, as its handshake proved it. */
  readonly proved: (peerId: string) => Requester | undefined
  readonly nameOf: (peerId: string) => string
  /** Why the last dial of a peer failed, if it did. */
  readonly lastFailure: (peerId: string) => { text: string } | undefined
}

/** Channels to services. */
export interface Tunnels {
  /** At once where a connection stands. @throws or rejects with TunnelError `peer-unreachable` and what was tried. */
  open(peerId: string): ByteChannel | Promise<ByteChannel>
  /** Hands the channels of others to the provider, with who they are. */
  serve(provider: Provider): void
  /** The error that says why a peer is out of reach. */
  unreachable(peerId: string, cause: unknown): TunnelError
}

/** Channels of protocol `/kith/<id8>/tunnel/1`: bare ones, since each connection to a service is one. */
export function createTunnels({
  muxes,
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
    open(peerId) {
      const openNow = (): ByteChannel => {
        try {
          return muxes.open(peerId, protocol)
        } catch (cause) {
          throw unreachable(peerId, cause)
        }
      }
      if (muxes.has(peerId)) return openNow()
      return connections
        .to(peerId, AbortSignal.timeout(CONNECT_TIMEOUT_MS))
        .then(openNow, (cause: unknown) => {
          throw unreachable(peerId, cause)
        })
    },
    serve(provider) {
      muxes.handle(protocol, (channel, peerId) => {
        const requester = proved(peerId)
        if (requester === undefined) channel.reset()
        else provider.serve(channel, requester)
      })
    },
  }
}
