import type { Socket } from 'node:net'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { plainEndpoint, plainIp, type Endpoint } from '../../protocols/traversal/endpoint.ts'

/** An address as `net` takes it. */
export function ipText(ip: Uint8Array): string {
  const plain = plainIp(ip)
  if (plain.length === 4) return plain.join('.')
  return Array.from({ length: 8 }, (_, i) =>
    (((plain[2 * i] ?? 0) << 8) | (plain[2 * i + 1] ?? 0)).toString(16),
  ).join(':')
}

/** The other end of a socket; null when it is gone already. */
export function remoteEndpoint({ remoteAddress, remotePort }: Socket): Endpoint | null {
  return endpointOf(remoteAddress, remotePort)
}

/** This end of a socket; null when it has none yet. */
export function localEndpoint({ localAddress, localPort }: Socket): Endpoint | null {
  return endpointOf(localAddress, localPort)
}

function endpointOf(address: string | undefined, port: number | undefined): Endpoint | null {
  const ip = address === undefined ? undefined : ipBytes(address)
  return ip === undefined || port === undefined ? null : plainEndpoint({ ip, port })
}
