import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { peerIdFromString } from '@libp2p/peer-id'
import { toHex } from '../../../protocols/common/bytes.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { SessionRegistry } from '../../../protocols/secure-channel/sessions.ts'
import { protocolId } from '../../../protocols/secure-channel/wire.ts'
import { startLibp2p, type MeshNode } from '../../../node/transport/libp2p.ts'
import { systemClock, systemRandom } from '../../../node/system-ports.ts'

const FOUND_WITHIN_MS = 15_000
const RETRY_MS = 50
const meshId = new Uint8Array(32).fill(7)

/** A node of the mesh that lets everybody in: only the routing is looked at here. */
function startNode(): Promise<MeshNode> {
  const seed = systemRandom.bytes(32)
  const channel = secureChannel({
    meshId,
    seed,
    clock: systemClock,
    random: systemRandom,
    emit: () => undefined,
    defer: queueMicrotask,
    credentials: () => new Uint8Array(0),
    checkPeer: () => ({ ok: true }),
    sessions: new SessionRegistry(),
  })
  return startLibp2p({
    seed,
    id8: toHex(meshId).slice(0, 8),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    emit: () => undefined,
    protocols: [protocolId(meshId, 'member')],
    encrypters: [channel],
  })
}

test('a node finds the addresses of one it never met by asking its neighbours in the DHT', async (t) => {
  const [a, b, c] = await Promise.all([startNode(), startNode(), startNode()])
  await a.dial(b.getMultiaddrs())
  await c.dial(b.getMultiaddrs())
  const wanted = peerIdFromString(c.peerId.toString())
  const deadline = AbortSignal.timeout(FOUND_WITHIN_MS)
  // identify and the routing tables follow the dials in their own time, so an empty answer is asked again.
  const find = async (): Promise<string[]> => {
    for (;;) {
      try {
        const found = await a.peerRouting.findPeer(wanted, { signal: deadline })
        return found.multiaddrs.map(String)
      } catch (error) {
        if ((error as Error).name !== 'NotFoundError') throw error
        await sleep(RETRY_MS, undefined, { signal: deadline })
      }
    }
  }
  const addresses = await find()
  t.true(
    addresses.some((address) =>
      c.getMultiaddrs().some((own) => own.toString().startsWith(address.replace(/\/p2p\/.*/, ''))),
    ),
    addresses.join(' '),
  )
  for (const node of [a, b, c]) await node.stop()
})
