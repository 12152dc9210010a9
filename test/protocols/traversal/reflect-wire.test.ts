import test from 'ava'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { plainIp, type Endpoint } from '../../../protocols/traversal/endpoint.ts'
import { TICKETS_MAX } from '../../../protocols/traversal/limits.ts'
import { RAW_MAGIC_BYTES } from '../../../protocols/traversal/reflect-wire.ts'
import {
  decodeRawOpening,
  decodeReflection,
  encodeRawOpening,
  encodeReflection,
  rawOpeningKind,
  reflectAnswerFormat,
  reflectRequestFormat,
  type RawOpening,
  type ReflectAnswer,
  type ReflectRequest,
} from '../../../protocols/traversal/reflect-wire.ts'

const TOKEN = fromHex('000102030405060708090a0b0c0d0e0f')
const four = { ip: Uint8Array.of(52, 0, 0, 9), port: 41_000 }
const six = { ip: fromHex('200300e8000000000000000000000001'), port: 1 }

const REQUESTS: readonly (readonly [ReflectRequest, string])[] = [
  [{ kind: 1, count: 2, wantsExtraPort: true }, '830102f5'],
  [{ kind: 2, port: 41_000, nonce: TOKEN }, '830219a02850000102030405060708090a0b0c0d0e0f'],
]
const ANSWERS: readonly (readonly [ReflectAnswer, string])[] = [
  [{ kind: 1, tickets: [TOKEN], extraPort: 40_000 }, '83018150000102030405060708090a0b0c0d0e0f199c40'],
  [{ kind: 1, tickets: [TOKEN], extraPort: null }, '83018150000102030405060708090a0b0c0d0e0ff6'],
  [{ kind: 2, arrived: false }, '8202f4'],
  [{ kind: 3, code: 'reflect-flood' }, '82036d7265666c6563742d666c6f6f64'],
]
const OPENINGS: readonly (readonly [RawOpening, string])[] = [
  [{ kind: 'reflection', token: TOKEN }, '6b6974687265666c000102030405060708090a0b0c0d0e0f'],
  [{ kind: 'reach', token: TOKEN }, '6b69746870726f62000102030405060708090a0b0c0d0e0f'],
]
const REFLECTIONS: readonly (readonly [Endpoint, string])[] = [
  [four, '6b6974687265666c00000000000000000000ffff34000009a028'],
  [six, '6b6974687265666c200300e80000000000000000000000010001'],
]

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
const port = fc.integer({ min: 1, max: 65_535 })
const plain = { noNullPrototype: true }
const request: fc.Arbitrary<ReflectRequest> = fc.oneof(
  fc.record(
    {
      kind: fc.constant(1 as const),
      count: fc.integer({ min: 1, max: TICKETS_MAX }),
      wantsExtraPort: fc.boolean(),
    },
    plain,
  ),
  fc.record({ kind: fc.constant(2 as const), port, nonce: bytes(16) }, plain),
)
const answer: fc.Arbitrary<ReflectAnswer> = fc.oneof(
  fc.record(
    {
      kind: fc.constant(1 as const),
      tickets: fc.array(bytes(16), { minLength: 1, maxLength: TICKETS_MAX }),
      extraPort: fc.option(port),
    },
    plain,
  ),
  fc.record({ kind: fc.constant(2 as const), arrived: fc.boolean() }, plain),
  fc.record(
    { kind: fc.constant(3 as const), code: fc.stringMatching(/^[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}$/) },
    plain,
  ),
)
const ip = fc.oneof(
  bytes(4),
  bytes(16).filter((each) => plainIp(each) === each),
)

test('questions, answers and raw connections have these bytes', (t) => {
  for (const [value, hex] of REQUESTS) {
    t.is(toHex(reflectRequestFormat.encode(value)), hex)
    t.deepEqual(reflectRequestFormat.decode(fromHex(hex)), value)
  }
  for (const [value, hex] of ANSWERS) {
    t.is(toHex(reflectAnswerFormat.encode(value)), hex)
    t.deepEqual(reflectAnswerFormat.decode(fromHex(hex)), value)
  }
  for (const [value, hex] of OPENINGS) {
    t.is(toHex(encodeRawOpening(value)), hex)
    t.deepEqual(decodeRawOpening(fromHex(hex)), value)
  }
  for (const [value, hex] of REFLECTIONS) {
    t.is(toHex(encodeReflection(value)), hex)
    t.deepEqual(decodeReflection(fromHex(hex)), value)
  }
})

test('each is read as it was written', (t) => {
  fc.assert(
    fc.property(
      request,
      answer,
      fc.record({ ip, port }, plain),
      bytes(16),
      (asked, answered, seen, token) => {
        t.deepEqual(reflectRequestFormat.decode(reflectRequestFormat.encode(asked)), asked)
        t.deepEqual(reflectAnswerFormat.decode(reflectAnswerFormat.encode(answered)), answered)
        t.deepEqual(decodeReflection(encodeReflection(seen)), seen)
        for (const kind of ['reflection', 'reach'] as const)
          t.deepEqual(decodeRawOpening(encodeRawOpening({ kind, token })), { kind, token })
      },
    ),
  )
})

test('a raw connection is known by its first bytes, and no sooner', (t) => {
  for (const [{ kind }, hex] of OPENINGS) {
    t.is(rawOpeningKind(fromHex(hex)), kind)
    t.is(rawOpeningKind(fromHex(hex).subarray(0, RAW_MAGIC_BYTES)), kind)
    t.is(rawOpeningKind(fromHex(hex).subarray(0, RAW_MAGIC_BYTES - 1)), null)
  }
  t.throws(() => encodeRawOpening({ kind: 'reach', token: TOKEN.slice(1) }))
  t.throws(() => encodeReflection({ ip: four.ip, port: 0 }))
})

test('any other bytes throw a malformed error and nothing else', (t) => {
  const mutated = fc
    .tuple(
      fc.oneof(
        request.map((value) => reflectRequestFormat.encode(value)),
        answer.map((value) => reflectAnswerFormat.encode(value)),
        fc.record({ ip, port }).map(encodeReflection),
        bytes(16).map((token) => encodeRawOpening({ kind: 'reach', token })),
      ),
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
    )
    .map(([encoded, at, flip]) => {
      encoded[at % encoded.length] = (encoded[at % encoded.length] ?? 0) ^ flip
      return encoded
    })
  const readers: readonly ((input: Uint8Array) => Uint8Array)[] = [
    (input) => reflectRequestFormat.encode(reflectRequestFormat.decode(input)),
    (input) => reflectAnswerFormat.encode(reflectAnswerFormat.decode(input)),
    (input) => encodeRawOpening(decodeRawOpening(input)),
    (input) => encodeReflection(decodeReflection(input)),
  ]
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (input) => {
      for (const again of readers) {
        try {
          t.deepEqual(again(input), input)
        } catch (error) {
          t.true(error instanceof MalformedError)
        }
      }
    }),
    { numRuns: 500 },
  )
})
