import { toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { boundedBytes, cborFormat, fixedBytes, row, uint, z } from '../common/format.ts'
import { AUTHORITY_CERTIFICATE_BYTES_MAX, MEMBER_CERTIFICATE_BYTES_MAX } from '../admission/limits.ts'
import { credentialsFormat } from '../admission/wire.ts'
import { STATEMENT_BYTES_MAX } from '../registry/limits.ts'
import type { MemberEntry } from '../registry/wire.ts'
import {
  ACCUSED_MAX,
  AE_ITEMS_MAX,
  FRAME_ACCUSATIONS_MAX,
  FRAME_AUTHORITIES_MAX,
  FRAME_BYTES_MAX,
  FRAME_ENTRIES_BYTES,
  FRAME_ENTRIES_MAX,
} from './limits.ts'

/** Frame kinds; never renumbered. */
export const KIND = { hello: 1, probe: 2, ack: 3, records: 4, sums: 5, items: 6, difference: 7 } as const

/** How a sender holds a member. `suspect` asks the receiver to refute. */
export const HELD = { unknown: 0, alive: 1, suspect: 2, dead: 3 } as const
const held = z.int().min(0).max(3)
const digest = fixedBytes(8)

/** Signed by the accuser: each subject did not answer it while its record had this version. */
export const accusationFormat = cborFormat(
  'accusation body',
  row({
    version: z.literal(1),
    by: fixedBytes(32),
    issuedAt: uint(),
    subjects: z
      .array(row({ key: fixedBytes(32), incarnation: uint(), seq: uint() }))
      .min(1)
      .max(ACCUSED_MAX),
  }),
  1_024,
)
export type Accusation = ReturnType<typeof accusationFormat.decode>
/** Body and the accuser's signature. */
export const signedAccusationFormat = cborFormat(
  'accusation',
  row({ body: boundedBytes(1_024), signature: fixedBytes(64) }),
  1_100,
)

/**
 * Entries of one frame. Authority certificates are written once and pointed to. `member` null: only the statement, for
 * those who have the credentials. `down`: the sender holds the member suspect, dead or unheard of.
 */
const records = {
  authorities: z.array(boundedBytes(AUTHORITY_CERTIFICATE_BYTES_MAX)).max(FRAME_AUTHORITIES_MAX),
  entries: z
    .array(
      row({
        kind: z.enum(['registration', 'leave']),
        statement: boundedBytes(STATEMENT_BYTES_MAX),
        member: boundedBytes(MEMBER_CERTIFICATE_BYTES_MAX).nullable(),
        authority: z
          .int()
          .min(0)
          .max(FRAME_AUTHORITIES_MAX - 1),
        down: z.boolean(),
      }),
    )
    .max(FRAME_ENTRIES_MAX),
  accusations: z.array(boundedBytes(1_100)).max(FRAME_ACCUSATIONS_MAX),
}

/** Every frame of the protocol. Clock in ms; `heldIncarnation`/`heldSeq` the version of the receiver's record the sender has. */
export const frameFormat = cborFormat(
  'membership frame',
  z.union([
    row({ kind: z.literal(KIND.probe), n: uint(), digest, held }),
    row({ kind: z.literal(KIND.ack), n: uint(), digest, held }),
    row({
      kind: z.literal(KIND.hello),
      version: z.literal(1),
      clock: uint(),
      digest,
      held,
      heldIncarnation: uint(),
      heldSeq: uint(),
      ...records,
    }),
    row({ kind: z.literal(KIND.records), ...records }),
    row({ kind: z.literal(KIND.sums), sums: fixedBytes(2_048) }),
    row({
      kind: z.literal(KIND.items),
      buckets: fixedBytes(32),
      items: z.array(fixedBytes(16)).max(AE_ITEMS_MAX),
    }),
    row({ kind: z.literal(KIND.difference), ...records, wants: z.array(fixedBytes(8)).max(AE_ITEMS_MAX) }),
  ]),
  FRAME_BYTES_MAX,
)
export type Frame = ReturnType<typeof frameFormat.decode>

/** An entry on its way. `credentials` null: the receiver is expected to have them. */
export interface CarriedEntry {
  readonly kind: MemberEntry['kind']
  readonly statement: Uint8Array
  readonly credentials: Uint8Array | null
  readonly down: boolean
}

/** Entries as a frame carries them. */
export interface Records {
  authorities: Uint8Array[]
  entries: {
    kind: MemberEntry['kind']
    statement: Uint8Array
    member: Uint8Array | null
    authority: number
    down: boolean
  }[]
  accusations: Uint8Array[]
}

/** Splits entries and accusations over as few frames as fit, in order. */
export function packRecords(entries: readonly CarriedEntry[], accusations: readonly Uint8Array[]): Records[] {
  const frames: Records[] = []
  let current: Records = { authorities: [], entries: [], accusations: [] }
  let sizeBytes = 0
  let known = new Map<string, number>()
  const flush = () => {
    if (current.entries.length + current.accusations.length > 0) frames.push(current)
    current = { authorities: [], entries: [], accusations: [] }
    sizeBytes = 0
    known = new Map()
  }
  for (const { kind, statement, credentials, down } of entries) {
    const pair = credentials === null ? null : credentialsFormat.decode(credentials)
    const name = pair === null ? '' : toHex(pair.authority)
    const cost = statement.length + (pair?.member.length ?? 0) + 16
    const authorityCost = pair === null || known.has(name) ? 0 : pair.authority.length
    const full =
      sizeBytes + cost + authorityCost > FRAME_ENTRIES_BYTES ||
      current.entries.length >= FRAME_ENTRIES_MAX ||
      (authorityCost > 0 && current.authorities.length >= FRAME_AUTHORITIES_MAX)
    if (full) flush()
    if (pair !== null && !known.has(name)) {
      known.set(name, current.authorities.length)
      current.authorities.push(pair.authority)
      sizeBytes += pair.authority.length
    }
    current.entries.push({
      kind,
      statement,
      member: pair?.member ?? null,
      authority: known.get(name) ?? 0,
      down,
    })
    sizeBytes += cost
  }
  for (const accusation of accusations) {
    if (
      sizeBytes + accusation.length > FRAME_ENTRIES_BYTES ||
      current.accusations.length >= FRAME_ACCUSATIONS_MAX
    )
      flush()
    current.accusations.push(accusation)
    sizeBytes += accusation.length + 4
  }
  flush()
  return frames
}

/**
 * Entries of a received frame.
 * @throws MalformedError when an entry points to an authority certificate that is not there.
 */
export function unpackRecords(records: Records): CarriedEntry[] {
  return records.entries.map(({ kind, statement, member, authority, down }) => {
    if (member === null) return { kind, statement, credentials: null, down }
    const certificate = records.authorities[authority]
    if (certificate === undefined)
      throw new MalformedError(`entry points to authority ${authority} of ${records.authorities.length}`)
    return {
      kind,
      statement,
      credentials: credentialsFormat.encode({ member, authority: certificate }),
      down,
    }
  })
}
