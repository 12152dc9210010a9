import { connect, createServer, type AddressInfo } from 'node:net'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import type { ExecutionContext } from 'ava'

/** A TCP proxy on loopback that holds every byte back, as a long path does. */
export interface DelayProxy {
  /** The target's address as seen through the proxy. */
  readonly address: Multiaddr
  /** What left the dialler, with the answers that had reached it by then: one for each time the direction turned. */
  readonly sent: { readonly answers: number; readonly sizeBytes: number }[]
}

/** @param delayMs one way. */
export async function delayProxy(
  t: ExecutionContext,
  target: Multiaddr,
  delayMs: number,
): Promise<DelayProxy> {
  const sent: { answers: number; sizeBytes: number }[] = []
  const port = Number(target.getComponents().find(({ name }) => name === 'tcp')?.value)
  const server = createServer({ noDelay: true }, (socket) => {
    let answers = 0
    let isTurned = false
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('data', (bytes) => {
      isTurned = false
      sent.push({ answers, sizeBytes: bytes.length })
      setTimeout(() => upstream.write(bytes), delayMs)
    })
    upstream.on('data', (bytes) =>
      setTimeout(() => {
        if (!isTurned) answers++
        isTurned = true
        socket.write(bytes)
      }, delayMs),
    )
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const id = target.toString().split('/p2p/')[1]
  const { port: own } = server.address() as AddressInfo
  return { address: multiaddr(`/ip4/127.0.0.1/tcp/${own}/p2p/${id}`), sent }
}
