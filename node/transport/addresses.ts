import { isIPv4, isIPv6 } from 'node:net'
import type { Address } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { ADDRESSES_MAX } from '../../protocols/registry/limits.ts'
import type { Endpoint } from '../../protocols/traversal/endpoint.ts'

type Locality = 'loopback' | 'private' | 'public'
const DIAL_ORDER: readonly Locality[] = ['private', 'public', 'loopback']

/** The IP address of a multiaddr, without the zone; undefined for names, circuits and whatever else another member wrote. */
export function ipOf(address: string): string | undefined {
  const [, protocol, ip = ''] = address.split('/')
  const isValid =
    (protocol === 'ip4' && isIPv4(ip)) || (protocol === 'ip6' && isIPv6(ip) && !ip.includes('%'))
  return isValid ? ip : undefined
}

/** Where an address leads, by the special-purpose registries (RFC 6890). */
export function localityOf(address: string): Locality {
  const ip = ipOf(address) ?? ''
  if (ip.startsWith('127.') || ip === '::1') return 'loopback'
  if (
    /^(10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(ip)
  )
    return 'private'
  if (/^(f[cd]|fe[89ab])/i.test(ip)) return 'private'
  return 'public'
}

/**
 * Dial order: the LAN first (libp2p dials the WAN first and spends seconds on each address), loopback last, since another
 * machine's 127.0.0.1 is ours.
 */
export function byLocality(a: Address, b: Address): -1 | 0 | 1 {
  const order = (address: Address): number => DIAL_ORDER.indexOf(localityOf(address.multiaddr.toString()))
  return Math.sign(order(a) - order(b)) as -1 | 0 | 1
}

/**
 * The addresses others are told, without the peer id: loopback and link-local ones only when there are no others, so that
 * several nodes on one machine find each other and nobody else is sent to its own loopback.
 */
export function announcedAddresses(addresses: readonly Multiaddr[]): string[] {
  const texts = [...new Set(addresses.map((address) => address.toString().replace(/\/p2p\/[^/]+$/, '')))]
  const isFar = (text: string): boolean => localityOf(text) !== 'loopback' && !/^\/ip6\/fe[89ab]/i.test(text)
  const far = texts.filter(isFar)
  return (far.length > 0 ? far : texts).slice(0, ADDRESSES_MAX)
}

/** Full multiaddrs from those of a registration, which leave the peer out. */
export function fullAddresses(addresses: readonly string[], peerId: string): string[] {
  return addresses.map((address) => `${address}/p2p/${peerId}`)
}

/** What one household or server has: the address itself in IPv4, the /64 in IPv6. */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip
  const [head = '', tail] = ip.split('::')
  const groups = head.split(':').filter((group) => group !== '')
  const missing =
    tail === undefined ? 0 : 8 - groups.length - tail.split(':').filter((group) => group !== '').length
  return [...groups, ...Array.from({ length: missing }, () => '0')].slice(0, 4).join(':')
}

/** IP address and TCP port at the start of a multiaddr; undefined for any other. */
export function endpointOf(address: string): Endpoint | undefined {
  const ip = ipBytes(ipOf(address) ?? '')
  const port = Number(/^\/ip[46]\/[^/]+\/tcp\/(\d{1,5})(\/|$)/.exec(address)?.[1])
  return ip === undefined || !(port >= 1 && port <= 65_535) ? undefined : { ip, port }
}
