import { cborFormat, fixedBytes, row, uint, z } from '../common/format.ts'
import { plainIp } from '../traversal/endpoint.ts'
import { CODE_CHARACTERS_MAX, RELAY_FRAME_BYTES_MAX, RELAY_VERSION } from './limits.ts'

/** Kinds of frames. */
export const RELAY_KIND = {
  reserve: 1,
  connect: 2,
  reserved: 3,
  connected: 4,
  refused: 5,
  incoming: 6,
  load: 7,
} as const

const version = z.literal(RELAY_VERSION)
const key = fixedBytes(32)
/** IPv4 inside IPv6 would be a second way to write the same address. */
const ip: z.ZodType<Uint8Array, Uint8Array> = z
  .instanceof(Uint8Array)
  .refine((bytes) => (bytes.length === 4 || bytes.length === 16) && plainIp(bytes) === bytes)

/** What a member asks of a relay, in the first frame of a channel. */
export const askFormat = cborFormat(
  'relay request',
  z.union([
    row({ kind: z.literal(RELAY_KIND.reserve), version }),
    row({ kind: z.literal(RELAY_KIND.connect), version, target: key }),
  ]),
  RELAY_FRAME_BYTES_MAX,
)

/**
 * What the relay answers. `at`: the address at which it sees the other member, null when it cannot say. `circuits`,
 * `bytesPerSecond`: how busy it is.
 */
export const answerFormat = cborFormat(
  'relay answer',
  z.union([
    row({ kind: z.literal(RELAY_KIND.reserved), circuits: uint(), bytesPerSecond: uint() }),
    row({ kind: z.literal(RELAY_KIND.connected), at: ip.nullable() }),
    row({
      kind: z.literal(RELAY_KIND.refused),
      code: z
        .string()
        .max(CODE_CHARACTERS_MAX)
        .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/),
    }),
    row({ kind: z.literal(RELAY_KIND.load), circuits: uint(), bytesPerSecond: uint() }),
  ]),
  RELAY_FRAME_BYTES_MAX,
)

/** What the relay tells the target, in the first frame of a channel: who is there, and from where it sees it. */
export const incomingFormat = cborFormat(
  'relayed connection',
  row({ kind: z.literal(RELAY_KIND.incoming), version, source: key, at: ip.nullable() }),
  RELAY_FRAME_BYTES_MAX,
)

/** What a relay answers. */
export type RelayAnswer = ReturnType<typeof answerFormat.decode>
