import test from 'ava'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { plainIp } from '../../../protocols/traversal/endpoint.ts'
import { ATTEMPT_MS, ENDPOINTS_MAX } from '../../../protocols/traversal/limits.ts'
import type { Dependence, PartialStanding } from '../../../protocols/traversal/nat.ts'
import {
  decodeNomination,
  encodeNomination,
  punchFormat,
  type PunchMessage,
} from '../../../protocols/traversal/wire.ts'

const NONCE = fromHex('000102030405060708090a0b0c0d0e0f')
const symmetric = {
  mapping: 'address-and-port-dependent',
  filtering: 'address-and-port-dependent',
} as const
const four = { ip: Uint8Array.of(52, 0, 0, 9), port: 41_000 }
const six = { ip: fromHex('200300e8000000000000000000000001'), port: 1 }

const GOLDEN: readonly (readonly [PunchMessage, string])[] = [
  [
    { kind: 1, version: 1, nonce: NONCE, endpoints: [four, six], standing: symmetric },
    '85010150000102030405060708090a0b0c0d0e0f82824434000009' +
      '19a0288250200300e8000000000000000000000001010a',
  ],
  [
    { kind: 2, version: 1, nonce: NONCE, endpoints: [], standing: null, readyMs: 300 },
    '86020150000102030405060708090a0b0c0d0e0f800019012c',
  ],
  [
    {
      kind: 2,
      version: 1,
      nonce: NONCE,
      endpoints: [],
      standing: { mapping: null, filtering: 'address-and-port-dependent' },
      readyMs: 0,
    },
    '86020150000102030405060708090a0b0c0d0e0f800d00',
  ],
  [
    {
      kind: 2,
      version: 1,
      nonce: NONCE,
      endpoints: [],
      standing: { mapping: 'address-and-port-dependent', filtering: null },
      readyMs: 0,
    },
    '86020150000102030405060708090a0b0c0d0e0f801000',
  ],
  [{ kind: 3, nonce: NONCE }, '820350000102030405060708090a0b0c0d0e0f'],
  [
    { kind: 4, nonce: NONCE, code: 'port-unknown' },
    '830450000102030405060708090a0b0c0d0e0f6c706f72742d756e6b6e6f776e',
  ],
]

const dependence = fc.constantFrom<Dependence>(
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
)
const standing: fc.Arbitrary<PartialStanding | null> = fc.oneof(
  fc.constant(null),
  fc.constant('dialable' as const),
  fc
    .record({ mapping: fc.option(dependence), filtering: fc.option(dependence) }, { noNullPrototype: true })
    .filter(({ mapping, filtering }) => mapping !== null || filtering !== null),
)
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
const endpoints = fc.array(
  fc.record(
    {
      ip: fc.oneof(
        bytes(4),
        bytes(16).filter((ip) => plainIp(ip) === ip),
      ),
      port: fc.integer({ min: 1, max: 65_535 }),
    },
    { noNullPrototype: true },
  ),
  { maxLength: ENDPOINTS_MAX },
)
const message: fc.Arbitrary<PunchMessage> = fc.oneof(
  fc.record(
    {
      kind: fc.constant(1 as const),
      version: fc.constant(1 as const),
      nonce: bytes(16),
      endpoints,
      standing,
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      kind: fc.constant(2 as const),
      version: fc.constant(1 as const),
      nonce: bytes(16),
      endpoints,
      standing,
      readyMs: fc.integer({ min: 0, max: ATTEMPT_MS }),
    },
    { noNullPrototype: true },
  ),
  fc.record({ kind: fc.constant(3 as const), nonce: bytes(16) }, { noNullPrototype: true }),
  fc.record(
    {
      kind: fc.constant(4 as const),
      nonce: bytes(16),
      code: fc.stringMatching(/^[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}$/),
    },
    { noNullPrototype: true },
  ),
)

test('messages of the exchange have these bytes', (t) => {
  for (const [value, hex] of GOLDEN) {
    t.is(toHex(punchFormat.encode(value)), hex)
    t.deepEqual(punchFormat.decode(fromHex(hex)), value)
  }
  const nomination = '6b69746870756e31000102030405060708090a0b0c0d0e0f'
  t.is(toHex(encodeNomination(NONCE)), nomination)
  t.deepEqual(decodeNomination(fromHex(nomination)), NONCE)
})

test('each message is read as it was written', (t) => {
  fc.assert(
    fc.property(message, (value) => {
      t.deepEqual(punchFormat.decode(punchFormat.encode(value)), value)
    }),
  )
  fc.assert(
    fc.property(bytes(16), (nonce) => void t.deepEqual(decodeNomination(encodeNomination(nonce)), nonce)),
  )
})

test('what no node writes is refused', (t) => {
  const offer = { kind: 1, version: 1, nonce: NONCE, endpoints: [four], standing: null } as const
  const wrong: readonly unknown[] = [
    { ...offer, version: 2 },
    { ...offer, nonce: NONCE.slice(1) },
    { ...offer, endpoints: Array.from({ length: ENDPOINTS_MAX + 1 }, () => four) },
    { ...offer, endpoints: [{ ip: four.ip, port: 0 }] },
    { ...offer, endpoints: [{ ip: fromHex('00000000000000000000ffff34000009'), port: 1 }] },
    { kind: 4, nonce: NONCE, code: 'Not a code' },
    { kind: 5, nonce: NONCE },
  ]
  for (const value of wrong) t.throws(() => punchFormat.encode(value as PunchMessage))
  // Standing 17 of none to sixteen.
  t.throws(() => punchFormat.decode(fromHex('85010150000102030405060708090a0b0c0d0e0f8011')), {
    instanceOf: MalformedError,
  })
})

test('any other bytes throw a malformed error and nothing else', (t) => {
  const mutated = fc.tuple(message, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([value, at, flip]) => {
    const encoded = punchFormat.encode(value)
    encoded[at % encoded.length] = (encoded[at % encoded.length] ?? 0) ^ flip
    return encoded
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (input) => {
      try {
        t.deepEqual(punchFormat.encode(punchFormat.decode(input)), input)
      } catch (error) {
        t.true(error instanceof MalformedError)
      }
      if (input.length !== 24) t.throws(() => decodeNomination(input), { instanceOf: MalformedError })
    }),
    { numRuns: 500 },
  )
})
