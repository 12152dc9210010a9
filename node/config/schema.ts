import { isIP } from 'node:net'
import { z } from 'zod'
import { LabelSchema, RoleSchema } from '../api/schemas.ts'

const port = z.int().min(0).max(65_535)
/** `/ip4/0.0.0.0/tcp/4701`, with a host name too where others are told the address. */
function multiaddr(isName: boolean) {
  return z.string().refine(
    (text) => {
      const [, protocol = '', host = '', tcp, number = ''] = text.split('/')
      const version = { ip4: 4, ip6: 6 }[protocol]
      const isHost =
        version === undefined ? isName && /^dns[46]?$/.test(protocol) && host !== '' : isIP(host) === version
      return isHost && tcp === 'tcp' && /^\d{1,5}$/.test(number) && Number(number) <= 65_535
    },
    { error: 'expected a TCP multiaddr such as "/ip4/0.0.0.0/tcp/4701"' },
  )
}
const address = z.string().refine((text) => isIP(text) !== 0, { error: 'expected an IP address' })

/**
 * Every setting of a node. One schema for the file, the environment and the flags; the comment of each field is what
 * `kith config get` users need to know. A port of 0 takes a free one.
 */
export const ConfigSchema = z.strictObject({
  /** This node's name in the mesh; null means the machine's host name. */
  name: LabelSchema.nullable(),
  /** Where the mesh listens, as multiaddrs. 4701 is unassigned at IANA. */
  listen: z.array(multiaddr(false)).min(1).max(16),
  /** Addresses announced instead of the ones found on the interfaces. */
  announce: z.array(multiaddr(true)).max(8),
  /** Peers dialled while none is connected; each ends in /p2p/ID. */
  bootstrap: z.array(z.string().startsWith('/')).max(64),
  /** Roles to take up; null means all the certificate grants. Never adds one. */
  roles: z.array(RoleSchema).max(8).nullable(),
  /** Relays for other members. */
  relay: z.boolean(),
  /** Only lets others in and relays: no gateway, no DNS, no dashboard. */
  door: z.boolean(),
  /** Looks for members on the same network by multicast DNS, and lets them find this node; says nothing to others. */
  mdns: z.boolean(),
  /** Asks the router for the mesh port, by PCP, NAT-PMP and UPnP. */
  portmap: z.boolean(),
  /** Lets stock libp2p peers connect, for ping and identify: they have no certificates, so nothing else is open to them. */
  compat: z.boolean(),
  ui: z.strictObject({ enabled: z.boolean(), port }),
  dns: z.strictObject({ port }),
  /** `address` beyond loopback opens the gateway to the LAN, for services published with `--allow lan`. */
  gateway: z.strictObject({ port, address }),
  /** Also listen on 53, 80 and 443. */
  privileged: z.boolean(),
  log: z.strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']),
    /** `auto` writes text to a terminal and JSON elsewhere. */
    format: z.enum(['auto', 'json', 'text']),
  }),
})

/** A validated configuration. */
export type Config = z.infer<typeof ConfigSchema>

/** What a node runs with when nobody says otherwise; the ports are the contract of INTERFACE (README, "Ports"). */
export const DEFAULT_CONFIG: Config = {
  name: null,
  listen: ['/ip4/0.0.0.0/tcp/4701', '/ip6/::/tcp/4701'],
  announce: [],
  bootstrap: [],
  roles: null,
  relay: true,
  door: false,
  mdns: true,
  portmap: true,
  compat: false,
  ui: { enabled: true, port: 4780 },
  dns: { port: 4753 },
  gateway: { port: 4743, address: '127.0.0.1' },
  privileged: false,
  log: { level: 'info', format: 'auto' },
}
