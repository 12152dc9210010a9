import type { Connection, ConnectionEncrypter, StreamHandler, Topology } from '@libp2p/interface'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import { ChannelError } from '../../protocols/secure-channel/errors.ts'
import type { MeshNode } from './mesh-node.ts'

/** What libp2p calls a connection secured by stock Noise XX. */
const STOCK_ENCRYPTION = '/noise'

/** Stock libp2p's encrypter, for the setting `compat`; loaded only then: it compiles WebAssembly. */
export async function stockEncrypter(): Promise<(components: never) => ConnectionEncrypter> {
  const { noise } = await import('@chainsafe/libp2p-noise')
  return noise()
}

/** Whether the other side proved a peer id only, and no membership. */
function isStock(connection: Connection): boolean {
  return connection.encryption === STOCK_ENCRYPTION
}

/** The handler, for members alone: a stock peer's stream is reset. */
export function membersOnly(handler: StreamHandler): StreamHandler {
  return (stream, connection) =>
    isStock(connection)
      ? stream.abort(new ChannelError('stranger-refused', 'Only members may use this protocol'))
      : handler(stream, connection)
}

/** The topology, told of members alone: a stock peer must not get into the routing table by what it says of itself. */
export function membersOnlyTopology(topology: Topology): Topology {
  return Object.create(topology, {
    onConnect: {
      value: (...[peer, connection]: Parameters<NonNullable<Topology['onConnect']>>) =>
        isStock(connection) ? undefined : topology.onConnect?.(peer, connection),
    },
  }) as Topology
}

/**
 * Cuts a member that comes in by stock Noise: it could do better, so somebody on the way made it. The rules of certificates,
 * rotation and replay would not hold for it.
 */
export function refuseDowngrades(
  network: Pick<MeshNode, 'addEventListener'>,
  isMember: (peerId: string) => boolean,
  emit: EmitEvent,
): void {
  network.addEventListener('connection:open', ({ detail: connection }) => {
    const peer = connection.remotePeer.toString()
    if (!isStock(connection) || !isMember(peer)) return
    const error = new ChannelError('downgraded', `${peer} is a member and came without its certificate`)
    const from = connection.remoteAddr.toString()
    emit({
      kind: 'channel.downgrade',
      severity: 'alert',
      peer,
      reason: error.code,
      text: error.message,
      fields: { from },
    })
    connection.abort(error)
  })
}
