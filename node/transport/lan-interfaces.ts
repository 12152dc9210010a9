import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { ipBytes, isLinkLocalV6, type Subnet } from '../../bootstrap/ip-bytes.ts'
import type { Endpoint } from '../../bootstrap/lan-service.ts'
import { LAN_LINKS_MAX, SIGHTING_ADDRESSES_MAX } from '../../bootstrap/limits.ts'

/** IFF_MULTICAST of netdevice(7). */
const FLAG_MULTICAST = 0x1000

/** A network interface that is up. */
export interface LanInterface {
  readonly name: string
  /** Address texts, IPv4 and IPv6, without zones. */
  readonly addresses: readonly string[]
  readonly subnets: readonly Subnet[]
}

/** The interfaces that are up and can multicast; or, for tests, the loopback interface alone. At most `LAN_LINKS_MAX` / 2. */
export function lanInterfaces(options: { loopback: boolean }): LanInterface[] {
  const found: LanInterface[] = []
  for (const [name, all = []] of Object.entries(networkInterfaces())) {
    // A prefix as long as the address is a tunnel or an alias: nobody else is on that link.
    const own = all.filter(
      ({ cidr, family }) => cidr !== null && !cidr.endsWith(family === 'IPv4' ? '/32' : '/128'),
    )
    if (own.length === 0 || own.some(({ internal }) => internal !== options.loopback)) continue
    if (!options.loopback && !canMulticast(name)) continue
    const subnets = own.flatMap(({ cidr, address }) => {
      const network = ipBytes(address)
      return network === undefined ? [] : [{ network, prefixBits: Number(cidr?.split('/')[1]) }]
    })
    found.push({ name, addresses: own.map(({ address }) => address), subnets })
  }
  return found.slice(0, LAN_LINKS_MAX / 2)
}

/** Linux says which interfaces cannot, such as tunnels; elsewhere joining the group fails there. */
function canMulticast(name: string): boolean {
  if (process.platform !== 'linux' || name.includes('/')) return true
  try {
    return (Number(readFileSync(`/sys/class/net/${name}/flags`, 'latin1')) & FLAG_MULTICAST) !== 0
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true // no sysfs here: try
    throw error
  }
}

/**
 * Where a node that listens at these multiaddrs is found on the interface: the addresses of one port, IPv4's where both
 * families have one. Null when it does not listen there. Link-local IPv6 addresses are left out: who dials needs their zone.
 */
export function endpointOn({ addresses }: LanInterface, listening: readonly string[]): Endpoint | null {
  const byPort = new Map<number, Uint8Array[]>()
  for (const address of addresses) {
    const ip = ipBytes(address)
    if (ip === undefined || isLinkLocalV6(ip)) continue
    const port = portAt(ip, listening)
    if (port !== undefined) byPort.set(port, [...(byPort.get(port) ?? []), ip])
  }
  const [first] = [...byPort].sort(([, a], [, b]) => (a[0]?.length ?? 0) - (b[0]?.length ?? 0))
  return first === undefined ? null : { port: first[0], ips: first[1].slice(0, SIGHTING_ADDRESSES_MAX) }
}

function portAt(ip: Uint8Array, listening: readonly string[]): number | undefined {
  const port = listening.filter((text) => isAt(ip, text)).map((text) => Number(text.split('/')[4]))
  return port.find((number) => number > 0)
}

/** Whether one of these multiaddrs, wildcards included, is on the interface. */
export function listensOn({ addresses }: LanInterface, listening: readonly string[]): boolean {
  return addresses.some((address) => {
    const ip = ipBytes(address)
    return ip !== undefined && listening.some((text) => isAt(ip, text))
  })
}

function isAt(ip: Uint8Array, listening: string): boolean {
  const [, , host = '', transport] = listening.split('/')
  const bytes = ipBytes(host)
  if (transport !== 'tcp' || bytes?.length !== ip.length) return false
  return bytes.every((byte) => byte === 0) || bytes.every((byte, i) => byte === ip[i])
}
