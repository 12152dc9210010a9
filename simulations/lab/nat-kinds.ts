import type { NatBehaviour } from '../../protocols/traversal/nat.ts'

/** Where a NAT stands: its devices and addresses. */
export interface NatPlace {
  /** Device towards the internet, and its address there. */
  readonly wan: string
  readonly wanAddress: string
  /** Device towards the hosts behind it, and their network, as `192.168.7.0/24`. */
  readonly lan: string
  readonly lanNetwork: string
}

/** One kind of NAT or firewall as the kernel does it. */
export interface NatKind {
  readonly about: string
  /** What RFC 4787 calls it, by transport protocol; null: that protocol does not pass. */
  readonly udp: NatBehaviour | null
  readonly tcp: NatBehaviour | null
  /** The ruleset, for `nft -f -` in the router's namespace. */
  readonly rules: (place: NatPlace) => string
}

/** Ports the kinds that do not keep them map to; fewer than a tester would need to meet one twice by chance. */
const MAPPED_PORTS = ':20000-29999'
/** Outside ports of the two kinds whose choice is a table: so many that neighbouring mappings differ. */
const TABLE_PORTS = Array.from({ length: 8 }, (_, i) => `${i}: ${30_000 + i}`).join(', ')

/** Unsolicited packets are dropped by router and host side alike: the base of every kind but `linux-open`. */
function closed({ wan, lan }: NatPlace, first = ''): string {
  return `table ip filter {
  chain input { type filter hook input priority filter;
    iifname "${wan}" ct state new drop
  }
  chain forward { type filter hook forward priority filter; policy drop;
    ${first}
    ct state established,related accept
    iifname "${lan}" accept
    ct status dnat accept
  }
}
`
}

function source({ wan, lanNetwork }: NatPlace, action: string): string {
  return `table ip nat {
  chain postrouting { type nat hook postrouting priority srcnat;
    oifname "${wan}" ip saddr ${lanNetwork} ${action}
  }
}
`
}

/** Remembers who sent from which port, so that others may answer; `by`: what a remote must have in common with the target. */
function remembering({ wan, wanAddress, lan, lanNetwork }: NatPlace, by: '' | 'ip', hairpin = false): string {
  const [key, update, lookup] =
    by === ''
      ? ['inet_proto . inet_service', '', '']
      : ['ipv4_addr . inet_proto . inet_service', 'ip daddr . ', 'ip saddr . ']
  const from = hairpin ? '' : `iifname "${wan}" `
  return `table ip nat {
  map seen { type ${key} : ipv4_addr . inet_service; flags dynamic,timeout; timeout 5m; size 65535; }
  chain remember { type filter hook postrouting priority 99;
    oifname "${wan}" ip saddr ${lanNetwork} meta l4proto { tcp, udp } update @seen { ${update}meta l4proto . th sport : ip saddr . th sport }
  }
  chain prerouting { type nat hook prerouting priority dstnat;
    ${from}ip daddr ${wanAddress} dnat ip to ${lookup}meta l4proto . th dport map @seen
  }
  chain postrouting { type nat hook postrouting priority srcnat;
    oifname "${wan}" ip saddr ${lanNetwork} masquerade
    ${hairpin ? `iifname "${lan}" oifname "${lan}" ct status dnat snat ip to ${wanAddress}` : ''}
  }
}
`
}

/** Chains where Debian's miniupnpd keeps its rules; it looks for them by these names and makes none itself. */
const MINIUPNPD_CHAINS = `table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain forward { type filter hook forward priority filter;
    jump miniupnpd
  }
  chain prerouting { type nat hook prerouting priority dstnat;
    jump prerouting_miniupnpd
  }
  chain postrouting { type nat hook postrouting priority srcnat;
    jump postrouting_miniupnpd
  }
}
`

const same = (behaviour: NatBehaviour) => ({ udp: behaviour, tcp: behaviour })
const portRestricted: NatBehaviour = {
  mapping: 'endpoint-independent',
  filtering: 'address-and-port-dependent',
  keepsPort: true,
  hairpins: false,
}
const symmetric: NatBehaviour = { ...portRestricted, mapping: 'address-and-port-dependent', keepsPort: false }

/** Every kind the lab has, by name. */
export const NAT_KINDS = {
  'full-cone': {
    about: 'Whoever knows the outside port may send to it.',
    ...same({ ...portRestricted, filtering: 'endpoint-independent' }),
    rules: (place) => closed(place) + remembering(place, ''),
  },
  'address-restricted': {
    about: 'Hosts that were sent to may answer from any port.',
    ...same({ ...portRestricted, filtering: 'address-dependent' }),
    rules: (place) => closed(place) + remembering(place, 'ip'),
  },
  'port-restricted': {
    about: 'Linux as it is: only the endpoint that was sent to may answer.',
    ...same(portRestricted),
    rules: (place) => closed(place) + source(place, 'masquerade'),
  },
  'port-restricted-other-port': {
    about: 'The same, but the outside port is another than the inside one.',
    ...same({ ...portRestricted, keepsPort: false }),
    rules: (place) =>
      closed(place) + source(place, `meta l4proto { tcp, udp } masquerade to ${MAPPED_PORTS}`),
  },
  upnp: {
    about:
      'Port-restricted, and opens ports for hosts that ask: miniupnpd, once it is started on the router.',
    ...same(portRestricted),
    rules: (place) => closed(place) + source(place, 'masquerade') + MINIUPNPD_CHAINS,
  },
  symmetric: {
    about: 'Another random outside port for each endpoint sent to.',
    ...same(symmetric),
    rules: (place) => closed(place) + source(place, 'masquerade fully-random'),
  },
  'symmetric-sequential': {
    about: 'Another outside port for each endpoint sent to, the next one in turn.',
    ...same(symmetric),
    rules: (place) =>
      closed(place) +
      source(
        place,
        `meta l4proto { tcp, udp } snat ip to ${place.wanAddress} : numgen inc mod 8 map { ${TABLE_PORTS} }`,
      ),
  },
  'address-dependent': {
    about: 'Another outside port for each host sent to.',
    ...same({ ...symmetric, mapping: 'address-dependent' }),
    rules: (place) =>
      closed(place) +
      source(
        place,
        `meta l4proto { tcp, udp } snat ip to ${place.wanAddress} : jhash ip daddr mod 8 seed 7 map { ${TABLE_PORTS} }`,
      ),
  },
  hairpin: {
    about: 'Full cone, and hosts behind it reach each other by their outside endpoints.',
    ...same({ ...portRestricted, filtering: 'endpoint-independent', hairpins: true }),
    rules: (place) => closed(place) + remembering(place, '', true),
  },
  'linux-open': {
    about: 'Linux without a firewall: the router itself answers the unsolicited.',
    ...same(portRestricted),
    rules: (place) => source(place, 'masquerade'),
  },
  firewall: {
    about: 'No translation, only a firewall: IPv6 at home.',
    // The outside endpoint is the inside one.
    ...same({ ...portRestricted, hairpins: true }),
    rules: (place) => closed(place),
  },
  'udp-blocked': {
    about: 'Only TCP passes.',
    udp: null,
    tcp: portRestricted,
    rules: (place) => closed(place, 'meta l4proto udp drop') + source(place, 'masquerade'),
  },
  'only-443': {
    about: 'Only TCP to port 443 passes.',
    udp: null,
    tcp: portRestricted,
    rules: (place) =>
      closed(place, `iifname "${place.lan}" tcp dport != 443 drop; meta l4proto udp drop`) +
      source(place, 'masquerade'),
  },
} as const satisfies Readonly<Record<string, NatKind>>
