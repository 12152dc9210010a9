import { stop } from '@libp2p/interface'
import type { ExecutionContext } from 'ava'
import { toHex } from '../../../protocols/common/bytes.ts'
import { MuxRegistry } from '../../../protocols/mux/registry.ts'
import { JoinDoor } from '../../../protocols/secure-channel/exchange.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { ChannelUpgrade } from '../../../protocols/secure-channel/upgrade.ts'
import { stopNetwork } from '../../../node/compose-network.ts'
import { steadyClock } from '../../../node/system-ports.ts'
import { startLibp2p, type MeshNodeInit } from '../../../node/transport/libp2p.ts'
import type { MeshNode } from '../../../node/transport/mesh-node.ts'
import { ReadyConnections } from '../../../node/transport/ready-connections.ts'
import type { Side } from '../../protocols/secure-channel/mesh.ts'

/** A node of the product's own transport, with its muxers and what makes connections of channels and sockets. */
export type TestNode = MeshNode & { readonly muxes: MuxRegistry; readonly ready: ReadyConnections }

/** Starts one on loopback TCP with the channel of `of`, stopped after the test; `door` answers joiners. */
export async function meshNode(
  t: ExecutionContext,
  of: Side,
  options: {
    readonly door?: JoinDoor
    readonly compat?: boolean
    readonly withoutMux?: boolean
    /** Makes no connections of its own: a DHT dials whom it hears of, half a second after the start. */
    readonly withoutDht?: boolean
    readonly records?: MeshNodeInit['records']
    readonly reflection?: MeshNodeInit['tcp']['reflection']
  } = {},
): Promise<TestNode> {
  const muxes = new MuxRegistry()
  const own = options.withoutMux === true ? {} : { muxes }
  const channel = { ...of.init, defer: setImmediate, deferLate: setImmediate, ...own }
  const upgrade = new ChannelUpgrade(channel)
  const ready = new ReadyConnections(upgrade, steadyClock, of.init.emit)
  const node = await startLibp2p({
    seed: of.seed,
    id8: toHex(of.init.meshId).slice(0, 8),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    records: options.records,
    tcp: {
      upgrade,
      door: options.door ?? new JoinDoor(of.init, (request) => Promise.resolve(request)),
      emit: of.init.emit,
      steadyClock,
      compat: options.compat ?? false,
      ready,
      reflection: options.reflection ?? { serve: () => false },
    },
    encrypters: [secureChannel(channel, upgrade)],
  })
  if (options.withoutDht === true) await stop(node.services.dht)
  t.teardown(() => stopNetwork(node))
  return Object.assign(node, { muxes, ready })
}
