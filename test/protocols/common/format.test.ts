import test from 'ava'
import * as fc from 'fast-check'
import { encode } from 'cborg'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { cborFormat, fixedBytes, row, uint, z } from '../../../protocols/common/format.ts'
import { keyFromPeerId, peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { SIGNING_CONTEXTS } from '../../../protocols/common/signing.ts'

const format = cborFormat(
  'sample',
  row({
    version: z.literal(1),
    key: fixedBytes(4),
    count: uint(),
    note: z.nullable(z.string().max(8)),
    inner: z.array(row({ name: z.string().max(4) })).max(3),
  }),
  64,
)
const sample = fc.record({
  version: fc.constant(1 as const),
  key: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  count: fc.maxSafeNat(),
  note: fc.option(fc.string({ maxLength: 4 }), { nil: null }),
  inner: fc.array(fc.record({ name: fc.string({ maxLength: 2 }) }), { maxLength: 3 }),
})

test('a format has golden bytes', (t) => {
  const bytes = format.encode({
    version: 1,
    key: Uint8Array.of(1, 2, 3, 4),
    count: 300,
    note: null,
    inner: [{ name: 'a' }],
  })
  t.is(Buffer.from(bytes).toString('hex'), '8501440102030419012cf681816161')
})

test('what was encoded decodes to the same, and what decodes encodes to the same bytes', (t) => {
  fc.assert(
    fc.property(sample, (value) => {
      const bytes = format.encode(value)
      t.deepEqual(format.decode(bytes), value)
      t.deepEqual(format.encode(format.decode(bytes)), bytes)
    }),
  )
})

test('any bytes decode or are malformed, and nothing else happens', (t) => {
  const mutated = fc.tuple(sample, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
    const bytes = format.encode(value)
    bytes[at % bytes.length] = byte
    return bytes
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), mutated), (bytes) => {
      try {
        t.deepEqual(format.encode(format.decode(bytes)), bytes)
      } catch (error) {
        t.true(error instanceof MalformedError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

const malformed: [title: string, bytes: Uint8Array][] = [
  ['nothing', new Uint8Array(0)],
  ['a row with a field too few', encode([1, new Uint8Array(4), 1, null])],
  ['a row with a field too many', encode([1, new Uint8Array(4), 1, null, [], 7])],
  ['a version of the future', encode([2, new Uint8Array(4), 1, null, []])],
  [
    'a number that is not written the shortest way',
    Uint8Array.from(Buffer.from('850144000000001801f680', 'hex')),
  ],
  ['an array of unknown length', Uint8Array.from(Buffer.from('9f01440000000001f680ff', 'hex'))],
  ['bytes behind the end', Uint8Array.from([...encode([1, new Uint8Array(4), 1, null, []]), 0])],
  ['more bytes than the limit', new Uint8Array(65)],
]
for (const [title, bytes] of malformed) {
  test(`${title} is malformed`, (t) => {
    t.throws(() => format.decode(bytes), { instanceOf: MalformedError })
  })
}

test('encoding more than the limit is our own bug and not a malformed peer', (t) => {
  const error = t.throws(() => cborFormat('tiny', z.string(), 4).encode('too long'))
  t.false(error instanceof MalformedError)
})

test('no signing context is the beginning of another', (t) => {
  const contexts = Object.values(SIGNING_CONTEXTS)
  for (const a of contexts)
    for (const b of contexts) if (a !== b) t.false(b.startsWith(a), `${a} begins ${b}`)
})

test('a key and its peer id lead to each other; other ids are malformed', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) =>
      t.deepEqual(keyFromPeerId(peerIdFromKey(key)), key),
    ),
  )
  t.is(peerIdFromKey(new Uint8Array(32)), '12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw')
  for (const text of ['', 'x', '12D3KooW', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', '0OIl'])
    t.throws(() => keyFromPeerId(text), { instanceOf: MalformedError })
})
