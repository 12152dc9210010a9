import { concat, toHex, utf8 } from '../common/bytes.ts'
import { boundedBytes, cborFormat, fixedBytes, row, uint, z } from '../common/format.ts'
import { ChannelError } from './errors.ts'
import { CREDENTIALS_MAX_BYTES, HANDSHAKE_PAYLOAD_MAX_BYTES, MUXER_NAME_MAX, MUXERS_MAX } from './limits.ts'

/** What a channel is for; bound into the prologue, so that a message for one purpose is noise to the other. */
export const PURPOSES = { member: 1, join: 2 } as const

/** Purpose of a channel. */
export type Purpose = keyof typeof PURPOSES

/** `K` and the purpose: how a connection begins. */
export const OPENING_BYTES = 2

const OPENING_MARK = 0x4b
/** First byte of libp2p's negotiation: the length of its greeting. */
const MULTISTREAM_MARK = 0x13
/** First byte of the openings of `protocols/traversal`, which are no handshakes: `kithrefl`, `kithprob`. */
const RAW_MARK = 0x6b

/** The first bytes of a connection for `purpose`. */
export function encodeOpening(purpose: Purpose): Uint8Array {
  return Uint8Array.of(OPENING_MARK, PURPOSES[purpose])
}

/**
 * What a connection is for, by its first bytes; undefined when more are needed. @throws ChannelError `stranger-refused` at the
 * first byte that fits nothing.
 */
export function decodeOpening(bytes: Uint8Array): Purpose | 'multistream' | 'raw' | undefined {
  const [mark, number] = bytes
  if (mark === undefined) return undefined
  if (mark === MULTISTREAM_MARK) return 'multistream'
  if (mark === RAW_MARK) return 'raw'
  if (mark !== OPENING_MARK) throw new ChannelError('stranger-refused', `The first byte is ${mark}`)
  if (number === undefined) return undefined
  if (number === PURPOSES.member) return 'member'
  if (number === PURPOSES.join) return 'join'
  throw new ChannelError('stranger-refused', `The purpose is ${number}`)
}

/** The libp2p protocol id: meshes never share one, and so never talk by accident. */
export function protocolId(meshId: Uint8Array, purpose: Purpose): string {
  return `/kith/${toHex(meshId).slice(0, 8)}/${purpose === 'member' ? 'ik' : 'join'}/1`
}

/** What both sides must agree on before the first byte. */
export interface Prologue {
  readonly protocol: string
  /** Suite id, also the first byte of message 1 in clear. */
  readonly suite: number
  readonly purpose: Purpose
  /** 32 bytes. */
  readonly meshId: Uint8Array
  /** The responder's whole Ed25519 key (32 bytes): its negation has the same X25519 key. */
  readonly responderKey: Uint8Array
}

/** length u8 | protocol id | suite u8 | purpose u8 | mesh id 32 | responder's Ed25519 key 32. */
export function encodePrologue(prologue: Prologue): Uint8Array {
  const protocol = utf8(prologue.protocol)
  return concat(
    Uint8Array.of(protocol.length),
    protocol,
    Uint8Array.of(prologue.suite, PURPOSES[prologue.purpose]),
    prologue.meshId,
    prologue.responderKey,
  )
}

/** Payload of message 1. Empty muxers and credentials in a join. */
export const HELLO = cborFormat(
  'handshake hello',
  row({
    version: z.literal(1),
    /** The initiator's Ed25519 key. */
    key: fixedBytes(32),
    /** The initiator's clock. */
    timeMs: uint(),
    /** Muxer protocol ids, preferred first. */
    muxers: z.array(z.string().max(MUXER_NAME_MAX)).max(MUXERS_MAX),
    credentials: boundedBytes(CREDENTIALS_MAX_BYTES),
  }),
  HANDSHAKE_PAYLOAD_MAX_BYTES,
)

/** Payload of message 1. */
export type Hello = ReturnType<typeof HELLO.decode>

/** `status` of a welcome; never renumbered. Unknown ones are refusals. */
export const WELCOME_STATUS = { accepted: 0, clockSkew: 1 } as const

/** Payload of message 2. */
export const WELCOME = cborFormat(
  'handshake welcome',
  row({
    version: z.literal(1),
    status: uint(),
    /** The responder's clock. */
    timeMs: uint(),
    /** The muxer chosen from the offer; null when none was, or the session is refused. */
    muxer: z.string().max(MUXER_NAME_MAX).nullable(),
    /** Empty in refusals and joins. */
    credentials: boundedBytes(CREDENTIALS_MAX_BYTES),
  }),
  HANDSHAKE_PAYLOAD_MAX_BYTES,
)

/** Payload of message 2. */
export type Welcome = ReturnType<typeof WELCOME.decode>
