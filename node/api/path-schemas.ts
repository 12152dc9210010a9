import { z } from 'zod'

/** A reason code with what it means here and what to do. */
export const PathReasonSchema = z.object({ code: z.string(), text: z.string(), fix: z.string() })

/** One way to a peer that was tried, or was not and why. Times are ms since the epoch. */
export const TriedSchema = z.object({
  /** `local`: an address that leads nowhere from outside its network; a port the router forwards is one of the `public` ones. */
  way: z.enum(['public', 'local', 'punch', 'relay']),
  /** `1.2.3.4:4701`, of a relay where it was reached; null for a punch, whose endpoints both sides exchange. */
  endpoint: z.string().nullable(),
  outcome: z.enum(['trying', 'connected', 'failed', 'refused']),
  at: z.number(),
  tookMs: z.number().nullable(),
  reason: PathReasonSchema.nullable(),
})

/** How new streams to a peer go and what was tried for a better way: part of `kith why`. */
export const WaysSchema = z.object({
  /** Peer id of the relay; null for a direct path, and for none. */
  via: z.string().nullable(),
  viaName: z.string().nullable(),
  /** Why the path is what it is. */
  path: PathReasonSchema,
  since: z.number(),
  /** Why there is no direct way; null where there is one, or none was looked for. */
  notDirect: PathReasonSchema.nullable(),
  /** Oldest first. */
  tried: z.array(TriedSchema),
  /** Members that may relay to it, the best first. */
  relays: z.array(z.string()),
})

const DependenceSchema = z.enum(['endpoint-independent', 'address-dependent', 'address-and-port-dependent'])

/** `kith netcheck`: how this machine stands towards the internet. Null: not known, and `unknown` says why. */
export const NetcheckSchema = z.object({
  nat: z.object({
    /** RFC 3489's name of it. */
    kind: z.enum(['full-cone', 'address-restricted', 'port-restricted', 'symmetric']).nullable(),
    mapping: DependenceSchema.nullable(),
    filtering: DependenceSchema.nullable(),
    keepsPort: z.boolean().nullable(),
    hairpins: z.boolean().nullable(),
    unknown: z.array(PathReasonSchema.extend({ part: z.string() })),
    hints: z.array(PathReasonSchema),
  }),
  /** An address of this machine in IPv6's internet: members that have one too are met over it, whatever the NATs do. */
  ipv6: z.string().nullable(),
  /** Whether members reach the mesh port unasked. */
  dialable: z.boolean().nullable(),
  /** Where members see this machine. */
  views: z.array(z.object({ peer: z.string(), name: z.string(), asked: z.string(), seen: z.string() })),
  /** Members that were asked and said nothing. */
  silent: z.array(z.object({ peer: z.string(), name: z.string(), text: z.string() })),
  portMapping: z.object({
    /** Null: none. */
    method: z.enum(['upnp', 'nat-pmp', 'pcp']).nullable(),
    outside: z.string().nullable(),
    expires: z.number().nullable(),
    reason: PathReasonSchema.nullable(),
  }),
  /** Whether this node needs relays to be reached. */
  needsRelays: z.boolean(),
  /** Members that could relay, and those that keep this node reachable. */
  relays: z.array(
    z.object({ peer: z.string(), name: z.string(), rttMs: z.number().nullable(), held: z.boolean() }),
  ),
  /** What this node carries for others; null when it does not relay. */
  carries: z
    .object({ reservations: z.int(), circuits: z.int(), bytesPerSecond: z.number(), bytes: z.number() })
    .nullable(),
  /** Ms since the epoch; null while nobody could be asked. */
  measuredAt: z.number().nullable(),
})
/** Query of a check. `measure`: now, instead of what was found last. */
export const NetcheckQuerySchema = z.strictObject({ measure: z.literal('1').optional() })

/** See `PathReasonSchema`. */
export type PathReason = z.infer<typeof PathReasonSchema>
/** See `WaysSchema`. */
export type Ways = z.infer<typeof WaysSchema>
/** See `NetcheckSchema`. */
export type NetcheckReport = z.infer<typeof NetcheckSchema>
