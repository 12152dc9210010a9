import { NAT_KINDS, type NatKind, type NatPlace } from './nat-kinds.ts'

/** Homes behind a port-restricted carrier, which all of them share an address of. */
const CARRIED = { cgnat: 'port-restricted', 'upnp-behind-carrier': 'upnp' } as const satisfies Readonly<
  Record<string, keyof typeof NAT_KINDS>
>

/** What stands between a site's hosts and the internet. `cgnat`: a port-restricted home behind a port-restricted carrier. */
export type SiteKind = 'open' | keyof typeof CARRIED | keyof typeof NAT_KINDS

/** One place: a machine on the internet itself, or a router with machines behind it. */
export interface SiteSpec {
  readonly name: string
  readonly kind: SiteKind
  /** Machines behind the router, 1 to `HOSTS_MAX`; `open` has one. */
  readonly hosts?: number
  /** Machines have addresses of the internet's IPv6 too; a home's router lets in answers only (RFC 6092), as routers at home do. */
  readonly ipv6?: boolean
}

/** A machine of a site and what is done in its namespace to set it up. */
export interface Machine {
  readonly name: string
  /** Lines for `ip -batch`, run there. */
  readonly ip: readonly string[]
  /** A router: forwards, with this ruleset. */
  readonly rules: string | null
}

/** One end of a cable inside a site. */
export interface End {
  readonly machine: string
  readonly device: string
}

/** How a site is built. */
export interface SitePlan {
  /** The machine that has the internet's device, named `wan`. */
  readonly edge: string
  /** The machine the hosts have as their gateway: the edge, but behind a carrier the home's own; `open`: the host. */
  readonly router: string
  /** Machines programs run on. */
  readonly hosts: readonly string[]
  readonly machines: readonly Machine[]
  readonly cables: readonly (readonly [End, End])[]
}

/** Machines behind one router: as many as the lab's stories need, and few enough for a name of a device each. */
const HOSTS_MAX = 8
/** Every home has the same network, as homes do: an address of one means another machine in the next. */
const HOME = '192.168.1'
const CARRIER = '100.64.0'
/** Nothing is translated; what nobody inside began is dropped. */
const FIREWALL_V6 = `table ip6 filter {
  chain input { type filter hook input priority filter;
    iifname "wan" ct state new drop
  }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }
}
`

/** The address a site has on the internet; it owns the whole `11.0.<number>.0/24`. */
export function publicAddress(number: number): string {
  return `11.0.${number}.1`
}

/** The address of a site's machine in IPv6: the router or only host has the first, hosts behind a router follow. */
export function publicAddressV6(number: number, host = 1): string {
  return `2a11:0:0:${number.toString(16)}::${host.toString(16)}`
}

/** Machines, cables and rules of the site with this number. */
export function planSite({ name, kind, hosts = 1, ipv6 = false }: SiteSpec, number: number): SitePlan {
  if (hosts < 1 || hosts > (kind === 'open' ? 1 : HOSTS_MAX))
    throw new Error(`site "${name}" with ${hosts} machines`)
  const wan = publicAddress(number)
  const online = [`addr add ${wan}/32 dev wan`, 'link set wan up', 'route add default dev wan']
  if (kind === 'open') {
    const ip = ipv6
      ? [...online, `addr add ${publicAddressV6(number)}/128 dev wan nodad`, 'route add ::/0 dev wan']
      : online
    return {
      edge: name,
      router: name,
      hosts: [name],
      machines: [{ name, ip, rules: null }],
      cables: [],
    }
  }
  if (kind === 'cgnat' || kind === 'upnp-behind-carrier') {
    if (ipv6) throw new Error(`site "${name}": no carrier of the lab has IPv6`)
    const carrier = planHome(`${name}-carrier`, [`${name}-router`], CARRIER, online, wan, 'port-restricted')
    const home = planHome(
      `${name}-router`,
      hostNames(name, hosts),
      HOME,
      lanSide(CARRIER, 2, 'wan'),
      `${CARRIER}.2`,
      CARRIED[kind],
    )
    // Of the carrier's plan everything but its customer, which is the home's router.
    const machines = [...carrier.machines.filter(({ name: each }) => each === carrier.edge), ...home.machines]
    const cable = [
      { machine: carrier.edge, device: 'lan0' },
      { machine: home.edge, device: 'wan' },
    ] as const
    return {
      edge: carrier.edge,
      router: home.edge,
      hosts: home.hosts,
      machines,
      cables: [cable, ...home.cables],
    }
  }
  // A mere firewall does not translate: its hosts have addresses of the internet.
  const network = kind === 'firewall' ? `11.0.${number}` : HOME
  const home = planHome(`${name}-router`, hostNames(name, hosts), network, online, wan, kind)
  return ipv6
    ? { ...home, machines: home.machines.map((machine, i) => withV6(machine, number, i + 1)) }
    : home
}

/** A machine of a home with IPv6 too: the router, or a host. */
function withV6({ name, ip, rules }: Machine, number: number, host: number): Machine {
  const address = `addr add ${publicAddressV6(number, host)}/64 dev ${rules === null ? 'eth0' : 'lan'} nodad`
  const route = `route add ::/0 ${rules === null ? `via ${publicAddressV6(number)}` : 'dev wan'}`
  return { name, ip: [...ip, address, route], rules: rules === null ? null : rules + FIREWALL_V6 }
}

function hostNames(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => (i === 0 ? name : `${name}-${i + 1}`))
}

/** A router and the machines behind it, joined by a bridge named `lan`. */
function planHome(
  router: string,
  names: readonly string[],
  network: string,
  online: readonly string[],
  wanAddress: string,
  kind: keyof typeof NAT_KINDS,
): SitePlan {
  const first = firstOf(network)
  const place: NatPlace = {
    wan: 'wan',
    wanAddress,
    lan: 'lan',
    lanNetwork: first === 1 ? `${network}.0/24` : `${network}.128/25`,
  }
  const lan = [
    'link add lan type bridge',
    `addr add ${network}.${first}/${first === 1 ? 24 : 25} dev lan`,
    'link set lan up',
    ...names.flatMap((_, i) => [`link set lan${i} master lan`, `link set lan${i} up`]),
  ]
  const nat: NatKind = NAT_KINDS[kind]
  const hosts = names.map((name, i) => ({ name, ip: lanSide(network, first + 1 + i, 'eth0'), rules: null }))
  return {
    edge: router,
    router,
    hosts: names,
    machines: [{ name: router, ip: [...lan, ...online], rules: nat.rules(place) }, ...hosts],
    cables: names.map((name, i) => [
      { machine: router, device: `lan${i}` },
      { machine: name, device: 'eth0' },
    ]),
  }
}

/** The router's own address in a network: the first, or the first of the upper half where the lower one is the internet's. */
function firstOf(network: string): number {
  return network.startsWith('11.') ? 129 : 1
}

function lanSide(network: string, host: number, device: string): string[] {
  const first = firstOf(network)
  return [
    `addr add ${network}.${host}/${first === 1 ? 24 : 25} dev ${device}`,
    `link set ${device} up`,
    `route add default via ${network}.${first}`,
  ]
}
