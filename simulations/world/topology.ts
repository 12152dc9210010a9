import { z } from 'zod'

/** How a node's router treats those who come from outside; `open` has none. */
export const NAT_CLASSES = ['open', 'full-cone', 'port-restricted', 'symmetric', 'relay-only'] as const
export type NatClass = (typeof NAT_CLASSES)[number]

/** The network as it is without faults. Node `i` stands in region `i % regions` and has the NAT class `nat[i % nat.length]`. */
export const topologySchema = z.strictObject({
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
  nat: z.array(z.enum(NAT_CLASSES)).min(1).max(64).default(['open']),
  /** Open nodes that carry for pairs whose routers do not let them meet. */
  relays: z.int().min(0).max(16).default(0),
})
export type Topology = z.output<typeof topologySchema>

/** How a dial gets there: straight, by hole punching (which needs a relay to arrange it), or only through a relay. */
export type Way = 'direct' | 'punched' | 'relayed'

const P: Way = 'punched'
const D: Way = 'direct'
const R: Way = 'relayed'
/** Row: who dials; column: who is dialled; both in the order of `NAT_CLASSES`. */
const WAYS: readonly (readonly Way[])[] = [
  [D, D, P, P, R],
  [D, D, P, P, R],
  [D, D, P, R, R],
  [D, D, R, R, R],
  [D, D, R, R, R],
]

/** Who can dial whom. */
export function wayBetween(from: NatClass, to: NatClass): Way {
  return WAYS[NAT_CLASSES.indexOf(from)]?.[NAT_CLASSES.indexOf(to)] ?? 'relayed'
}
