import { toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { boundedBytes, cborFormat, fixedBytes, row, uint, z } from '../common/format.ts'
import {
  AUTHORITY_CERTIFICATE_BYTES_MAX,
  MEMBER_CERTIFICATE_BYTES_MAX,
  REVOCATION_BYTES_MAX,
} from '../admission/limits.ts'
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
  FRAME_HEALS_MAX,
  FRAME_REVOCATIONS_MAX,
  HEAL_BYTES_MAX,
} from './limits.ts'

/** Frame kinds; never renumbered. */
export const KIND = {
  hello: 1,
  probe: 2,
  ack: 3,
  records: 4,
  sums: 5,
  items: 6,
  difference: 7,
  request: 8,
  relayed: 9,
  part: 10,
} as const

/** How a sender holds a member. `suspect` asks the receiver to refute. */
export const HELD = { unknown: 0, alive: 1, suspect: 2, dead: 3 } as const
const held = z.int().min(0).max(3)
const digest = fixedBytes(8)

/**
 * Signed by the accuser: each subject did not answer it while its record had this version. `refused`: its host answered the
 * redial of a closed link that nothing listens, so the process is gone.
 */
export const accusationFormat = cborFormat(
  'accusation body',
  row({
    version: z.literal(1),
    by: fixedBytes(32),
    issuedAt: uint(),
    subjects: z
      .array(row({ key: fixedBytes(32), incarnation: uint(), seq: uint(), refused: z.boolean() }))
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

/** Asks everybody to announce itself anew, after a partition. */
export const healFormat = cborFormat(
  'heal body',
  row({ version: z.literal(1), by: fixedBytes(32), nonce: fixedBytes(8), issuedAt: uint() }),
  64,
)
/** Body and signature. */
export const signedHealFormat = cborFormat(
  'heal',
  row({ body: boundedBytes(64), signature: fixedBytes(64) }),
  HEAL_BYTES_MAX,
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
  heals: z.array(boundedBytes(HEAL_BYTES_MAX)).max(FRAME_HEALS_MAX),
  revocations: z.array(boundedBytes(REVOCATION_BYTES_MAX)).max(FRAME_REVOCATIONS_MAX),
}

/** Every frame of the protocol. `revoked`: hash of the sender's revocation set. Clock in ms; `heldIncarnation`/`heldSeq` the version of the receiver's record the sender has. */
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
    row({ kind: z.literal(KIND.sums), sums: fixedBytes(2_048), revoked: digest }),
    row({
      kind: z.literal(KIND.items),
      buckets: fixedBytes(32),
      items: z.array(fixedBytes(16)).max(AE_ITEMS_MAX),
      revoked: digest,
    }),
    row({ kind: z.literal(KIND.difference), ...records, wants: z.array(fixedBytes(8)).max(AE_ITEMS_MAX) }),
    row({ kind: z.literal(KIND.request), n: uint(), target: fixedBytes(32) }),
    row({ kind: z.literal(KIND.relayed), n: uint(), target: fixedBytes(32) }),
    row({ kind: z.literal(KIND.part) }),
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
  heals: Uint8Array[]
  revocations: Uint8Array[]
}

/** Nothing, as a frame carries it. */
export function noRecords(): Records {
  return { authorities: [], entries: [], accusations: [], heals: [], revocations: [] }
}

/** What frames carry beside entries and accusations. */
export interface CarriedNotices {
  readonly heals?: readonly Uint8Array[]
  readonly revocations?: readonly Uint8Array[]
}

/** Splits everything over as few frames as fit, in order; revocations first, they decide about entries. */
export function packRecords(
  entries: readonly CarriedEntry[],
  accusations: readonly Uint8Array[],
  notices: CarriedNotices = {},
): Records[] {
  const packer = new RecordPacker()
  for (const bytes of notices.revocations ?? []) packer.notice('revocations', bytes, FRAME_REVOCATIONS_MAX)
  for (const bytes of notices.heals ?? []) packer.notice('heals', bytes, FRAME_HEALS_MAX)
  for (const entry of entries) packer.entry(entry)
  for (const bytes of accusations) packer.notice('accusations', bytes, FRAME_ACCUSATIONS_MAX)
  return packer.finish()
}

class RecordPacker {
  readonly #frames: Records[] = []
  #current = noRecords()
  #sizeBytes = 0
  /** Index of each authority certificate of the current frame. */
  #known = new Map<string, number>()

  entry({ kind, statement, credentials, down }: CarriedEntry): void {
    const pair = credentials === null ? null : credentialsFormat.decode(credentials)
    const name = pair === null ? '' : toHex(pair.authority)
    const cost = statement.length + (pair?.member.length ?? 0) + 16
    const authorityCost = pair === null || this.#known.has(name) ? 0 : pair.authority.length
    const full =
      this.#sizeBytes + cost + authorityCost > FRAME_ENTRIES_BYTES ||
      this.#current.entries.length >= FRAME_ENTRIES_MAX ||
      (authorityCost > 0 && this.#current.authorities.length >= FRAME_AUTHORITIES_MAX)
    if (full) this.#flush()
    if (pair !== null && !this.#known.has(name)) {
      this.#known.set(name, this.#current.authorities.length)
      this.#current.authorities.push(pair.authority)
      this.#sizeBytes += pair.authority.length
    }
    const authority = this.#known.get(name) ?? 0
    this.#current.entries.push({ kind, statement, member: pair?.member ?? null, authority, down })
    this.#sizeBytes += cost
  }

  notice(field: 'accusations' | 'heals' | 'revocations', bytes: Uint8Array, countMax: number): void {
    if (this.#sizeBytes + bytes.length > FRAME_ENTRIES_BYTES || this.#current[field].length >= countMax)
      this.#flush()
    this.#current[field].push(bytes)
    this.#sizeBytes += bytes.length + 4
  }

  finish(): Records[] {
    this.#flush()
    return this.#frames
  }

  #flush(): void {
    if (this.#sizeBytes > 0) this.#frames.push(this.#current)
    this.#current = noRecords()
    this.#sizeBytes = 0
    this.#known = new Map()
  }
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
