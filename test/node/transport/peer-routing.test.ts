import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { peerIdFromString } from '@libp2p/peer-id'
import { side } from '../../protocols/secure-channel/mesh.ts'
import { meshNode } from './mesh.ts'

const FOUND_WITHIN_MS = 15_000
const RETRY_MS = 50

test('a node finds the addresses of one it never met by asking its neighbours in the DHT', async (t) => {
  // They let everybody in: only the routing is looked at here.
  const [a, b, c] = await Promise.all([meshNode(t, side()), meshNode(t, side()), meshNode(t, side())])
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
