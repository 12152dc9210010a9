import { concat, equalBytes, utf8 } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { cborFormat, fixedBytes, row, z } from '../common/format.ts'
import { isEndpoint, plainEndpoint, type Endpoint } from './endpoint.ts'
import {
  CODE_CHARACTERS_MAX,
  PUNCH_NONCE_BYTES,
  REFLECT_MESSAGE_BYTES_MAX,
  TICKET_BYTES,
  TICKETS_MAX,
} from './limits.ts'

const port = z.int().min(1).max(65_535)

/** Kinds of questions and answers. */
export const REFLECT_KIND = { tickets: 1, reach: 2, refused: 3 } as const

/**
 * What a member asks a reflector over their secured connection. Tickets: for raw connections that will ask from where they are
 * seen, at the mesh port and, if `wantsExtraPort`, at another one too. Reach: connect to this port at the address this
 * connection comes from, say the nonce, and tell whether it came back.
 */
export const reflectRequestFormat = cborFormat(
  'reflect request',
  z.union([
    row({
      kind: z.literal(REFLECT_KIND.tickets),
      count: z.int().min(1).max(TICKETS_MAX),
      wantsExtraPort: z.boolean(),
    }),
    row({ kind: z.literal(REFLECT_KIND.reach), port, nonce: fixedBytes(PUNCH_NONCE_BYTES) }),
  ]),
  REFLECT_MESSAGE_BYTES_MAX,
)

/** What the reflector answers. `code`: a reason code. */
export const reflectAnswerFormat = cborFormat(
  'reflect answer',
  z.union([
    row({
      kind: z.literal(REFLECT_KIND.tickets),
      tickets: z.array(fixedBytes(TICKET_BYTES)).min(1).max(TICKETS_MAX),
      extraPort: port.nullable(),
    }),
    row({ kind: z.literal(REFLECT_KIND.reach), arrived: z.boolean() }),
    row({
      kind: z.literal(REFLECT_KIND.refused),
      code: z
        .string()
        .max(CODE_CHARACTERS_MAX)
        .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/),
    }),
  ]),
  REFLECT_MESSAGE_BYTES_MAX,
)

/** A question. */
export type ReflectRequest = ReturnType<typeof reflectRequestFormat.decode>

/** An answer. */
export type ReflectAnswer = ReturnType<typeof reflectAnswerFormat.decode>

/** What begins a raw connection to a reflector, and its answer; and what begins one that connects back. */
const REFLECTION_MAGIC = utf8('kithrefl')
const REACH_MAGIC = utf8('kithprob')

/** Bytes by which a raw connection is known for one of ours. */
export const RAW_MAGIC_BYTES = 8

/** First bytes of a raw connection of ours: magic 8 B | ticket or nonce. */
export const RAW_OPENING_BYTES = RAW_MAGIC_BYTES + TICKET_BYTES

/** Magic 8 B | address 16 B, IPv4 as `::ffff:a.b.c.d` | port u16. */
export const REFLECTION_BYTES = RAW_MAGIC_BYTES + 18

/** How a raw connection of ours begins. */
export interface RawOpening {
  readonly kind: 'reflection' | 'reach'
  /** The ticket, or the nonce. */
  readonly token: Uint8Array
}

/** Which raw connection of ours begins so; null for everything else, as soon as `RAW_MAGIC_BYTES` are there. */
export function rawOpeningKind(first: Uint8Array): RawOpening['kind'] | null {
  const magic = first.subarray(0, RAW_MAGIC_BYTES)
  if (equalBytes(magic, REFLECTION_MAGIC)) return 'reflection'
  return equalBytes(magic, REACH_MAGIC) ? 'reach' : null
}

/** The first bytes of a raw connection; a member that was asked to connect back writes them, and gets the same back. */
export function encodeRawOpening({ kind, token }: RawOpening): Uint8Array {
  const bytes = concat(kind === 'reflection' ? REFLECTION_MAGIC : REACH_MAGIC, token)
  if (bytes.length !== RAW_OPENING_BYTES) throw new Error(`raw opening of ${bytes.length} bytes`)
  return bytes
}

/** What a raw connection begins with. @throws MalformedError for anything else than a raw opening. */
export function decodeRawOpening(bytes: Uint8Array): RawOpening {
  const kind = rawOpeningKind(bytes)
  if (bytes.length !== RAW_OPENING_BYTES || kind === null)
    throw new MalformedError(`Cannot decode raw opening of ${bytes.length} bytes`)
  return { kind, token: bytes.slice(RAW_MAGIC_BYTES) }
}

/** The answer to a reflection: from where it was seen. */
export function encodeReflection(seen: Endpoint): Uint8Array {
  const { ip, port: at } = plainEndpoint(seen)
  if (!isEndpoint({ ip, port: at })) throw new Error(`no endpoint: ${ip.length} bytes, port ${at}`)
  const mapped = ip.length === 4 ? concat(V4_IN_V6, ip) : ip
  return concat(REFLECTION_MAGIC, mapped, Uint8Array.of(at >> 8, at & 0xff))
}

const V4_IN_V6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

/** From where a reflector sees the asking port. @throws MalformedError for anything else than a reflection. */
export function decodeReflection(bytes: Uint8Array): Endpoint {
  const malformed = (): MalformedError =>
    new MalformedError(`Cannot decode reflection of ${bytes.length} bytes`)
  if (bytes.length !== REFLECTION_BYTES || rawOpeningKind(bytes) !== 'reflection') throw malformed()
  const at = RAW_MAGIC_BYTES + 16
  const endpoint = plainEndpoint({
    ip: bytes.slice(RAW_MAGIC_BYTES, at),
    port: ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0),
  })
  if (!isEndpoint(endpoint)) throw malformed()
  return endpoint
}
