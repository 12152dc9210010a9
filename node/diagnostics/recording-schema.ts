import { z } from 'zod'
import { ENDED_MAX, FRAME_BYTES_MAX } from '../../protocols/membership/limits.ts'
import { MEMBERS_MAX } from '../../protocols/registry/limits.ts'
import { RECORDED_STEPS_MAX, REPORTED_HASHES_MAX, REPORTED_ITEMS_MAX } from './limits.ts'
import type { PortableRecording, PortableSnapshot } from './portable-recording.ts'

const text = z.string().max(256)
const time = z.number()
const count = z.int().nonnegative()
/** Bytes as base64. */
const bytes = (max: number = FRAME_BYTES_MAX) =>
  z.codec(
    z.base64().max(Math.ceil(max / 3) * 4),
    z.custom<Uint8Array>((held) => held instanceof Uint8Array),
    {
      decode: (encoded) => Uint8Array.from(Buffer.from(encoded, 'base64')),
      encode: (plain) => Buffer.from(plain).toString('base64'),
    },
  )
/** Exactly so many. */
const fixed = (length: number) => bytes(length).refine((plain) => plain.length === length)
const key = fixed(32)

/** A map as pairs in its order. */
function mapOf<K extends z.ZodType, V extends z.ZodType>(key: K, value: V, max: number = REPORTED_ITEMS_MAX) {
  type Pair = [z.output<K>, z.output<V>]
  return z.codec(
    z.array(z.tuple([key, value])).max(max),
    z.custom<Map<Pair[0], Pair[1]>>((held) => held instanceof Map),
    {
      decode: (pairs) => new Map(pairs as Pair[]),
      encode: (map) => [...map] as never,
    },
  )
}

/** A set in its order. */
function setOf(max: number = REPORTED_ITEMS_MAX) {
  return z.codec(
    z.array(text).max(max),
    z.custom<Set<string>>((held) => held instanceof Set),
    {
      decode: (items) => new Set(items),
      encode: (set) => [...set],
    },
  )
}

const entry = z.strictObject({
  kind: z.enum(['registration', 'leave']),
  statement: bytes(),
  credentials: bytes(),
})
const announcement = z.strictObject({
  addresses: z.array(text).max(64),
  relays: z.array(key).max(64),
  services: z
    .array(
      z.strictObject({
        name: text,
        proto: z.enum(['http', 'https', 'tcp']),
        port: z.int(),
        tags: z.array(text).max(64),
        allow: z.array(text).max(64),
        crossSite: z.boolean(),
        healthy: z.boolean(),
        publishedAt: count,
      }),
    )
    .max(64),
})
const verdict = z.strictObject({
  state: z.enum(['unknown', 'alive', 'suspect', 'dead', 'left']),
  lastSeen: time.nullable(),
  accusers: mapOf(text, bytes()),
  refused: setOf(),
  weighed: mapOf(text, time),
  accusedAt: time,
  toldAgain: z.boolean(),
  suspectedAt: time.nullable(),
  unvouched: z.boolean(),
  vouchedAt: time.nullable(),
})
const version = z.strictObject({ incarnation: count, seq: count })
const link = z.strictObject({
  id: text,
  initiator: z.boolean(),
  upAt: time,
  hello: z.boolean(),
  helloSentAt: time,
  lastHeard: time,
  unansweredSince: time.nullable(),
  lastProbeAt: time,
  probes: mapOf(count, time),
  rttMs: time.nullable(),
  differSince: time.nullable(),
  recheckAt: time.nullable(),
  lastAeAt: time,
  reunited: z.boolean(),
  begun: z.boolean(),
  partAt: time,
  aeUntil: time,
  accused: version.nullable(),
})
const lost = z.strictObject({
  since: time,
  refused: z.boolean(),
  accused: z.boolean(),
  unreached: z.boolean(),
  renewed: z.boolean(),
})
const gossip = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('entry'), id: text, full: z.boolean(), source: text.nullable() }),
  z.strictObject({
    type: z.literal('notice'),
    field: z.enum(['accusations', 'heals']),
    bytes: bytes(),
    source: text.nullable(),
    own: z.boolean(),
  }),
])
const ended = z.strictObject({
  authors: z.array(z.strictObject({ author: text, incarnation: count, greatest: z.int() })).max(ENDED_MAX),
  times: z.strictObject({
    senders: z
      .array(z.strictObject({ sender: text, newest: time, lead: time, heldUntil: time.nullable() }))
      .max(ENDED_MAX),
    latestNow: time.nullable(),
    sweptAt: time.nullable(),
  }),
})

/** A row of the table. */
export const rowSchema = z.strictObject({ entry, hash: fixed(8), down: z.boolean() })

/** Every field of the state by name: one that is missing here makes a report impossible, which the tests notice. */
export const snapshotSchema = z.strictObject({
  self: z.strictObject({
    id: text,
    bootNonce: fixed(8),
    credentials: bytes(),
    incarnation: count,
    seq: z.int(),
    announcement,
    announcedAt: time,
    dirty: z.boolean(),
    storing: count.nullable(),
    adoptions: z.array(time).max(64),
    silenced: z.boolean(),
  }),
  table: z.array(rowSchema).max(MEMBERS_MAX),
  verdicts: mapOf(text, verdict),
  links: mapOf(text, link),
  lost: mapOf(text, lost),
  archive: mapOf(text, z.strictObject({ id: text, addresses: z.array(text).max(64), entry, notAfter: time })),
  cache: z.array(text).max(REPORTED_ITEMS_MAX),
  ended,
  asked: mapOf(text, z.strictObject({ n: count, at: time, helpers: setOf(), heardAt: time.nullable() })),
  requests: mapOf(text, z.strictObject({ requester: text, target: text, n: count, at: time })),
  health: z.strictObject({ score: count, noAccusingUntil: time, nextDoubtAt: time, recoveredAt: time }),
  healing: z.strictObject({ lastAt: time, announceAt: time.nullable(), dates: mapOf(text, time) }),
  revocations: z.array(bytes()).max(REPORTED_ITEMS_MAX).nullable(),
  refuted: mapOf(text, z.strictObject({ times: z.array(time).max(64), ignoredUntil: time })),
  suspicions: setOf(),
  toAccuse: setOf(),
  gossip: mapOf(text, gossip),
  gossipTokens: time,
  aeTokens: time,
  lastAeAt: time,
  gossipDropped: count,
  unsaved: setOf(),
  reports: mapOf(text, time),
  startedAt: time,
  unknownSettled: z.boolean(),
  probeCounter: count,
  unchecked: setOf(),
  lastTickAt: time,
  lastProbeAt: time,
  lastAccuseAt: time,
  lastPersistAt: time,
  lastSweepAt: time,
  lastPartAt: time,
}) satisfies z.ZodType<PortableSnapshot>

const event = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('link-up'), peer: text, initiator: z.boolean() }),
  z.strictObject({ type: z.literal('link-down'), peer: text }),
  z.strictObject({ type: z.literal('frame'), peer: text, bytes: bytes() }),
  z.strictObject({ type: z.literal('dial-failed'), peer: text, refused: z.boolean() }),
  z.strictObject({ type: z.literal('announce'), announcement }),
  z.strictObject({ type: z.literal('credentials'), credentials: bytes() }),
  z.strictObject({ type: z.literal('incarnation-stored'), incarnation: count }),
  z.strictObject({ type: z.literal('leave') }),
  z.strictObject({ type: z.literal('revoke'), bytes: bytes() }),
  z.strictObject({ type: z.literal('tick') }),
])

/** Answers of the ports; empty lists are left out. */
const answers = z.codec(
  z.strictObject({
    random: z.array(bytes()).max(REPORTED_ITEMS_MAX).optional(),
    signed: z
      .array(z.strictObject({ digest: key, signature: fixed(64) }))
      .max(REPORTED_ITEMS_MAX)
      .optional(),
    unverified: z.array(count).max(REPORTED_ITEMS_MAX).optional(),
    reachable: z.array(z.boolean()).max(REPORTED_ITEMS_MAX).optional(),
    revoked: z.array(z.boolean()).max(REPORTED_ITEMS_MAX).optional(),
    unsigned: z.array(count).max(REPORTED_ITEMS_MAX).optional(),
  }),
  z.custom<PortableRecording['steps'][number]['answers']>(),
  {
    decode: (given) => ({
      random: given.random ?? [],
      signed: given.signed ?? [],
      unverified: given.unverified ?? [],
      reachable: given.reachable ?? [],
      revoked: given.revoked ?? [],
      unsigned: given.unsigned ?? [],
    }),
    encode: (lists) =>
      Object.fromEntries(Object.entries(lists).filter(([, list]) => (list as unknown[]).length > 0)) as never,
  },
)

const hex = z.string().regex(/^[0-9a-f]{64}$/)
/** A step: what happened, what the ports answered, what it led to. */
export const stepSchema = z.strictObject({ event, now: time, answers, effects: count })
/** A recording, whole. */
export const recordingSchema = z.strictObject({
  root: z.strictObject({ meshId: key, rootKeys: z.array(key).min(1).max(8) }),
  at: time,
  checkpoint: snapshotSchema,
  steps: z.array(stepSchema).max(RECORDED_STEPS_MAX),
  final: snapshotSchema,
  hashes: mapOf(hex, hex, REPORTED_HASHES_MAX),
}) satisfies z.ZodType<PortableRecording>
