import { compareBytes, utf8 } from '../common/bytes.ts'
import { boundedBytes, cborFormat, fixedBytes, row, uint, z } from '../common/format.ts'
import {
  ADDRESS_CHARACTERS_MAX,
  AUTHORITY_CERTIFICATE_BYTES_MAX,
  CREDENTIALS_BYTES_MAX,
  INVITE_ADDRESSES_MAX,
  INVITE_BYTES_MAX,
  INVITE_USES_MAX,
  JOIN_ADDRESSES_MAX,
  JOIN_REPLY_BYTES_MAX,
  JOIN_REQUEST_BYTES_MAX,
  MEMBER_CERTIFICATE_BYTES_MAX,
  REVOCATION_BODY_BYTES_MAX,
  REVOCATION_BYTES_MAX,
  REVOCATION_REASON_BYTES_MAX,
  ROOT_BYTES_MAX,
  ROOT_KEYS_MAX,
  TAGS_MAX,
  X509_BYTES_MAX,
} from './limits.ts'

/** A lower-case DNS label (RFC 1035 §2.3.1; a digit may come first, RFC 1123 §2.1). */
export const labelSchema = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)
/** A tag, written `tag:web` where a subject is expected. */
export const tagSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,30}$/)
/** What a member certificate can grant. */
export const memberRoleSchema = z.enum(['acme', 'admin', 'dns', 'policy', 'relay'])
/** What an authority certificate can grant. */
export const authorityRoleSchema = z.enum(['acme', 'admit', 'dns', 'policy', 'revoke'])
export type MemberRole = z.output<typeof memberRoleSchema>
export type AuthorityRole = z.output<typeof authorityRoleSchema>

const key = fixedBytes(32)
const signature = fixedBytes(64)
const address = z.string().min(1).max(ADDRESS_CHARACTERS_MAX)

/** A set as an array in ascending order: one value, one encoding. */
function ascending<Item extends z.ZodType<string>>(item: Item, max: number) {
  return z
    .array(item)
    .max(max)
    .refine((items) => items.every((value, i) => i === 0 || (items[i - 1] as string) < value), {
      error: 'expected ascending order without repetition',
    })
}

/** Tags in ascending order. */
export const tagsSchema = ascending(tagSchema, TAGS_MAX)
/** Member roles in ascending order. */
export const memberRolesSchema = ascending(memberRoleSchema, memberRoleSchema.options.length)
/** Authority roles in ascending order. */
export const authorityRolesSchema = ascending(authorityRoleSchema, authorityRoleSchema.options.length)

/** What a mesh is. Its SHA-256 is the mesh id, so nothing in it can ever change. */
export const rootFormat = cborFormat(
  'root document',
  row({
    version: z.literal(1),
    name: labelSchema,
    domain: z.string().max(72),
    rootKeys: z
      .array(key)
      .min(1)
      .max(ROOT_KEYS_MAX)
      .refine((keys) => keys.every((k, i) => i === 0 || compareBytes(keys[i - 1] as Uint8Array, k) < 0), {
        error: 'expected ascending root keys',
      }),
    x509Root: boundedBytes(X509_BYTES_MAX),
    createdAt: uint(),
  }).refine((root) => root.domain === `${root.name}.internal`, {
    error: 'domain must be the name under internal',
  }),
  ROOT_BYTES_MAX,
)
export type RootDocument = ReturnType<typeof rootFormat.decode>

/** Body and signature, the envelope of both certificates. */
function signed(bodyBytesMax: number) {
  return row({ body: boundedBytes(bodyBytesMax), signature })
}

/** A root key's statement that `subject` may act for the mesh. Times in ms. */
export const authorityBodyFormat = cborFormat(
  'authority certificate body',
  row({
    version: z.literal(1),
    serial: fixedBytes(16),
    subject: key,
    roles: authorityRolesSchema,
    notBefore: uint(),
    notAfter: uint(),
    issuer: key,
    x509Intermediate: boundedBytes(X509_BYTES_MAX).nullable(),
  }),
  AUTHORITY_CERTIFICATE_BYTES_MAX,
)
export type AuthorityBody = ReturnType<typeof authorityBodyFormat.decode>
/** An authority certificate. */
export const authorityFormat = cborFormat(
  'authority certificate',
  signed(AUTHORITY_CERTIFICATE_BYTES_MAX),
  AUTHORITY_CERTIFICATE_BYTES_MAX,
)

/** An authority's statement that `subject` is a member. `nonce` is chosen by the issuer, so that nobody can grind a place. Times in ms. */
export const memberBodyFormat = cborFormat(
  'member certificate body',
  row({
    version: z.literal(1),
    serial: fixedBytes(16),
    subject: key,
    name: labelSchema,
    roles: memberRolesSchema,
    tags: tagsSchema,
    nonce: fixedBytes(16),
    notBefore: uint(),
    notAfter: uint(),
    issuer: key,
  }),
  MEMBER_CERTIFICATE_BYTES_MAX,
)
export type MemberBody = ReturnType<typeof memberBodyFormat.decode>
/** A member certificate. */
export const memberFormat = cborFormat(
  'member certificate',
  signed(MEMBER_CERTIFICATE_BYTES_MAX),
  MEMBER_CERTIFICATE_BYTES_MAX,
)

/** What a node shows of itself in the handshake and beside its registration: signed member and authority certificate. */
export const credentialsFormat = cborFormat(
  'credentials',
  row({
    member: boundedBytes(MEMBER_CERTIFICATE_BYTES_MAX),
    authority: boundedBytes(AUTHORITY_CERTIFICATE_BYTES_MAX),
  }),
  CREDENTIALS_BYTES_MAX,
)

/** How far the issuer's addresses reach, as it found from outside. */
export const reachSchema = z.enum(['internet', 'lan', 'unknown'])
export type Reach = z.output<typeof reachSchema>

/** The signed part of an invite. `oneTimeKey` is the public half of the secret that travels beside it. `expires` in ms. */
export const inviteBodyFormat = cborFormat(
  'invite body',
  row({
    version: z.literal(1),
    meshId: fixedBytes(32),
    meshName: labelSchema,
    issuer: key,
    inviteId: fixedBytes(16),
    oneTimeKey: key,
    bootstrap: z.array(address).max(INVITE_ADDRESSES_MAX),
    reach: reachSchema,
    name: labelSchema.nullable(),
    roles: memberRolesSchema,
    tags: tagsSchema,
    uses: z.int().min(1).max(INVITE_USES_MAX),
    expires: uint(),
  }),
  INVITE_BYTES_MAX,
)
export type InviteBody = ReturnType<typeof inviteBodyFormat.decode>

/** What `kith://join/` carries in base64url: the signed part, the one-time Ed25519 seed, the issuer's signature. */
export const inviteFormat = cborFormat(
  'invite',
  row({ body: boundedBytes(INVITE_BYTES_MAX), seed: fixedBytes(32), signature }),
  INVITE_BYTES_MAX + 128,
)

/** The signed part of an invite for one known peer: all that its holder would get from a join. `issuer` signs. */
export const peerInviteBodyFormat = cborFormat(
  'peer invite body',
  row({
    version: z.literal(1),
    root: boundedBytes(ROOT_BYTES_MAX),
    credentials: boundedBytes(CREDENTIALS_BYTES_MAX),
    bootstrap: z.array(address).max(INVITE_ADDRESSES_MAX),
    reach: reachSchema,
  }),
  INVITE_BYTES_MAX,
)
/** What `kith://join/` carries for one known peer. Told from an open invite by its number of fields. */
export const peerInviteFormat = cborFormat(
  'peer invite',
  row({ body: boundedBytes(INVITE_BYTES_MAX), signature }),
  INVITE_BYTES_MAX + 128,
)

/** What a joiner asks. `replyKey` is a fresh X25519 key for this request only; `issuer` tells the door where to carry it. */
export const joinBodyFormat = cborFormat(
  'join request body',
  row({
    version: z.literal(1),
    issuer: key,
    inviteId: fixedBytes(16),
    joiner: key,
    replyKey: key,
    name: labelSchema,
    time: uint(),
  }),
  512,
)
export type JoinBody = ReturnType<typeof joinBodyFormat.decode>

/** The request, signed by the invite's one-time key (holds the invite) and by the joiner's own (holds the key). */
export const joinRequestFormat = cborFormat(
  'join request',
  row({ body: boundedBytes(512), inviteSignature: signature, joinerSignature: signature }),
  JOIN_REQUEST_BYTES_MAX,
)

/** The answer for the joiner's eyes, signed by the issuer. `requestHash` binds it to one request; `issuerTime` in ms. */
export const joinAnswerFormat = cborFormat(
  'join answer',
  z.union([
    row({
      outcome: z.literal('accepted'),
      version: z.literal(1),
      requestHash: fixedBytes(32),
      issuerTime: uint(),
      root: boundedBytes(ROOT_BYTES_MAX),
      credentials: boundedBytes(CREDENTIALS_BYTES_MAX),
      bootstrap: z.array(address).max(JOIN_ADDRESSES_MAX),
    }),
    row({
      outcome: z.literal('refused'),
      version: z.literal(1),
      requestHash: fixedBytes(32),
      issuerTime: uint(),
      code: z.string().max(64),
      text: z.string().max(512),
    }),
  ]),
  JOIN_REPLY_BYTES_MAX - 512,
)
export type JoinAnswer = ReturnType<typeof joinAnswerFormat.decode>

/** Answer and the issuer's signature: the plaintext of the seal. */
export const signedAnswerFormat = cborFormat(
  'signed join answer',
  row({ body: boundedBytes(JOIN_REPLY_BYTES_MAX - 512), signature }),
  JOIN_REPLY_BYTES_MAX - 256,
)

/** What the door carries back: the issuer's sealed answer, or the door's own unproven word that it could not ask. */
export const joinReplyFormat = cborFormat(
  'join reply',
  z.union([
    row({
      kind: z.literal('sealed'),
      encapsulated: key,
      ciphertext: boundedBytes(JOIN_REPLY_BYTES_MAX - 128),
    }),
    row({ kind: z.literal('door'), code: z.string().max(64), text: z.string().max(512) }),
  ]),
  JOIN_REPLY_BYTES_MAX,
)

const inviteRecord = {
  inviteId: fixedBytes(16),
  oneTimeKey: key,
  name: labelSchema.nullable(),
  roles: memberRolesSchema,
  tags: tagsSchema,
  uses: z.int().min(1).max(INVITE_USES_MAX),
  expires: uint(),
}
/** An invite as its issuer's book keeps it: everything but the secret. One that needs approval has a field more. */
export const inviteRecordFormat = cborFormat(
  'invite record',
  z.union([row(inviteRecord), row({ ...inviteRecord, approve: z.literal(true) })]),
  INVITE_BYTES_MAX,
)

/** One use of an invite in the issuer's book. */
export const redemptionFormat = cborFormat(
  'redemption',
  row({
    inviteId: fixedBytes(16),
    joiner: key,
    name: labelSchema,
    serial: fixedBytes(16),
    nonce: fixedBytes(16),
    issuedAt: uint(),
  }),
  512,
)

const revocationReason = z
  .string()
  .regex(/^\P{Cc}*$/u)
  .refine((text) => utf8(text).length <= REVOCATION_REASON_BYTES_MAX, {
    error: `more than ${REVOCATION_REASON_BYTES_MAX} bytes`,
  })

/**
 * What is no longer believed. `member`: the certificate with `serial` of `key`, or all of them when it is null; signed by an
 * authority. `authority`: all that `key` signed as an authority from `from` (ms) on; signed by a root key.
 */
export const revocationBodyFormat = cborFormat(
  'revocation body',
  z.union([
    row({
      kind: z.literal('member'),
      version: z.literal(1),
      key,
      serial: fixedBytes(16).nullable(),
      reason: revocationReason,
      issuedAt: uint(),
      issuer: key,
    }),
    row({
      kind: z.literal('authority'),
      version: z.literal(1),
      key,
      from: uint(),
      reason: revocationReason,
      issuedAt: uint(),
      issuer: key,
    }),
  ]),
  REVOCATION_BODY_BYTES_MAX,
)
export type RevocationBody = ReturnType<typeof revocationBodyFormat.decode>

/** A revocation. `authority` is the certificate of the authority that signed it; null when a root key did. */
export const revocationFormat = cborFormat(
  'revocation',
  row({
    body: boundedBytes(REVOCATION_BODY_BYTES_MAX),
    authority: boundedBytes(AUTHORITY_CERTIFICATE_BYTES_MAX).nullable(),
    signature,
  }),
  REVOCATION_BYTES_MAX,
)

/**
 * What the holder of the root key is asked to sign where that key is: to make `key` an authority, or to cut it as one from
 * `from` (ms) on. `name` is for people. Unsigned: whoever signs looks at it.
 */
export const ceremonyRequestFormat = cborFormat(
  'root request',
  z.union([
    row({
      act: z.literal('add'),
      version: z.literal(1),
      root: boundedBytes(ROOT_BYTES_MAX),
      key,
      name: labelSchema,
      roles: authorityRolesSchema,
    }),
    row({
      act: z.literal('retire'),
      version: z.literal(1),
      root: boundedBytes(ROOT_BYTES_MAX),
      key,
      name: labelSchema,
      from: uint(),
      reason: revocationReason,
    }),
  ]),
  ROOT_BYTES_MAX + 512,
)
export type CeremonyRequest = ReturnType<typeof ceremonyRequestFormat.decode>

/** What the ceremony brings back: an authority certificate, or the revocation of an authority. */
export const ceremonyResultFormat = cborFormat(
  'root result',
  row({ act: z.enum(['add', 'retire']), bytes: boundedBytes(REVOCATION_BYTES_MAX) }),
  REVOCATION_BYTES_MAX + 32,
)
