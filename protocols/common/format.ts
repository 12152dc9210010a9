import { decode, encode } from 'cborg'
import { z } from 'zod'
import { compareBytes } from './bytes.ts'
import { MalformedError } from './errors.ts'

export { z }

/** A named, bounded, canonical binary format. `decode(encode(v))` equals v; `encode(decode(b))` equals b, byte for byte. */
export interface Format<T> {
  readonly name: string
  readonly maxBytes: number
  /** Our own value breaking the schema or the limit is a bug: throws a plain error. */
  encode(value: T): Uint8Array
  /** @throws MalformedError, and nothing else, for anything that is not the canonical encoding of a valid value. */
  decode(bytes: Uint8Array): T
}

/** Exactly `length` bytes. */
export function fixedBytes(length: number): z.ZodType<Uint8Array, Uint8Array> {
  return z
    .instanceof(Uint8Array)
    .refine((bytes) => bytes.length === length, { error: `expected ${length} bytes` })
}

/** At most `max` bytes. */
export function boundedBytes(max: number): z.ZodType<Uint8Array, Uint8Array> {
  return z.instanceof(Uint8Array).refine((bytes) => bytes.length <= max, { error: `more than ${max} bytes` })
}

/** Non-negative integer below 2^53: counters, milliseconds, sizes. */
export const uint = (): z.ZodType<number, number> => z.int().nonnegative()

/**
 * A record written as a CBOR array in the declared order of its fields: compact, and without a second way to write it.
 * Fields are append-only under a version; absent values are `null`, never left out.
 */
export function row<Shape extends z.ZodRawShape>(shape: Shape) {
  const names = Object.keys(shape)
  return z.codec(z.array(z.unknown()).length(names.length), z.strictObject(shape), {
    decode: (values) => Object.fromEntries(names.map((name, i) => [name, values[i]])) as never,
    encode: (value) => names.map((name) => (value as Record<string, unknown>)[name]),
  })
}

/**
 * A format over deterministic CBOR (RFC 8949 §4.2, by cborg). Length is checked before decoding, shape by the schema, and
 * canonicity by encoding what was read again, so that two different byte strings never carry the same value. Schemas map one
 * to one (rows, no defaults, no coercion): what CBOR says once the value says once.
 */
export function cborFormat<Schema extends z.ZodType>(
  name: string,
  schema: Schema,
  maxBytes: number,
): Format<z.output<Schema>> {
  return {
    name,
    maxBytes,
    encode(value) {
      const bytes = Uint8Array.from(encode(z.encode(schema, value)))
      if (bytes.length > maxBytes)
        throw new Error(`${name} of ${bytes.length} bytes exceeds its limit of ${maxBytes}`)
      return bytes
    },
    decode(bytes) {
      if (bytes.length > maxBytes) {
        throw new MalformedError(`Cannot decode ${name} of ${bytes.length} bytes, the limit is ${maxBytes}`)
      }
      let value: z.output<Schema>
      let again: Uint8Array
      try {
        const items: unknown = decode(bytes, { strict: true, allowIndefinite: false, allowUndefined: false })
        again = encode(items)
        value = z.decode(schema, items as never)
      } catch (cause) {
        throw new MalformedError(`Cannot decode ${name} of ${bytes.length} bytes: ${firstLine(cause)}`, {
          cause,
        })
      }
      if (compareBytes(again, bytes) !== 0)
        throw new MalformedError(`Cannot decode ${name}: not in canonical form`)
      return value
    },
  }
}

function firstLine(error: unknown): string {
  if (error instanceof z.ZodError) {
    const issue = error.issues[0]
    return issue === undefined ? 'invalid' : `${issue.path.join('.') || 'value'}: ${issue.message}`
  }
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
}
