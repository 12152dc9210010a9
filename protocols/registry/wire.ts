import { boundedBytes, cborFormat, fixedBytes, row, uint, z } from '../common/format.ts'
import { CREDENTIALS_BYTES_MAX } from '../admission/limits.ts'
import { labelSchema, tagSchema } from '../admission/wire.ts'
import {
  ADDRESS_CHARACTERS_MAX,
  ADDRESSES_MAX,
  LEASE_SECONDS_MAX,
  RELAYS_MAX,
  SERVICE_SUBJECTS_MAX,
  SERVICE_TAGS_MAX,
  SERVICES_MAX,
  STATEMENT_BYTES_MAX,
} from './limits.ts'

/** Who may reach a service: `members`, `peer:NAME`, `tag:TAG`, `lan`. */
export const subjectSchema = z
  .string()
  .regex(/^(?:members|lan|peer:[a-zA-Z0-9-]{1,63}|tag:[a-z0-9][a-z0-9-]{0,30})$/)

/** One service of a node. `port` is the service's own port, `publishedAt` ms; health is the owner's view. */
const serviceSchema = row({
  name: labelSchema,
  proto: z.enum(['http', 'https', 'tcp']),
  port: z.int().min(1).max(65_535),
  tags: z.array(tagSchema).max(SERVICE_TAGS_MAX),
  allow: z.array(subjectSchema).max(SERVICE_SUBJECTS_MAX),
  crossSite: z.boolean(),
  healthy: z.boolean(),
  publishedAt: uint(),
})
export type RegisteredService = z.output<typeof serviceSchema>

/**
 * What a node says of itself. Ordered by (incarnation, seq); `issuedAt` in ms, `leaseSeconds` how long it stands without
 * renewal, `bootNonce` tells two processes with one identity apart. Multiaddrs without the node's own /p2p/.
 */
export const registrationFormat = cborFormat(
  'registration',
  row({
    version: z.literal(1),
    key: fixedBytes(32),
    incarnation: uint(),
    seq: uint(),
    issuedAt: uint(),
    leaseSeconds: z.int().min(1).max(LEASE_SECONDS_MAX),
    addresses: z.array(z.string().min(1).max(ADDRESS_CHARACTERS_MAX)).max(ADDRESSES_MAX),
    relays: z.array(fixedBytes(32)).max(RELAYS_MAX),
    services: z.array(serviceSchema).max(SERVICES_MAX),
    bootNonce: fixedBytes(8),
  }),
  STATEMENT_BYTES_MAX - 72,
)
export type Registration = ReturnType<typeof registrationFormat.decode>

/** A node's farewell, in the same order of (incarnation, seq) as its registrations; a later start overrules it. */
export const leaveFormat = cborFormat(
  'leave',
  row({ version: z.literal(1), key: fixedBytes(32), incarnation: uint(), seq: uint(), issuedAt: uint() }),
  128,
)
export type Leave = ReturnType<typeof leaveFormat.decode>

/** Body and its origin's signature. */
export const statementFormat = cborFormat(
  'signed statement',
  row({ body: boundedBytes(STATEMENT_BYTES_MAX), signature: fixedBytes(64) }),
  STATEMENT_BYTES_MAX,
)

/** Everything needed to verify a member without asking anybody: its newest statement and its credentials. */
export const entryFormat = cborFormat(
  'member entry',
  row({
    kind: z.enum(['registration', 'leave']),
    statement: boundedBytes(STATEMENT_BYTES_MAX),
    credentials: boundedBytes(CREDENTIALS_BYTES_MAX),
  }),
  STATEMENT_BYTES_MAX + CREDENTIALS_BYTES_MAX + 32,
)
export type MemberEntry = ReturnType<typeof entryFormat.decode>
