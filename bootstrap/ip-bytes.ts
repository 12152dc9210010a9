import { isIPv4, isIPv6 } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'

/** A range of addresses: those whose first `prefixBits` are those of `network`. */
export interface Subnet {
  readonly network: Uint8Array
  readonly prefixBits: number
}

/** The 4 or 16 bytes of an IP address text, a zone (`%eth0`) left out; undefined for any other text. */
export function ipBytes(text: string): Uint8Array | undefined {
  const [ip = ''] = text.split('%')
  const protocol = isIPv4(ip) ? 'ip4' : isIPv6(ip) ? 'ip6' : undefined
  return protocol === undefined ? undefined : multiaddr(`/${protocol}/${ip}`).bytes.slice(1)
}

/** `/ip4/…` or `/ip6/…` of 4 or 16 bytes. */
export function ipMultiaddr(ip: Uint8Array): string {
  if (ip.length === 4) return `/ip4/${ip.join('.')}`
  const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength)
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(i * 2).toString(16))
  return multiaddr(`/ip6/${groups.join(':')}`).toString()
}

/** Whether the address lies in the range; never for the other family. */
export function inSubnet(ip: Uint8Array, { network, prefixBits }: Subnet): boolean {
  if (ip.length !== network.length) return false
  for (let bit = 0; bit < prefixBits; bit += 8) {
    const mask = prefixBits - bit >= 8 ? 0xff : (0xff << (8 - (prefixBits - bit))) & 0xff
    const index = bit / 8
    if ((((ip[index] ?? 0) ^ (network[index] ?? 0)) & mask) !== 0) return false
  }
  return true
}

/** Whether the address is good on one link only (169.254/16 is routed like others and is not meant). */
export function isLinkLocalV6(ip: Uint8Array): boolean {
  return ip.length === 16 && ip[0] === 0xfe && ((ip[1] ?? 0) & 0xc0) === 0x80
}
