import test from 'ava'
import {
  AUTHORITY_CERTIFICATE_BYTES_MAX,
  MEMBER_CERTIFICATE_BYTES_MAX,
  REVOCATION_BYTES_MAX,
} from '../../../protocols/admission/limits.ts'
import { credentialsFormat } from '../../../protocols/admission/wire.ts'
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
} from '../../../protocols/membership/limits.ts'
import {
  accusationFormat,
  frameFormat,
  healFormat,
  KIND,
  packRecords,
  signedAccusationFormat,
  signedHealFormat,
  type CarriedEntry,
  type Records,
} from '../../../protocols/membership/wire.ts'
import { STATEMENT_BYTES_MAX } from '../../../protocols/registry/limits.ts'
import { decodesUpTo, readsUpTo } from '../common/format-bounds.ts'

const KEY = new Uint8Array(32)
const DIGEST = new Uint8Array(8)
const bytes = (sizeBytes: number): Uint8Array => new Uint8Array(sizeBytes)
const list = <T>(count: number, item: (n: number) => T): T[] =>
  Array.from({ length: count }, (_, n) => item(n))
/** The parts of a frame of records, in their order. */
const records = (part: { [name in keyof Records]?: unknown[] }): unknown[] => {
  const { authorities = [], entries = [], accusations = [], heals = [], revocations = [] } = part
  return [KIND.records, authorities, entries, accusations, heals, revocations]
}
const entry = (statementBytes = 0, memberBytes = 0, authority = 0): unknown[] => [
  'leave',
  bytes(statementBytes),
  bytes(memberBytes),
  authority,
  false,
]
const one = bytes(1)

test('each bound of a frame: at it another node reads it, with one more it is malformed', (t) => {
  const { maxBytes: accusationBytes } = signedAccusationFormat
  decodesUpTo(t, frameFormat, [
    ['authorities', FRAME_AUTHORITIES_MAX, (n) => records({ authorities: list(n, () => one) })],
    [
      'bytes of an authority',
      AUTHORITY_CERTIFICATE_BYTES_MAX,
      (size) => records({ authorities: [bytes(size)] }),
    ],
    ['entries', FRAME_ENTRIES_MAX, (n) => records({ entries: list(n, () => entry()) })],
    ['bytes of a statement', STATEMENT_BYTES_MAX, (size) => records({ entries: [entry(size)] })],
    [
      'bytes of a certificate',
      MEMBER_CERTIFICATE_BYTES_MAX,
      (size) => records({ entries: [entry(0, size)] }),
    ],
    ['place of an authority', FRAME_AUTHORITIES_MAX - 1, (n) => records({ entries: [entry(0, 0, n)] })],
    ['accusations', FRAME_ACCUSATIONS_MAX, (n) => records({ accusations: list(n, () => one) })],
    ['bytes of an accusation', accusationBytes, (size) => records({ accusations: [bytes(size)] })],
    ['requests to announce', FRAME_HEALS_MAX, (n) => records({ heals: list(n, () => one) })],
    ['bytes of such a request', HEAL_BYTES_MAX, (size) => records({ heals: [bytes(size)] })],
    ['revocations', FRAME_REVOCATIONS_MAX, (n) => records({ revocations: list(n, () => one) })],
    ['bytes of a revocation', REVOCATION_BYTES_MAX, (size) => records({ revocations: [bytes(size)] })],
    ['items', AE_ITEMS_MAX, (n) => [KIND.items, KEY, list(n, () => bytes(16)), DIGEST]],
    ['wants', AE_ITEMS_MAX, (n) => [KIND.difference, ...records({}).slice(1), list(n, () => DIGEST)]],
  ])
  readsUpTo(t, frameFormat, FRAME_BYTES_MAX)
})

test('an accusation names so many members and no more, and the longest one fits; a heal has its size', (t) => {
  decodesUpTo(t, accusationFormat, [
    ['subjects', ACCUSED_MAX, (n) => [1, KEY, 0, list(n, () => [KEY, 0, 0, false])]],
  ])
  const highest = Number.MAX_SAFE_INTEGER
  const subject = { key: KEY, incarnation: highest, seq: highest, refused: true }
  const body = accusationFormat.encode({
    version: 1,
    by: KEY,
    issuedAt: highest,
    subjects: list(ACCUSED_MAX, () => subject),
  })
  t.notThrows(() => signedAccusationFormat.encode({ body, signature: bytes(64) }))
  const heal = healFormat.encode({ version: 1, by: KEY, nonce: DIGEST, issuedAt: highest })
  t.notThrows(() => signedHealFormat.encode({ body: heal, signature: bytes(64) }))
  readsUpTo(t, signedHealFormat, HEAL_BYTES_MAX)
})

test('what is more than one frame carries goes into the next one, whatever there is much of', (t) => {
  const carried = (credentials: Uint8Array | null, statementBytes = 1): CarriedEntry => ({
    kind: 'leave',
    statement: bytes(statementBytes),
    credentials,
    down: false,
  })
  /** Credentials of the nth authority. */
  const signedBy = (n: number): Uint8Array =>
    credentialsFormat.encode({ member: one, authority: Uint8Array.of(n) })
  const table: readonly (readonly [keyof Records, number, (count: number) => Records[]])[] = [
    [
      'entries',
      FRAME_ENTRIES_MAX,
      (count) =>
        packRecords(
          list(count, () => carried(null)),
          [],
        ),
    ],
    [
      'authorities',
      FRAME_AUTHORITIES_MAX,
      (count) =>
        packRecords(
          list(count, (n) => carried(signedBy(n))),
          [],
        ),
    ],
    [
      'accusations',
      FRAME_ACCUSATIONS_MAX,
      (count) =>
        packRecords(
          [],
          list(count, () => one),
        ),
    ],
    ['heals', FRAME_HEALS_MAX, (count) => packRecords([], [], { heals: list(count, () => one) })],
    [
      'revocations',
      FRAME_REVOCATIONS_MAX,
      (count) => packRecords([], [], { revocations: list(count, () => one) }),
    ],
  ]
  for (const [part, max, pack] of table) {
    const counts = (count: number): number[] => pack(count).map((frame) => frame[part].length)
    t.deepEqual(counts(max), [max], part)
    t.deepEqual(counts(max + 1), [max, 1], part)
    for (const frame of pack(max + 1))
      t.notThrows(() => frameFormat.decode(frameFormat.encode({ kind: KIND.records, ...frame })))
  }
  // By size: the longest of everything, as many as fill frames.
  const most = packRecords(
    list(FRAME_ENTRIES_MAX, () => carried(null, STATEMENT_BYTES_MAX)),
    list(FRAME_ACCUSATIONS_MAX, () => bytes(signedAccusationFormat.maxBytes)),
    { revocations: list(FRAME_REVOCATIONS_MAX, () => bytes(REVOCATION_BYTES_MAX)) },
  )
  t.is(most[0]?.revocations.length, Math.floor(FRAME_ENTRIES_BYTES / REVOCATION_BYTES_MAX))
  for (const frame of most)
    t.true(frameFormat.encode({ kind: KIND.records, ...frame }).length <= FRAME_BYTES_MAX)
  t.is(
    most.reduce((sum, { entries }) => sum + entries.length, 0),
    FRAME_ENTRIES_MAX,
  )
})
