import { noise } from '@chainsafe/libp2p-noise'
import type { Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { ExecutionContext } from 'ava'
import { createLibp2p, type Libp2p } from 'libp2p'

/** A node whose connections are libp2p's own, stopped after the test. */
async function plainNode(t: ExecutionContext): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
  t.teardown(() => node.stop())
  return node
}

/**
 * Holds as many streams of a protocol open over one connection as may be, and one more: that one is reset, the others stay. Once
 * one of them has ended there is a place again.
 * @param start begins to serve the protocol in a way that leaves streams open on which nothing is said.
 */
export async function checkStreamLimit(
  t: ExecutionContext,
  protocol: string,
  max: number,
  start: (network: Libp2p) => Promise<void>,
): Promise<void> {
  const [server, client] = [await plainNode(t), await plainNode(t)]
  await start(server)
  const connection = await client.dial(server.getMultiaddrs())
  const open = (): Promise<Stream> => connection.newStream(protocol)
  const held: Stream[] = []
  for (let n = 1; n <= max; n++) held.push(await open())
  const more = await open()
  await settled(more)
  t.not(more.status, 'open', 'one more')
  t.true(
    held.every(({ status }) => status === 'open'),
    'up to the limit',
  )
  held[0]?.abort(new Error('enough'))
  const again = await open()
  await Promise.race([settled(again), connection.newStream('/none').catch(() => undefined)])
  t.is(again.status, 'open', 'in the place of one that ended')
}

function settled(stream: Stream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.status === 'open') stream.addEventListener('close', () => resolve())
    else resolve()
  })
}
