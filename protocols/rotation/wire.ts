import { concat, utf8 } from '../common/bytes.ts'
import { RotationError } from './errors.ts'
import {
  ACK_BYTES,
  ROT_BYTES,
  ROTATION_HEADER_BYTES,
  ROTATION_NONCE_BYTES,
  ROTATION_VERSION,
} from './limits.ts'

/** Contents of a ROT or ACK record. */
export interface RotationMessage {
  /** The epoch the new keys are for, u32. */
  readonly epoch: number
  /** Names the attempt: its number u32 | random 4 B. The ACK repeats that of the ROT. */
  readonly nonce: Uint8Array
  /** Noise message 1 (ROT) or 2 (ACK) with an empty payload. */
  readonly noise: Uint8Array
}

const SIZES = { rot: ROT_BYTES, ack: ACK_BYTES } as const

/** epoch u32 | nonce 8 B | Noise message. */
export function encodeRotation(type: 'rot' | 'ack', message: RotationMessage): Uint8Array {
  const epoch = new Uint8Array(4)
  new DataView(epoch.buffer).setUint32(0, message.epoch)
  const bytes = concat(epoch, message.nonce, message.noise)
  if (bytes.length !== SIZES[type]) throw new Error(`${type} of ${bytes.length} bytes`)
  return bytes
}

/** @throws RotationError `rotation-protocol-error` for any other length; nothing else can be wrong with the format. */
export function decodeRotation(type: 'rot' | 'ack', bytes: Uint8Array): RotationMessage {
  if (bytes.length !== SIZES[type]) {
    throw new RotationError(
      'rotation-protocol-error',
      `Cannot read a ${type.toUpperCase()} of ${bytes.length} bytes, expected ${SIZES[type]}`,
    )
  }
  return {
    epoch: new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0),
    nonce: bytes.slice(4, ROTATION_HEADER_BYTES),
    noise: bytes.slice(ROTATION_HEADER_BYTES),
  }
}

/** Nonce of our attempt number `attempt` (from 1 in each connection). */
export function rotationNonce(attempt: number, random: Uint8Array): Uint8Array {
  const nonce = concat(new Uint8Array(4), random)
  if (nonce.length !== ROTATION_NONCE_BYTES) throw new Error(`nonce of ${nonce.length} bytes`)
  new DataView(nonce.buffer).setUint32(0, attempt)
  return nonce
}

/** Number of the attempt inside a nonce. */
export function attemptOf(nonce: Uint8Array): number {
  return new DataView(nonce.buffer, nonce.byteOffset, nonce.length).getUint32(0)
}

/** Name at the start of the prologue; part of the format. */
const PROLOGUE_NAME = utf8('kith/rotation')

/**
 * What both sides must agree on before a rotation message decrypts: name | version u8 | suite u8 | new epoch u32 | nonce 8 B |
 * handshake hash of the session 32 B.
 */
export function rotationPrologue(
  suiteId: number,
  epoch: number,
  nonce: Uint8Array,
  handshakeHash: Uint8Array,
): Uint8Array {
  const numbers = new Uint8Array(6)
  const view = new DataView(numbers.buffer)
  view.setUint8(0, ROTATION_VERSION)
  view.setUint8(1, suiteId)
  view.setUint32(2, epoch)
  return concat(PROLOGUE_NAME, numbers, nonce, handshakeHash)
}
