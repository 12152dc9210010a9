/*
 * As much of the wire as a stranger can know (protocols/secure-channel/README.md): how a connection begins. Kept apart from the
 * product's own code on purpose: a change of the format must be seen here too.
 *
 *   'K' | purpose u8 (1 member, 2 join) | length u16 | suite u8 | Noise message 1
 */

/** First byte of every connection. */
export const MARK = 0x4b
/** Second byte. */
export const PURPOSES = { member: 1, join: 2 } as const
/** In front of message 1: mark, purpose and length. */
export const HEADER_BYTES = 4
/** AES-256-GCM; the first byte of message 1. */
export const SUITE_AESGCM = 1
/** Longest message 1 that is read. */
export const MESSAGE_BYTES_MAX = 8192
/** First line of libp2p's own negotiation, with its length in front. */
export const MULTISTREAM_GREETING = Buffer.from('\x13/multistream/1.0.0\n')

/** What stands in front of a message 1 of `sizeBytes`. */
export function header(purpose: keyof typeof PURPOSES, sizeBytes: number): Buffer {
  return Buffer.from([MARK, PURPOSES[purpose], sizeBytes >> 8, sizeBytes & 0xff])
}

/** Length of the whole opening, once its header is there; undefined before, and for bytes that are none. */
export function openingBytes(bytes: Buffer): number | undefined {
  if (bytes.length < HEADER_BYTES || bytes[0] !== MARK) return undefined
  return HEADER_BYTES + bytes.readUInt16BE(2)
}
