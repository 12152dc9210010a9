import { RecordError } from './errors.ts'
import { HEADER_BYTES, RECORD_MAX_BYTES, RECORD_TAG_BYTES } from './limits.ts'

/** Record types; never renumbered. */
export const RECORD_TYPES = { data: 0, rot: 1, ack: 2, confirm: 3, close: 4 } as const

/** Name of a record type. */
export type RecordType = keyof typeof RECORD_TYPES

const NAMES: ReadonlyMap<number, RecordType> = new Map(
  Object.entries(RECORD_TYPES).map(([name, number]) => [number, name as RecordType]),
)

/** The 16 bytes in front of each record, all of them authenticated. */
export interface RecordHeader {
  readonly type: RecordType
  /** Ciphertext that follows, tag included. */
  readonly lengthBytes: number
  /** Key epoch, u32. */
  readonly epoch: number
  /** Number of the record in its direction and epoch, below 2^53. */
  readonly counter: number
}

/** Writes `header` into `target` at its start. */
export function writeHeader(header: RecordHeader, target: Uint8Array): void {
  const view = new DataView(target.buffer, target.byteOffset, HEADER_BYTES)
  view.setUint32(0, RECORD_TYPES[header.type] * 2 ** 24 + header.lengthBytes)
  view.setUint32(4, header.epoch)
  view.setUint32(8, Math.floor(header.counter / 2 ** 32))
  view.setUint32(12, header.counter % 2 ** 32)
}

/**
 * Reads 16 bytes and checks what can be checked before anything is buffered.
 * @throws RecordError `record-type`, `record-length`, `record-counter` (above 2^53, which no sender reaches).
 */
export function readHeader(bytes: Uint8Array, maxPlaintextBytes: number = RECORD_MAX_BYTES): RecordHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES)
  const first = view.getUint32(0)
  const type = NAMES.get(first >>> 24)
  if (type === undefined) throw new RecordError('record-type', `Cannot read a record of type ${first >>> 24}`)
  const lengthBytes = first % 2 ** 24
  if (lengthBytes < RECORD_TAG_BYTES || lengthBytes > maxPlaintextBytes + RECORD_TAG_BYTES) {
    throw new RecordError(
      'record-length',
      `Cannot read a record of ${lengthBytes} bytes, expected ${RECORD_TAG_BYTES} to ${maxPlaintextBytes + RECORD_TAG_BYTES}`,
    )
  }
  const high = view.getUint32(8)
  if (high >= 2 ** 21)
    throw new RecordError('record-counter', 'Cannot read a record with a counter above 2^53')
  return { type, lengthBytes, epoch: view.getUint32(4), counter: high * 2 ** 32 + view.getUint32(12) }
}
