import type { Socket } from 'node:net'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { ipMultiaddr } from '../../bootstrap/ip-bytes.ts'
import type { Endpoint } from '../../protocols/traversal/endpoint.ts'
import type { PunchRole } from '../../protocols/traversal/punch-events.ts'
import type { ReadyConnections } from './ready-connections.ts'
import { SocketConnection } from './socket-connection.ts'
import { socketTransport } from './socket-transport.ts'

/** As for connections that were dialled (mesh-tcp.ts). */
const INACTIVITY_MS = 120_000

/** Makes connections of sockets both sides dialled at once. */
export class PunchedSockets {
  readonly #ready: ReadyConnections
  readonly #stopping = new AbortController()
  /** Handshakes under way, by peer; true when it led to a connection. */
  readonly #pending = new Map<string, Promise<boolean>>()

  constructor(ready: ReadyConnections) {
    this.#ready = ready
  }

  /** Takes over a socket; the initiator of the exchange is the one that dials in the handshake. */
  take(peerId: string, socket: Socket, role: PunchRole, remote: Endpoint): void {
    const address = multiaddr(`${ipMultiaddr(remote.ip)}/tcp/${remote.port}/p2p/${peerId}`)
    const direction = role === 'initiator' ? 'outbound' : 'inbound'
    const connection = new SocketConnection(socket, address, {
      direction,
      inactivityMs: INACTIVITY_MS,
      log: this.#ready.log(),
    })
    const ready = {
      connection,
      transport: () => socketTransport(connection),
      via: null,
      local: socket.localAddress ?? null,
      isPunched: true,
      signal: this.#stopping.signal,
    }
    const made =
      role === 'initiator'
        ? this.#ready.dial(ready, peerIdFromString(peerId)).then(
            () => true,
            () => false, // told as an event by the upgrade
          )
        : this.#ready.answer(ready, `punch ${peerId}`).then((proved) => proved === peerId)
    this.#pending.set(peerId, made)
    void made.finally(() => {
      if (this.#pending.get(peerId) === made) this.#pending.delete(peerId)
    })
  }

  /** Whether the handshake on the socket that was taken over last led to a connection. */
  async made(peerId: string): Promise<boolean> {
    return (await this.#pending.get(peerId)) ?? true
  }

  /** Cuts handshakes under way. */
  stop(): void {
    this.#stopping.abort(new Error('the node is stopping'))
  }
}
