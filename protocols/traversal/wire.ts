import { concat, equalBytes, utf8 } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { cborFormat, fixedBytes, row, z } from '../common/format.ts'
import { plainIp } from './endpoint.ts'
import {
  ATTEMPT_MS,
  CODE_CHARACTERS_MAX,
  ENDPOINTS_MAX,
  PUNCH_MESSAGE_BYTES_MAX,
  PUNCH_NONCE_BYTES,
  PUNCH_VERSION,
} from './limits.ts'
import { DEPENDENCES, type PartialStanding } from './nat.ts'

/** In the order of their codes: nothing known, dialable, NATs all of which is known, then without the mapping, then without the filtering. */
const STANDINGS: readonly (PartialStanding | null)[] = [
  null,
  'dialable',
  ...DEPENDENCES.flatMap((mapping) => DEPENDENCES.map((filtering) => ({ mapping, filtering }))),
  ...DEPENDENCES.map((filtering) => ({ mapping: null, filtering })),
  ...DEPENDENCES.map((mapping) => ({ mapping, filtering: null })),
]
const standing = z.codec(
  z
    .int()
    .min(0)
    .max(STANDINGS.length - 1),
  z.custom<PartialStanding | null>((value) => value !== undefined),
  {
    decode: (code) => STANDINGS[code] ?? null,
    encode: (value) => STANDINGS.findIndex((each) => isSame(each, value)),
  },
)

function isSame(one: PartialStanding | null | undefined, other: PartialStanding | null): boolean {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null)
    return one === other
  return one.mapping === other.mapping && one.filtering === other.filtering
}
/** IPv4 inside IPv6 would be a second way to write the same address. */
const ip: z.ZodType<Uint8Array, Uint8Array> = z
  .instanceof(Uint8Array)
  .refine((bytes) => (bytes.length === 4 || bytes.length === 16) && plainIp(bytes) === bytes)
const endpoints = z.array(row({ ip, port: z.int().min(1).max(65_535) })).max(ENDPOINTS_MAX)
const nonce = fixedBytes(PUNCH_NONCE_BYTES)

/** A message of the exchange. `readyMs`: how long the responder took from OFFER to ANSWER. `code`: a reason code. */
export const punchFormat = cborFormat(
  'punch message',
  z.union([
    row({ kind: z.literal(1), version: z.literal(PUNCH_VERSION), nonce, endpoints, standing }),
    row({
      kind: z.literal(2),
      version: z.literal(PUNCH_VERSION),
      nonce,
      endpoints,
      standing,
      readyMs: z.int().min(0).max(ATTEMPT_MS),
    }),
    row({ kind: z.literal(3), nonce }),
    row({
      kind: z.literal(4),
      nonce,
      code: z
        .string()
        .max(CODE_CHARACTERS_MAX)
        .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/),
    }),
  ]),
  PUNCH_MESSAGE_BYTES_MAX,
)

/** Kinds of messages on the wire. */
export const PUNCH_KIND = { offer: 1, answer: 2, go: 3, failed: 4 } as const

/** A message of the exchange. */
export type PunchMessage = ReturnType<typeof punchFormat.decode>

/** The message that begins an attempt. */
export type Offer = Extract<PunchMessage, { kind: 1 }>

/** The responder's half. */
export type Answer = Extract<PunchMessage, { kind: 2 }>

const NOMINATION_MAGIC = utf8('kithpun1')

/** What is written on a punched socket, first by the initiator, then back by the responder: magic 8 B | nonce. */
export const NOMINATION_BYTES = NOMINATION_MAGIC.length + PUNCH_NONCE_BYTES

/** The nomination of an attempt. */
export function encodeNomination(nonce: Uint8Array): Uint8Array {
  const bytes = concat(NOMINATION_MAGIC, nonce)
  if (bytes.length !== NOMINATION_BYTES) throw new Error(`nomination of ${bytes.length} bytes`)
  return bytes
}

/** The nonce inside. @throws MalformedError for anything else than a nomination. */
export function decodeNomination(bytes: Uint8Array): Uint8Array {
  const magic = bytes.subarray(0, NOMINATION_MAGIC.length)
  if (bytes.length !== NOMINATION_BYTES || !equalBytes(magic, NOMINATION_MAGIC))
    throw new MalformedError(`Cannot decode nomination of ${bytes.length} bytes`)
  return bytes.slice(NOMINATION_MAGIC.length)
}
