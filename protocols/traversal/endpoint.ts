import { compareBytes, equalBytes, toHex } from '../common/bytes.ts'

/** An IP address and a port. */
export interface Endpoint {
  /** 4 or 16 bytes; an IPv4 address inside IPv6 (`::ffff:1.2.3.4`) counts as the IPv4 address. */
  readonly ip: Uint8Array
  readonly port: number
}

/** Where an address leads. `shared`: between a provider's NAT and its customers (RFC 6598). */
export type AddressScope = 'public' | 'private' | 'shared' | 'loopback' | 'link-local' | 'reserved'

/** Blocks that are not public, as [first bytes, bits, scope] (RFC 6890 and the IANA special-purpose registries). */
const BLOCKS_V4: readonly (readonly [bytes: readonly number[], bits: number, scope: AddressScope])[] = [
  [[0], 8, 'reserved'],
  [[10], 8, 'private'],
  [[100, 64], 10, 'shared'],
  [[127], 8, 'loopback'],
  [[169, 254], 16, 'link-local'],
  [[172, 16], 12, 'private'],
  [[192, 0, 0], 24, 'reserved'],
  [[192, 0, 2], 24, 'reserved'],
  [[192, 168], 16, 'private'],
  [[198, 18], 15, 'reserved'],
  [[198, 51, 100], 24, 'reserved'],
  [[203, 0, 113], 24, 'reserved'],
  [[224], 3, 'reserved'],
]
const MAPPED_V4 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
const LOOPBACK_V6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

/** The address with IPv4 inside IPv6 taken out. */
export function plainIp(ip: Uint8Array): Uint8Array {
  return ip.length === 16 && equalBytes(ip.subarray(0, 12), MAPPED_V4) ? ip.slice(12) : ip
}

/** The endpoint with IPv4 inside IPv6 taken out. */
export function plainEndpoint({ ip, port }: Endpoint): Endpoint {
  return { ip: plainIp(ip), port }
}

/** Whether there can be such an endpoint: an address of 4 or 16 bytes and a port that is not 0. */
export function isEndpoint({ ip, port }: Endpoint): boolean {
  return (ip.length === 4 || ip.length === 16) && Number.isInteger(port) && port >= 1 && port <= 65_535
}

/** Where an address leads. Only `public` ones lead anywhere on the internet. */
export function scopeOf(address: Uint8Array): AddressScope {
  const ip = plainIp(address)
  if (ip.length === 4) return BLOCKS_V4.find(([bytes, bits]) => startsWith(ip, bytes, bits))?.[2] ?? 'public'
  if (ip.length !== 16) return 'reserved'
  if (equalBytes(ip, LOOPBACK_V6)) return 'loopback'
  if (startsWith(ip, [0xfe, 0x80], 10)) return 'link-local'
  if (startsWith(ip, [0xfc], 7)) return 'private'
  // Documentation, Teredo and 6to4, whose addresses carry others inside; then all that is not global unicast (RFC 4291 §2.4).
  if (startsWith(ip, [0x20, 0x01, 0x0d, 0xb8], 32) || startsWith(ip, [0x20, 0x01, 0, 0], 32))
    return 'reserved'
  if (startsWith(ip, [0x20, 0x02], 16)) return 'reserved'
  return startsWith(ip, [0x20], 3) ? 'public' : 'reserved'
}

function startsWith(ip: Uint8Array, bytes: readonly number[], bits: number): boolean {
  for (let at = 0; at < bits; at += 8) {
    const mask = bits - at >= 8 ? 0xff : (0xff << (8 - (bits - at))) & 0xff
    if ((((ip[at / 8] ?? 0) ^ (bytes[at / 8] ?? 0)) & mask) !== 0) return false
  }
  return true
}

/** A text that two endpoints share only when they are the same; for keys of maps. */
export function endpointKey({ ip, port }: Endpoint): string {
  return `${ipKey(ip)}:${port}`
}

/** A text that two addresses share only when they are the same. */
export function ipKey(ip: Uint8Array): string {
  return toHex(plainIp(ip))
}

/** Whether two addresses are the same. */
export function sameIp(one: Uint8Array, other: Uint8Array): boolean {
  return compareBytes(plainIp(one), plainIp(other)) === 0
}

/** Whether it is an address of IPv6, and not one of IPv4 inside it. */
export function isV6(ip: Uint8Array): boolean {
  return plainIp(ip).length === 16
}

/** Whether it is an address of IPv6's internet, where nothing translates. */
export function isInternetV6(ip: Uint8Array): boolean {
  return isV6(ip) && scopeOf(ip) === 'public'
}

/** Whether two addresses are of one host or household: the same one in IPv4, the same /64 in IPv6, where hosts have several. */
export function isSamePlace(one: Uint8Array, other: Uint8Array): boolean {
  const [own, its] = [plainIp(one), plainIp(other)]
  return own.length === 16 && its.length === 16
    ? equalBytes(own.subarray(0, 8), its.subarray(0, 8))
    : sameIp(own, its)
}

/** Whether two endpoints are the same. */
export function sameEndpoint(one: Endpoint, other: Endpoint): boolean {
  return one.port === other.port && sameIp(one.ip, other.ip)
}

/** The endpoint as people write it, `1.2.3.4:5` or `[2003:0:…:1]:5`. */
export function describeEndpoint({ ip, port }: Endpoint): string {
  const plain = plainIp(ip)
  if (plain.length === 4) return `${plain.join('.')}:${port}`
  const groups = (toHex(plain).match(/.{4}/g) ?? []).map((group) => group.replace(/^0{1,3}/, ''))
  return `[${groups.join(':')}]:${port}`
}
