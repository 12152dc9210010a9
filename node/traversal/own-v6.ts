import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { isInternetV6, type Endpoint } from '../../protocols/traversal/endpoint.ts'
import { ipText } from './socket-endpoint.ts'

/**
 * The address connections to an IPv6 endpoint will come from, as the kernel chooses it (RFC 6724 §5); null where no way leads
 * there, or not from an address of the internet. Nothing is sent: connecting a UDP socket only looks up the route. Nobody has to
 * be asked from where this node is seen, since nothing translates: a NAT between IPv6 networks (RFC 6296) is not looked for.
 */
async function ownV6Towards({ ip, port }: Endpoint): Promise<Uint8Array | null> {
  const socket = createSocket('udp6')
  try {
    socket.connect(port, ipText(ip))
    await once(socket, 'connect')
    const own = ipBytes(socket.address().address)
    return own !== undefined && isInternetV6(own) ? own : null
  } catch {
    return null // no route, or no IPv6 at all
  } finally {
    socket.close()
  }
}

/**
 * Where a peer sees a port of this node: over IPv6 first, where the peer announces to be there, then what reflectors say of IPv4.
 * @param peerV6 where the peer announces to be in IPv6's internet; null: nowhere.
 * @throws the error of the reflectors where there is no IPv6 either.
 */
export async function endpointsTowards(
  peerV6: Endpoint | null,
  port: number,
  reflect: () => Promise<readonly Endpoint[]>,
): Promise<readonly Endpoint[]> {
  const ip = peerV6 === null ? null : await ownV6Towards(peerV6)
  if (ip === null) return reflect()
  const seen = await reflect().catch(() => []) // IPv6 needs no reflector
  return [{ ip, port }, ...seen]
}
