import test from 'ava'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { AESGCM, CHACHAPOLY, SUITES } from '../../../protocols/noise-ik/suite.ts'
import { RecordError } from '../../../protocols/record/errors.ts'
import {
  HEADER_BYTES,
  RECORD_CHUNKS_MAX,
  RECORD_MAX_BYTES,
  RECORD_TAG_BYTES,
  RECORD_TARGET_BYTES,
} from '../../../protocols/record/limits.ts'
import { Coalescer } from '../../../protocols/record/coalescer.ts'
import { RecordReader, type PlainRecord } from '../../../protocols/record/reader.ts'
import { RecordWriter } from '../../../protocols/record/writer.ts'
import { readHeader, writeHeader, type RecordHeader } from '../../../protocols/record/wire.ts'

const KEY = new Uint8Array(32).fill(1)
const allocate = (size: number): Uint8Array => new Uint8Array(size).fill(0xee)

function writer(suite = AESGCM, epoch = 0): RecordWriter {
  return new RecordWriter(suite.cipher(KEY), epoch, allocate)
}

/** One record as one piece. */
function seal(out: RecordWriter, ...of: Parameters<RecordWriter['seal']>): Uint8Array {
  return Uint8Array.from(Buffer.concat(out.seal(...of)))
}

function read(
  bytes: Uint8Array,
  reader = new RecordReader(AESGCM.cipher(KEY), 0),
  step = bytes.length,
): string[] {
  const out: string[] = []
  const take = (record: PlainRecord): void => {
    out.push(`${record.type}:${Buffer.concat(record.parts).toString('hex')}`)
  }
  for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step), take)
  return out
}

const GOLDEN: readonly (readonly [RecordHeader, string])[] = [
  [{ type: 'data', lengthBytes: 16, epoch: 0, counter: 0 }, '00000010000000000000000000000000'],
  [{ type: 'confirm', lengthBytes: 16, epoch: 1, counter: 2 ** 32 + 5 }, '03000010000000010000000100000005'],
  [
    { type: 'close', lengthBytes: 0x40010, epoch: 0xffffffff, counter: 2 ** 53 - 1 },
    '04040010ffffffff001fffffffffffff',
  ],
]

for (const [header, hex] of GOLDEN) {
  test(`golden header ${hex}`, (t) => {
    const bytes = new Uint8Array(HEADER_BYTES)
    writeHeader(header, bytes)
    t.is(toHex(bytes), hex)
    t.deepEqual(readHeader(fromHex(hex)), header)
  })
}

// Computed with another implementation (noble-ciphers).
test('golden records of both suites', (t) => {
  const text = new TextEncoder().encode('kith')
  const golden = (suite: typeof AESGCM): string => {
    const out = writer(suite, 7)
    out.seal('confirm', [])
    return toHex(seal(out, 'data', [text.subarray(0, 1), text.subarray(1)]))
  }
  t.is(golden(AESGCM), '00000014000000070000000000000001d0b3e4efb58f067238258e81299afdd70548a93b')
  t.is(golden(CHACHAPOLY), '0000001400000007000000000000000126535f7bc8ab24f956b41cdf267fe00a60abe0b3')
})

test('any header survives a round trip; any other 16 bytes give a record error or a header', (t) => {
  const header = fc.record({
    type: fc.constantFrom('data', 'rot', 'ack', 'confirm', 'close'),
    lengthBytes: fc.integer({ min: 16, max: RECORD_MAX_BYTES + 16 }),
    epoch: fc.nat(0xffffffff),
    counter: fc.maxSafeNat(),
  }) as fc.Arbitrary<RecordHeader>
  fc.assert(
    fc.property(header, (value) => {
      const bytes = new Uint8Array(HEADER_BYTES)
      writeHeader(value, bytes)
      t.deepEqual(readHeader(bytes), value)
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      try {
        const again = new Uint8Array(HEADER_BYTES)
        writeHeader(readHeader(bytes), again)
        t.deepEqual(again, bytes)
      } catch (error) {
        t.true(error instanceof RecordError)
      }
    }),
    { numRuns: 1000 },
  )
})

for (const suite of SUITES.values()) {
  test(`${suite.name}: what is coalesced and sealed arrives in order, however the stream is cut`, (t) => {
    const sends = fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(sends, fc.integer({ min: 1, max: 70_000 }), (sizes, step) => {
        const out = writer(suite)
        const coalescer = new Coalescer()
        const all = sizes.map((size, i) => new Uint8Array(size).fill(i + 1))
        const records = all.flatMap((part) => coalescer.add(part)).map((parts) => seal(out, 'data', parts))
        t.true(coalescer.sizeBytes < RECORD_TARGET_BYTES)
        if (coalescer.sizeBytes > 0) records.push(seal(out, 'data', coalescer.flush()))
        const wire = Buffer.concat(records)
        const reader = new RecordReader(suite.cipher(KEY), 0)
        const got: Uint8Array[] = []
        for (let at = 0; at < wire.length; at += step) {
          reader.push(wire.subarray(at, at + step), (record) => got.push(...record.parts))
          t.true(reader.bufferedBytes <= RECORD_TARGET_BYTES + HEADER_BYTES + 16)
        }
        t.is(Buffer.compare(Buffer.concat(got), Buffer.concat(all)), 0)
        t.is(reader.bufferedBytes, 0)
      }),
      { numRuns: 25 },
    )
  })
}

test('a hundred small sends make one record', (t) => {
  const coalescer = new Coalescer()
  for (let i = 0; i < 100; i++) t.deepEqual(coalescer.add(new Uint8Array(140)), [])
  t.is(seal(writer(), 'data', coalescer.flush()).length, HEADER_BYTES + 14_000 + 16)
  t.deepEqual(coalescer.flush(), [])
})

test('one byte at a time works and does not keep one array for each', (t) => {
  const out = writer()
  const wire = Buffer.concat([seal(out, 'data', [new Uint8Array(3000).fill(9)]), seal(out, 'close', [])])
  t.deepEqual(read(wire, undefined, 1), [`data:${'09'.repeat(3000)}`, 'close:'])
  // What the cipher is given is what the reader kept.
  const keptOf = (bodyBytes: number): number => {
    const record = seal(writer(), 'data', [new Uint8Array(bodyBytes - RECORD_TAG_BYTES)])
    const cipher = AESGCM.cipher(KEY)
    let kept = 0
    const counting: typeof cipher = {
      seal: (...of) => cipher.seal(...of),
      sealPieces: (...of) => cipher.sealPieces(...of),
      open(counter, ad, parts) {
        kept = parts.length
        return cipher.open(counter, ad, parts)
      },
    }
    const reader = new RecordReader(counting, 0)
    read(record.subarray(0, HEADER_BYTES), reader)
    t.is(read(record.subarray(HEADER_BYTES), reader, 1).length, 1)
    return kept
  }
  t.is(keptOf(RECORD_CHUNKS_MAX), RECORD_CHUNKS_MAX)
  t.is(keptOf(RECORD_CHUNKS_MAX + 1), 1, 'one more joins them')
})

test('a flipped bit anywhere is fatal: header fields by name, the rest by the tag', (t) => {
  const original = seal(writer(), 'data', [new TextEncoder().encode('sixteen byte txt')])
  for (let at = 0; at < original.length; at++) {
    for (const bit of [1, 0x80]) {
      const changed = original.slice()
      changed[at] = (changed[at] ?? 0) ^ bit
      const reader = new RecordReader(AESGCM.cipher(KEY), 0)
      let given = 0
      // A length that grew leaves the record unfinished until more bytes come.
      const error = t.throws(
        () => {
          reader.push(changed, () => given++)
          reader.push(new Uint8Array(RECORD_MAX_BYTES), () => given++)
        },
        { instanceOf: RecordError },
        `byte ${at} bit ${bit}`,
      )
      t.is(given, 0)
      const code =
        at === 0
          ? /record-type|record-tag/u
          : at < 4
            ? /record-length|record-tag/u
            : at < 8
              ? /epoch/u
              : at < 16
                ? /counter/u
                : /tag/u
      t.regex(error?.code ?? '', code, `byte ${at}`)
    }
  }
})

test('repeated, dropped, reordered and foreign-epoch records are fatal, and stay so', (t) => {
  const out = writer()
  const [a, b, c] = ['a', 'b', 'c'].map((text) => seal(out, 'data', [new TextEncoder().encode(text)]))
  if (a === undefined || b === undefined || c === undefined) throw new Error('unreachable')
  const cases: [string, Uint8Array[], string][] = [
    ['repeated', [a, a], 'record-counter'],
    ['dropped', [a, c], 'record-counter'],
    ['reordered', [b, a], 'record-counter'],
    ['epoch', [seal(writer(AESGCM, 1), 'data', [])], 'record-epoch'],
    [
      'key',
      [seal(new RecordWriter(AESGCM.cipher(new Uint8Array(32)), 0, allocate), 'data', [])],
      'record-tag',
    ],
  ]
  for (const [name, records, code] of cases) {
    const reader = new RecordReader(AESGCM.cipher(KEY), 0)
    t.throws(() => read(Buffer.concat(records), reader), { instanceOf: RecordError, code }, name)
    t.throws(() => read(a, reader), { instanceOf: RecordError, code }, `${name}, afterwards`)
  }
})

for (const [name, hex, code] of [
  ['unknown type', '05000010000000000000000000000000', 'record-type'],
  ['shorter than a tag', '0000000f000000000000000000000000', 'record-length'],
  ['longer than the limit', '00040011000000000000000000000000', 'record-length'],
  ['counter above 2^53', '00000010000000000020000000000000', 'record-counter'],
] as const) {
  test(`a header with ${name} is refused before anything is buffered`, (t) => {
    const reader = new RecordReader(AESGCM.cipher(KEY), 0)
    t.throws(() => reader.push(fromHex(hex), () => t.fail()), { instanceOf: RecordError, code })
  })
}

test('arbitrary bytes give record errors only and never a record', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const reader = new RecordReader(CHACHAPOLY.cipher(KEY), 0)
      try {
        reader.push(bytes, () => t.fail('a record came out'))
        t.is(reader.bufferedBytes, bytes.length)
      } catch (error) {
        t.true(error instanceof RecordError)
      }
    }),
    { numRuns: 500 },
  )
})

test('a record above the limit cannot be sealed', (t) => {
  t.throws(() => seal(writer(), 'data', [new Uint8Array(RECORD_MAX_BYTES + 1)]), { message: /record of/u })
})

test('a record beyond 16 KiB leaves in pieces and is the same bytes as in one buffer', (t) => {
  const [small, large] = [new Uint8Array(12).fill(1), new Uint8Array(70_000).fill(2)]
  for (const suite of SUITES.values()) {
    const pieces = writer(suite).seal('data', [small, small, large, small])
    t.true(pieces.length > 3)
    const whole = new Uint8Array(HEADER_BYTES + 70_036 + 16)
    whole.set(pieces[0] as Uint8Array)
    suite
      .cipher(KEY)
      .seal(0, whole.subarray(0, HEADER_BYTES), [small, small, large, small], whole, HEADER_BYTES)
    t.deepEqual(Buffer.concat(pieces), Buffer.from(whole))
  }
})

test('the sender switches to the next key once, where the reader expects it, and not back', (t) => {
  const next = AESGCM.cipher(new Uint8Array(32).fill(2))
  const out = writer()
  const before = seal(out, 'data', [Uint8Array.of(1)])
  const late = seal(writer(), 'data', [Uint8Array.of(2)])
  out.rekey(next, 1)
  t.deepEqual([out.epoch, out.records, out.sizeBytes], [1, 0, 0])
  const after = Buffer.concat([seal(out, 'confirm', []), seal(out, 'data', [Uint8Array.of(3)])])

  const unprepared = new RecordReader(AESGCM.cipher(KEY), 0)
  t.throws(() => read(Buffer.concat([before, after]), unprepared), { code: 'record-epoch' })

  const reader = new RecordReader(AESGCM.cipher(KEY), 0)
  reader.expect(next, 1)
  t.deepEqual(read(before, reader), ['data:01'], 'the old key goes on until the switch')
  t.deepEqual(read(after, reader, 1), ['confirm:', 'data:03'])
  t.deepEqual([reader.epoch, reader.records, reader.openedBytes], [1, 2, 1])
  t.throws(() => read(late, reader), { code: 'record-epoch' }, 'a record of the old key afterwards')

  for (const cut of [after, Buffer.concat([before, after.subarray(32)])]) {
    const skipping = new RecordReader(AESGCM.cipher(KEY), 0)
    skipping.expect(next, 1)
    t.throws(() => read(cut, skipping), { code: 'record-counter' }, 'what is cut off before or at the switch')
  }

  t.throws(() => out.rekey(next, 3), { message: 'epoch 3 behind 1' })
  t.throws(() => reader.expect(next, 1), { message: 'epoch 1 behind 1' })
})
