import { MuxError } from './errors.ts'
import { FRAME_HEADER_BYTES, FRAME_MAX_BYTES, PROTOCOL_NAME_MAX_BYTES } from './limits.ts'

/** Frame types, the low four bits of the first byte; never renumbered. */
export const FRAME = {
  /** Content of a channel. */
  data: 0,
  /** Opens a channel; its content is the protocol name. */
  open: 1,
  /** Allows the other side `length` bytes more; carries nothing. */
  window: 2,
  /** Gives a channel up in both directions at once; carries nothing. */
  reset: 3,
  /** The sender opens no more channels and accepts none; channel 0, carries nothing. */
  goAway: 4,
} as const

/** The sender will send nothing more in this channel; the highest bit of the first byte, in `data` and `open` frames. */
export const FIN = 0x80

/** Highest type there is; any above it breaks the connection. */
export const TYPES_MAX = FRAME.goAway

/** The 8 bytes in front of each frame. */
export interface FrameHeader {
  /** A value of `FRAME`. */
  readonly type: number
  readonly fin: boolean
  /** Bytes that follow, or the credit of a window frame. Below 2^24. */
  readonly length: number
  /** Odd when the dialling side opened it, even otherwise; 0 for the connection. u32. */
  readonly channel: number
}

/** The bytes of a header. */
export function encodeHeader(type: number, fin: boolean, length: number, channel: number): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES)
  bytes[0] = type | (fin ? FIN : 0)
  bytes[1] = length >>> 16
  bytes[2] = length >>> 8
  bytes[3] = length
  bytes[4] = channel >>> 24
  bytes[5] = channel >>> 16
  bytes[6] = channel >>> 8
  bytes[7] = channel
  return bytes
}

/**
 * Reads the 8 bytes at `at` and checks what can be checked before anything is collected.
 * @throws MuxError `mux-frame`.
 */
export function decodeHeader(bytes: Uint8Array, at = 0): FrameHeader {
  const first = bytes[at] ?? 0
  const type = first & 0x0f
  const fin = (first & FIN) !== 0
  const length = ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
  const channel =
    (bytes[at + 4] ?? 0) * 2 ** 24 +
    (((bytes[at + 5] ?? 0) << 16) | ((bytes[at + 6] ?? 0) << 8) | (bytes[at + 7] ?? 0))
  if (type > TYPES_MAX || (first & 0x70) !== 0 || (fin && type !== FRAME.data && type !== FRAME.open))
    throw new MuxError('mux-frame', `Cannot read a frame that begins with ${first}`)
  if ((channel === 0) !== (type === FRAME.goAway))
    throw new MuxError('mux-frame', `Cannot read a frame of type ${type} for channel ${channel}`)
  const lengthMax = type === FRAME.open ? PROTOCOL_NAME_MAX_BYTES : FRAME_MAX_BYTES
  if ((type === FRAME.data || type === FRAME.open) && length > lengthMax)
    throw new MuxError('mux-frame', `Cannot read a frame of ${length} bytes, expected at most ${lengthMax}`)
  if ((type === FRAME.reset || type === FRAME.goAway) && length !== 0)
    throw new MuxError('mux-frame', `Cannot read a frame of type ${type} with length ${length}`)
  return { type, fin, length, channel }
}

/** The protocol name an OPEN frame carries: printable ASCII. @throws MuxError `mux-frame`. */
export function decodeProtocolName(bytes: Uint8Array): string {
  for (const byte of bytes)
    if (byte < 0x21 || byte > 0x7e)
      throw new MuxError('mux-frame', `Cannot read a protocol name with the byte ${byte}`)
  return String.fromCharCode(...bytes)
}
