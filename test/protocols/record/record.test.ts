import test from 'ava'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { AESGCM, CHACHAPOLY, SUITES } from '../../../protocols/noise-ik/suite.ts'
import { RecordError } from '../../../protocols/record/errors.ts'
import { HEADER_BYTES, RECORD_MAX_BYTES, RECORD_TARGET_BYTES } from '../../../protocols/record/limits.ts'
import { Coalescer, RecordReader, RecordWriter, type PlainRecord } from '../../../protocols/record/machine.ts'
import { readHeader, writeHeader, type RecordHeader } from '../../../protocols/record/wire.ts'

const KEY = new Uint8Array(32).fill(1)
const allocate = (size: number): Uint8Array => new Uint8Array(size).fill(0xee)

function writer(suite = AESGCM, epoch = 0): RecordWriter {
  return new RecordWriter(suite.cipher(KEY), epoch, allocate)
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
  const seal = (suite: typeof AESGCM): string => {
    const out = writer(suite, 7)
    out.seal('confirm', [])
    return toHex(out.seal('data', [text.subarray(0, 1), text.subarray(1)]))
  }
  t.is(seal(AESGCM), '00000014000000070000000000000001d0b3e4efb58f067238258e81299afdd70548a93b')
  t.is(seal(CHACHAPOLY), '0000001400000007000000000000000126535f7bc8ab24f956b41cdf267fe00a60abe0b3')
})

test('any header survives a round trip; any other 16 bytes give a record error or a header', (t) => {
  const header = fc.record({
    type: fc.constantFrom('data', 'confirm', 'close'),
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
        const records = all.flatMap((part) => coalescer.add(part)).map((parts) => out.seal('data', parts))
        t.true(coalescer.sizeBytes < RECORD_TARGET_BYTES)
        if (coalescer.sizeBytes > 0) records.push(out.seal('data', coalescer.flush()))
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
  t.is(writer().seal('data', coalescer.flush()).length, HEADER_BYTES + 14_000 + 16)
  t.deepEqual(coalescer.flush(), [])
})

test('one byte at a time works and does not keep one array for each', (t) => {
  const out = writer()
  const wire = Buffer.concat([out.seal('data', [new Uint8Array(3000).fill(9)]), out.seal('close', [])])
  t.deepEqual(read(wire, undefined, 1), [`data:${'09'.repeat(3000)}`, 'close:'])
})

test('a flipped bit anywhere is fatal: header fields by name, the rest by the tag', (t) => {
  const original = writer().seal('data', [new TextEncoder().encode('sixteen byte txt')])
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
  const [a, b, c] = ['a', 'b', 'c'].map((text) => out.seal('data', [new TextEncoder().encode(text)]))
  if (a === undefined || b === undefined || c === undefined) throw new Error('unreachable')
  const cases: [string, Uint8Array[], string][] = [
    ['repeated', [a, a], 'record-counter'],
    ['dropped', [a, c], 'record-counter'],
    ['reordered', [b, a], 'record-counter'],
    ['epoch', [writer(AESGCM, 1).seal('data', [])], 'record-epoch'],
    [
      'key',
      [new RecordWriter(AESGCM.cipher(new Uint8Array(32)), 0, allocate).seal('data', [])],
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
  ['reserved ROT', '01000010000000000000000000000000', 'record-type'],
  ['reserved ACK', '02000010000000000000000000000000', 'record-type'],
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
  t.throws(() => writer().seal('data', [new Uint8Array(RECORD_MAX_BYTES + 1)]), { message: /record of/u })
})
