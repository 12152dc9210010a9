import test from 'ava'
import fc from 'fast-check'
import { toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import type { Format } from '../../../protocols/common/format.ts'
import { RELAY_REASONS } from '../../../protocols/relay/errors.ts'
import { CODE_CHARACTERS_MAX } from '../../../protocols/relay/limits.ts'
import { answerFormat, askFormat, incomingFormat } from '../../../protocols/relay/wire.ts'
import { plainIp } from '../../../protocols/traversal/endpoint.ts'

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i)
const KEY_HEX = toHex(KEY)

test('every frame has golden bytes', (t) => {
  const golden: readonly (readonly [Uint8Array, string])[] = [
    [askFormat.encode({ kind: 1, version: 1 }), '820101'],
    [askFormat.encode({ kind: 2, version: 1, target: KEY }), `8302015820${KEY_HEX}`],
    [answerFormat.encode({ kind: 3, circuits: 2, bytesPerSecond: 300 }), '83030219012c'],
    [answerFormat.encode({ kind: 4, at: null }), '8204f6'],
    [answerFormat.encode({ kind: 4, at: Uint8Array.of(52, 0, 0, 9) }), '82044434000009'],
    [answerFormat.encode({ kind: 5, code: 'relay-off' }), '82056972656c61792d6f6666'],
    [answerFormat.encode({ kind: 7, circuits: 0, bytesPerSecond: 0 }), '83070000'],
    [
      incomingFormat.encode({ kind: 6, version: 1, source: KEY, at: Uint8Array.of(52, 0, 0, 9) }),
      `8406015820${KEY_HEX}4434000009`,
    ],
  ]
  for (const [bytes, hex] of golden) t.is(toHex(bytes), hex)
})

test('every reason of ours fits into a frame', (t) => {
  for (const code of Object.keys(RELAY_REASONS)) {
    t.true(code.length <= CODE_CHARACTERS_MAX)
    t.deepEqual(answerFormat.decode(answerFormat.encode({ kind: 5, code })), { kind: 5, code })
  }
})

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
const at = fc.oneof(
  fc.constant(null),
  bytes(4),
  bytes(16).filter((ip) => plainIp(ip) === ip),
)

test('frames round-trip', (t) => {
  const busy = { circuits: fc.nat(), bytesPerSecond: fc.nat() }
  const record = <T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
    fc.record(shape, { noNullPrototype: true })
  const answers = fc.oneof(
    record({ kind: fc.constant(3 as const), ...busy }),
    record({ kind: fc.constant(4 as const), at }),
    record({ kind: fc.constant(5 as const), code: fc.constantFrom('relay-off', 'a', 'sun-spots-2') }),
    record({ kind: fc.constant(7 as const), ...busy }),
  )
  fc.assert(
    fc.property(answers, (answer) => {
      t.deepEqual(answerFormat.decode(answerFormat.encode(answer)), answer)
    }),
  )
  fc.assert(
    fc.property(bytes(32), at, (key, ip) => {
      const incoming = { kind: 6, version: 1, source: key, at: ip } as const
      t.deepEqual(incomingFormat.decode(incomingFormat.encode(incoming)), incoming)
      const ask = { kind: 2, version: 1, target: key } as const
      t.deepEqual(askFormat.decode(askFormat.encode(ask)), ask)
    }),
  )
})

test('any bytes decode or are malformed, and nothing else', (t) => {
  const formats: readonly Format<unknown>[] = [askFormat, answerFormat, incomingFormat]
  const valid = [
    askFormat.encode({ kind: 2, version: 1, target: KEY }),
    answerFormat.encode({ kind: 5, code: 'relay-off' }),
    incomingFormat.encode({ kind: 6, version: 1, source: KEY, at: null }),
  ]
  const mutated = fc
    .tuple(fc.constantFrom(...valid), fc.nat(), fc.integer({ min: 0, max: 255 }))
    .map(([frame, place, value]) => frame.with(place % frame.length, value))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (input) => {
      for (const format of formats) {
        try {
          const value = format.decode(input)
          t.deepEqual(format.encode(value), input)
        } catch (error) {
          t.true(error instanceof MalformedError, String(error))
        }
      }
    }),
    { numRuns: 2000 },
  )
})
