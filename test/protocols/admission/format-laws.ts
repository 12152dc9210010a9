import { readFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import type { Format } from '../../../protocols/common/format.ts'

/** Exactly `length` arbitrary bytes. */
export const bytesOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })

/** A DNS label. */
export const label: fc.Arbitrary<string> = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?$/)
/** A tag. */
export const tag: fc.Arbitrary<string> = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/)
/** Milliseconds, counters. */
export const count: fc.Arbitrary<number> = fc.nat({ max: Number.MAX_SAFE_INTEGER })
/** An ascending set. */
export const setOf = <T extends string>(item: fc.Arbitrary<T>, max: number): fc.Arbitrary<T[]> =>
  fc.uniqueArray(item, { maxLength: max }).map((items) => items.sort())

/** Golden bytes by name, from `test/fixtures/<file>.json`. */
export function golden(file: string): Record<string, string> {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${file}.json`, import.meta.url), 'utf8')) as Record<
    string,
    string
  >
}

/** What every format promises: golden bytes, round trip, and nothing but MalformedError for anything else. */
export function obeys<T>(
  t: ExecutionContext,
  format: Format<T>,
  values: fc.Arbitrary<T>,
  goldenHex: string | undefined,
): void {
  if (goldenHex === undefined) {
    t.fail(`no golden bytes of ${format.name}`)
    return
  }
  const fixed = fromHex(goldenHex)
  t.is(toHex(format.encode(format.decode(fixed))), goldenHex, `${format.name}: golden bytes`)
  fc.assert(
    fc.property(values, (value) => void t.deepEqual(format.decode(format.encode(value)), value)),
    { numRuns: 40 },
  )
  const decodesOrMalformed = (bytes: Uint8Array) => {
    let value: T
    try {
      value = format.decode(bytes)
    } catch (error) {
      if (error instanceof MalformedError) return
      throw error
    }
    // What decodes is canonical: two byte strings never carry one value.
    t.is(toHex(format.encode(value)), toHex(bytes))
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), decodesOrMalformed), { numRuns: 60 })
  const mutated = fc.tuple(
    fc.nat({ max: fixed.length - 1 }),
    fc.integer({ min: 1, max: 255 }),
    fc.nat({ max: fixed.length }),
  )
  fc.assert(
    fc.property(mutated, ([at, flip, cut]) => {
      const bytes = fixed.slice()
      bytes[at] = (bytes[at] as number) ^ flip
      decodesOrMalformed(bytes)
      if (cut < fixed.length)
        t.throws(() => format.decode(fixed.subarray(0, cut)), { instanceOf: MalformedError })
    }),
    { numRuns: 60 },
  )
  t.throws(() => format.decode(new Uint8Array(format.maxBytes + 1)), { instanceOf: MalformedError })
}
