import type { Libp2p, Stream } from '@libp2p/interface'
import type { ExecutionContext } from 'ava'
import { plainNode } from './plain-node.ts'

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
  // Nobody serves that: when it has been refused, a reset sent before would have come too.
  await Promise.race([settled(again), t.throwsAsync(connection.newStream('/none'))])
  t.is(again.status, 'open', 'in the place of one that ended')
}

function settled(stream: Stream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.status === 'open') stream.addEventListener('close', () => resolve())
    else resolve()
  })
}
