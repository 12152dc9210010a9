import { z } from 'zod'
import { WaysSchema } from './path-schemas.ts'

/** A lower-case DNS label (RFC 1035 §2.3.1, digits allowed first as in RFC 1123 §2.1). */
export const LabelSchema = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, {
  error: 'expected a lower-case DNS label such as "wiki"',
})

/** The id of a node as `kith status` shows it. */
export const PeerIdSchema = z
  .string()
  .regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, { error: 'expected a peer id such as 12D3KooW…' })
/** Roles a certificate can grant. */
export const RoleSchema = z.enum(['relay', 'dns', 'acme', 'admin', 'policy'])
/** A tag, written `tag:web` where a subject is expected. */
export const TagSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,30}$/, { error: 'expected a tag such as "web"' })
/** Who may do something: `members`, `peer:NAME`, `tag:TAG` or `lan`. */
export const SubjectSchema = z
  .string()
  .regex(/^(members|lan|peer:[a-zA-Z0-9-]{1,63}|tag:[a-z0-9][a-z0-9-]{0,30})$/, {
    error: 'expected members, peer:NAME, tag:TAG or lan',
  })
/** How a service speaks. */
export const ServiceProtocolSchema = z.enum(['http', 'https', 'tcp'])
/** How much an event or a warning matters. */
export const SeveritySchema = z.enum(['info', 'notice', 'warning', 'alert'])

/** One thing that needs a person, as data. */
export const WarningSchema = z.object({
  code: z.string(),
  severity: SeveritySchema,
  text: z.string(),
  fix: z.string(),
})

/** Mesh identity as shown to people: id is 64 hex digits, domain such as `home.internal`. */
export const MeshSchema = z.object({ id: z.string(), name: z.string(), domain: z.string() })

/** `kith status`. */
export const StatusSchema = z.object({
  node: z.object({ id: z.string(), name: z.string() }),
  mesh: MeshSchema.nullable(),
  state: z.enum(['setup', 'joining', 'up', 'isolated']),
  roles: z.array(RoleSchema),
  listen: z.array(z.string()),
  peers: z.object({ known: z.int(), alive: z.int(), suspect: z.int(), dead: z.int() }),
  uptimeMs: z.number(),
  rssBytes: z.number(),
  version: z.string(),
  ui: z.object({ url: z.string() }).nullable(),
  dns: z.object({ port: z.int() }).nullable(),
  gateway: z.object({ port: z.int() }).nullable(),
  /** Started with `--door`: only lets others in and relays. */
  door: z.boolean(),
  warnings: z.array(WarningSchema),
})

/** Where the key rotation of a session stands. Times are ms since the epoch. */
export const RotationSchema = z.object({
  /** `active`: nothing under way; `failed`: waits to try again. */
  state: z.enum(['active', 'rotating', 'handshaking', 'failed']),
  /** Last ROT sent or received. */
  lastRotAt: z.number().nullable(),
  /** Last ACK sent or received. */
  lastAckAt: z.number().nullable(),
  /** Rotations of this session that failed. */
  failures: z.int(),
})

/** One row of `kith peers`: another member, never this node. Times are ms since the epoch, rates are totals in bytes. */
export const PeerSchema = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(['alive', 'suspect', 'dead', 'left']),
  roles: z.array(RoleSchema),
  tags: z.array(z.string()),
  path: z.enum(['direct', 'relay', 'none']),
  via: z.string().nullable(),
  rttMs: z.number().nullable(),
  epoch: z.int().nullable(),
  rotatedAt: z.number().nullable(),
  /** How long the present keys have been in use; null without a session, as are `epoch`, `rotatedAt` and `rotation`. */
  keyAgeMs: z.number().nullable(),
  rotation: RotationSchema.nullable(),
  rxBytes: z.number(),
  txBytes: z.number(),
  lastSeen: z.number().nullable(),
  /** What it showed at the last handshake; null for a member this node has not been connected to. */
  certificate: z.object({ serial: z.string(), issuer: z.string(), expires: z.number() }).nullable(),
})

/** One row of `kith services`. `address` and `port` are where this node listens for it, null where it does not. */
export const ServiceSchema = z.object({
  name: z.string(),
  fqdn: z.string(),
  proto: ServiceProtocolSchema,
  providers: z.array(
    z.object({ peer: z.string(), name: z.string(), healthy: z.boolean(), rttMs: z.number().nullable() }),
  ),
  address: z.string().nullable(),
  port: z.int().nullable(),
  url: z.string(),
  localUrl: z.string().nullable(),
  allowed: z.array(z.string()),
  /** True when this node provides it. */
  local: z.boolean(),
  /** The local target; only shown where it is published. */
  target: z.string().nullable(),
})

/** How the owner checks a service: `tcp` (a connection), `http:/path` (an answer below 500) or `none`. */
export const HealthSchema = z
  .string()
  .max(256)
  .regex(/^(tcp|none|http:\/\S*)$/, { error: 'expected tcp, none or http:/path' })

/** Body of `kith publish`. */
export const PublishInputSchema = z.strictObject({
  name: LabelSchema,
  target: z.string().min(1).max(1024),
  proto: ServiceProtocolSchema.optional(),
  tags: z.array(TagSchema).max(16).default([]),
  allow: z.array(SubjectSchema).max(32).default(['members']),
  crossSite: z.boolean().default(false),
  health: HealthSchema.default('tcp'),
})

/** Body of `kith found`. */
export const FoundInputSchema = z.strictObject({ name: LabelSchema.default('home') })
/** Body of `kith join`: the `kith://join/…` link. */
export const JoinInputSchema = z.strictObject({ invite: z.string().min(1).max(8192) })
/** Body of `kith invite`. */
export const InviteInputSchema = z.strictObject({
  name: LabelSchema.optional(),
  roles: z.array(RoleSchema).max(8).default([]),
  tags: z.array(TagSchema).max(16).default([]),
  uses: z.int().min(1).max(1000).default(1),
  /** Each join waits until a person approves it. */
  approve: z.boolean().default(false),
  /** For this peer alone: the invite then holds its certificate, and needs `name`. */
  peer: PeerIdSchema.optional(),
  ttlMs: z
    .int()
    .min(1000)
    .max(30 * 86_400_000)
    .default(86_400_000),
})
/** What `kith invite` answers. */
export const InviteSchema = z.object({
  invite: z.string(),
  expires: z.number(),
  uses: z.int(),
  reach: z.enum(['internet', 'lan', 'unknown']),
})

/** Roles an authority certificate can grant. */
export const AuthorityRoleSchema = z.enum(['acme', 'admit', 'dns', 'policy', 'revoke'])
/** One row of `kith members`: this node too, who waits for approval here, and who was revoked. Times are ms since the epoch. */
export const MemberRowSchema = z.object({
  id: z.string(),
  /** Null for a revoked member this node never knew. */
  name: z.string().nullable(),
  roles: z.array(RoleSchema),
  tags: z.array(z.string()),
  state: z.enum(['alive', 'suspect', 'dead', 'left', 'pending', 'revoked']),
  self: z.boolean(),
  /** Null for who has none, or none that this node knows. */
  certificate: z.object({ serial: z.string(), issuer: z.string(), expires: z.number() }).nullable(),
  /** What it may do for the mesh as an authority, null for a plain member. */
  authority: z.object({ roles: z.array(AuthorityRoleSchema), expires: z.number() }).nullable(),
  revoked: z.object({ at: z.number(), reason: z.string(), by: z.string() }).nullable(),
  /** Since when it waits for approval. */
  pendingSince: z.number().nullable(),
})
/** Body of `kith revoke`. */
export const RevokeInputSchema = z.strictObject({
  /** Name or id of a member; the id of one this node never saw is taken too. */
  peer: z.string().min(1).max(253),
  reason: z
    .string()
    .max(200)
    .regex(/^\P{Cc}*$/u, { error: 'expected one line' })
    .refine((text) => new TextEncoder().encode(text).length <= 200, { error: 'expected at most 200 bytes' })
    .default(''),
})
/** What `kith revoke` answers. */
export const RevokedSchema = z.object({
  id: z.string(),
  name: z.string().nullable(),
  /** False when it was revoked before. */
  added: z.boolean(),
  /** True for an authority: what it signs is believed until the root key cuts it. */
  authority: z.boolean(),
})
/** Body of `kith approve`: name or id of who waits. */
export const ApproveInputSchema = z.strictObject({
  peer: z.string().min(1).max(253),
  deny: z.boolean().default(false),
})
/** What `kith approve` answers. */
export const ApprovedSchema = z.object({ id: z.string(), name: z.string(), approved: z.boolean() })

/** One row of `kith authority ls`. */
export const AuthorityRowSchema = z.object({
  id: z.string(),
  name: z.string().nullable(),
  roles: z.array(AuthorityRoleSchema),
  expires: z.number(),
  self: z.boolean(),
})
/** Body of `kith authority add`: a member, and what it may do. With `request` nothing is signed here. */
export const AddAuthorityInputSchema = z.strictObject({
  peer: z.string().min(1).max(253),
  roles: z.array(AuthorityRoleSchema).min(1).max(5).default(['admit', 'revoke']),
  request: z.boolean().default(false),
})
/** Body of `kith authority retire`. `stolen`: what it signed before is not believed either. */
export const RetireAuthorityInputSchema = z.strictObject({
  peer: z.string().min(1).max(253),
  reason: RevokeInputSchema.shape.reason,
  stolen: z.boolean().default(false),
  request: z.boolean().default(false),
})
/** Body of `kith authority add|retire --signed`: what the ceremony brought back. */
export const SignedActInputSchema = z.strictObject({ signed: z.string().min(1).max(8192) })
/** What became of an act of the root key. */
export const RootActSchema = z.object({
  act: z.enum(['add', 'retire']),
  id: z.string(),
  name: z.string().nullable(),
  /** `waiting`: its node is away and gets the certificate later; `request`: to be signed where the root key is. */
  state: z.enum(['done', 'waiting', 'request']),
  request: z.string().nullable(),
})

/** One reason of a verdict. */
export const ReasonSchema = z.object({ code: z.string(), text: z.string(), fix: z.string() })
/** `kith why NAME|PEER`. */
export const WhySchema = z.object({
  subject: z.string(),
  verdict: z.enum(['reachable', 'unreachable', 'denied']),
  path: z.enum(['direct', 'relay', 'local', 'none']),
  reasons: z.array(ReasonSchema),
  /** Ways to the member, or to the provider of the service; null for this node itself. */
  ways: WaysSchema.nullable(),
})

/** One line of `kith ping`. */
export const PingReplySchema = z.object({
  seq: z.int(),
  peer: z.string(),
  name: z.string(),
  rttMs: z.number().nullable(),
  path: z.enum(['direct', 'relay', 'none']),
  /** Peer id of the relay the path goes through. */
  via: z.string().nullable(),
  viaName: z.string().nullable(),
  /** Why there is no direct path, as far as it was tried; null over a direct one. */
  notDirect: ReasonSchema.nullable(),
  error: z.object({ code: z.string(), text: z.string() }).nullable(),
})

/** One entry of the event log; ids are consecutive integers from 1, so a gap is visible. */
export const EventSchema = z.object({
  id: z.int(),
  at: z.number(),
  kind: z.string(),
  severity: SeveritySchema,
  peer: z.string().nullable(),
  reason: z.string().nullable(),
  text: z.string(),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
})

/** `kith bugreport`: everything that helps to find out what went wrong, and nothing secret. `createdAt` is ms since the epoch. */
export const BugreportSchema = z.strictObject({
  format: z.literal('kith-bugreport'),
  version: z.literal(1),
  createdAt: z.number(),
  /** False when names and addresses were left in. */
  redacted: z.boolean(),
  kith: z.string(),
  node: z.string(),
  platform: z.strictObject({ os: z.string(), release: z.string(), arch: z.string() }),
  config: z.array(z.strictObject({ key: z.string(), value: z.unknown(), source: z.string() })),
  status: StatusSchema,
  peers: z.array(PeerSchema),
  /** The newest, newest last. */
  events: z.array(EventSchema),
  health: z.record(z.string(), z.number()),
  /** The recorder's checkpoint, the steps after it, and the state they led to (`node/diagnostics`); null while in no mesh. */
  membership: z.unknown(),
})
/** Query of a report. */
export const BugreportQuerySchema = z.strictObject({ names: z.literal('1').optional() })

/** One configured value and where it came from. Secrets are shown as `***`. */
export const ConfigEntrySchema = z.object({
  key: z.string(),
  value: z.unknown(),
  source: z.enum(['default', 'file', 'environment', 'flag']),
})

/** A local listener made by `kith forward`. */
export const ForwardInputSchema = z.strictObject({
  name: z.string().min(1).max(253),
  port: z.int().min(0).max(65535).default(0),
})
/** Where the forward listens. */
export const ForwardSchema = z.object({
  id: z.string(),
  name: z.string(),
  address: z.string(),
  port: z.int(),
})

/** A fresh one-time login URL for the dashboard. */
export const LoginLinkSchema = z.object({
  url: z.string(),
  expires: z.number(),
  sshHint: z.string().nullable(),
})

/** The body of every failed request. `field` is the path of the offending input, where there is one. */
export const ErrorBodySchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), fix: z.string(), field: z.string().optional() }),
})

/** Body of `kith ping`; the answer is one `PingReply` a line until `count` are sent or the client goes away. */
export const PingInputSchema = z.strictObject({
  peer: z.string().min(1).max(253),
  count: z.int().min(1).max(100_000).default(4),
  intervalMs: z.int().min(10).max(60_000).default(1000),
  /** Look for a direct way now, whatever the pause since the last try. */
  lookForDirect: z.boolean().default(false),
})

/** Body of `kith rotate`: a name or id, or nothing for all peers. */
export const RotateInputSchema = z.strictObject({ peer: z.string().min(1).max(253).optional() })
/** What `kith rotate` answers: the peers with a session. `started` is false where a rotation was under way already. */
export const RotatedSchema = z.object({
  peers: z.array(z.object({ id: z.string(), name: z.string(), epoch: z.int(), started: z.boolean() })),
})

/** Query of `GET /api/v1/events`. With `follow` the answer is one event a line and stays open. */
export const EventsQuerySchema = z.strictObject({
  since: z.coerce.number().int().min(0).optional(),
  /** Only ids below this. */
  before: z.coerce.number().int().min(1).optional(),
  /** What the kind begins with: `rotation`, `handshake.failed`. */
  kind: z
    .string()
    .max(64)
    .regex(/^[a-z0-9.-]*$/, { error: 'expected the beginning of a kind such as "rotation"' })
    .optional(),
  /** Name or id of a peer; an id of no member is a stranger's. */
  peer: z.string().min(1).max(253).optional(),
  severity: SeveritySchema.optional(),
  limit: z.coerce.number().int().min(1).max(1000).optional(),
  follow: z.enum(['0', '1']).optional(),
})

/** What a dashboard user may do; `admin` is also whoever may open the unix socket. */
export const AccessRoleSchema = z.enum(['viewer', 'operator', 'admin'])
/** The caller's own session. `writes` is false when the request carried no valid write token. Times are ms since the epoch. */
export const SessionSchema = z.object({
  role: AccessRoleSchema,
  writes: z.boolean(),
  expires: z.number().nullable(),
})
/** One row of the list of dashboard sessions; `id` is a prefix of the stored hash and opens nothing. */
export const SessionRowSchema = z.object({
  id: z.string(),
  role: AccessRoleSchema,
  createdAt: z.number(),
  lastUsedAt: z.number(),
  expires: z.number(),
  current: z.boolean(),
})
/** What the dashboard's WebSocket accepts: proof that a person is still there, which keeps the session from idling out. */
export const LiveInputSchema = z.strictObject({ type: z.literal('seen') })

/** Messages the dashboard's WebSocket sends: whole snapshots by topic, and each new event. */
export const LiveMessageSchema = z.discriminatedUnion('topic', [
  z.object({ topic: z.literal('status'), data: StatusSchema }),
  z.object({ topic: z.literal('peers'), data: z.array(PeerSchema) }),
  z.object({ topic: z.literal('services'), data: z.array(ServiceSchema) }),
  z.object({ topic: z.literal('members'), data: z.array(MemberRowSchema) }),
  z.object({ topic: z.literal('event'), data: EventSchema }),
])

export type Role = z.infer<typeof RoleSchema>
export type Severity = z.infer<typeof SeveritySchema>
export type ServiceProtocol = z.infer<typeof ServiceProtocolSchema>
export type Status = z.infer<typeof StatusSchema>
export type Peer = z.infer<typeof PeerSchema>
export type Service = z.infer<typeof ServiceSchema>
export type PublishInput = z.infer<typeof PublishInputSchema>
export type InviteInput = z.infer<typeof InviteInputSchema>
export type Invite = z.infer<typeof InviteSchema>
export type MemberRow = z.infer<typeof MemberRowSchema>
export type RevokeInput = z.infer<typeof RevokeInputSchema>
export type Revoked = z.infer<typeof RevokedSchema>
export type ApproveInput = z.infer<typeof ApproveInputSchema>
export type Approved = z.infer<typeof ApprovedSchema>
export type AuthorityRow = z.infer<typeof AuthorityRowSchema>
export type AddAuthorityInput = z.infer<typeof AddAuthorityInputSchema>
export type RetireAuthorityInput = z.infer<typeof RetireAuthorityInputSchema>
export type RootAct = z.infer<typeof RootActSchema>
export type Why = z.infer<typeof WhySchema>
export type PingReply = z.infer<typeof PingReplySchema>
export type LogEvent = z.infer<typeof EventSchema>
export type Bugreport = z.infer<typeof BugreportSchema>
export type ConfigEntry = z.infer<typeof ConfigEntrySchema>
export type Forward = z.infer<typeof ForwardSchema>
export type LoginLink = z.infer<typeof LoginLinkSchema>
export type Rotated = z.infer<typeof RotatedSchema>
export type ErrorBody = z.infer<typeof ErrorBodySchema>
export type LiveMessage = z.infer<typeof LiveMessageSchema>
export type AccessRole = z.infer<typeof AccessRoleSchema>
export type Session = z.infer<typeof SessionSchema>
export type SessionRow = z.infer<typeof SessionRowSchema>
export type EventsQuery = z.infer<typeof EventsQuerySchema>
export type Warning = z.infer<typeof WarningSchema>
