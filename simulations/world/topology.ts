import { z } from 'zod'
import { expectedPath } from '../../protocols/traversal/expected-path.ts'
import type { Standing } from '../../protocols/traversal/nat.ts'
import { NAT_KINDS } from '../lab/nat-kinds.ts'
import type { SiteKind } from '../lab/site.ts'

/** What stands between a site and the internet: kinds the lab builds of the kernel's NAT, but for those that map ports when asked. */
export const SITE_KINDS = [
  'open',
  'cgnat',
  'full-cone',
  'address-restricted',
  'port-restricted',
  'port-restricted-other-port',
  'symmetric',
  'symmetric-sequential',
  'address-dependent',
  'hairpin',
  'linux-open',
  'firewall',
  'udp-blocked',
  'only-443',
] as const satisfies readonly SiteKind[]
export type SimulatedKind = (typeof SITE_KINDS)[number]

const way = {
  /** One way. */
  delayMs: z.number().min(0).max(5_000),
  /** Up to so much more, drawn for each frame or packet. */
  jitterMs: z.number().min(0).max(5_000).default(0),
  /** Chance of a frame or packet being lost. */
  lossRate: z.number().min(0).max(0.9).default(0),
}

/** The network as it is without faults. Node `i` stands at site `sites[i]`, which has the kind `nat[site % nat.length]`. */
export const topologySchema = z.strictObject({
  /** Node `i` stands in region `i % regions`. */
  regions: z.int().min(1).max(16).default(1),
  /** One way, inside a region. */
  nearMs: z.number().min(0).max(5_000).default(5),
  /** One way, between two regions. */
  farMs: z.number().min(0).max(5_000).default(40),
  /** Up to so much more, drawn for each frame. */
  jitterMs: z.number().min(0).max(5_000).default(10),
  /** Chance of a frame being lost; the stream's retransmission makes it late. */
  lossRate: z.number().min(0).max(0.9).default(0),
  /** Upstream of each node; null for no bound. */
  bytesPerSecond: z.number().min(1_000).nullable().default(null),
  nat: z.array(z.enum(SITE_KINDS)).min(1).max(64).default(['open']),
  /** Number of each node's site; by itself every node has one of its own. Nodes of one site are behind one router. */
  sites: z.array(z.int().min(0).max(255)).max(10_000).default([]),
  /** Ways between two sites, both ways, that are not as the regions say. */
  links: z
    .array(z.strictObject({ one: z.int().min(0), other: z.int().min(0), ...way }))
    .max(1_000)
    .default([]),
  /** Open nodes that carry for pairs whose routers do not let them meet. */
  relays: z.int().min(0).max(16).default(0),
})
export type Topology = z.output<typeof topologySchema>

/** How a dial gets there: straight, by hole punching (which needs a relay to arrange it), or only through a relay. */
export type Way = 'direct' | 'punched' | 'relayed'

/** How a node at a site of this kind stands towards the internet over TCP. */
export function standingOf(kind: SimulatedKind): Standing {
  if (kind === 'open') return 'dialable'
  // A carrier's NAT in front of a home's, both port-restricted, is one.
  return NAT_KINDS[kind === 'cgnat' ? 'port-restricted' : kind].tcp
}

/** Who can dial whom. Somebody open reaches one behind a router by asking it, over a relay, to dial. */
export function wayBetween(from: SimulatedKind, to: SimulatedKind): Way {
  if (to === 'open') return 'direct'
  return expectedPath(standingOf(from), standingOf(to)).path === 'relay' ? 'relayed' : 'punched'
}
