import type { AeadCipher } from '../noise-ik/aead.ts'
import { HEADER_BYTES, ONE_BUFFER_MAX_BYTES, RECORD_MAX_BYTES, RECORD_TAG_BYTES } from './limits.ts'
import { writeHeader, type RecordType } from './wire.ts'

/**
 * Seals records of one direction. The counter runs on from epoch to epoch: if it began anew, the last records of an epoch could
 * be cut off unnoticed.
 */
export class RecordWriter {
  #cipher: AeadCipher
  #epoch: number
  readonly #allocate: (sizeBytes: number) => Uint8Array
  #counter = 0
  #firstOfEpoch = 0
  #sizeBytes = 0

  /** `allocate` may return uninitialised memory; all of it is written. */
  constructor(cipher: AeadCipher, epoch: number, allocate: (sizeBytes: number) => Uint8Array) {
    this.#cipher = cipher
    this.#epoch = epoch
    this.#allocate = allocate
  }

  /** Epoch of the next record. */
  get epoch(): number {
    return this.#epoch
  }

  /** Records sealed under the current key. */
  get records(): number {
    return this.#counter - this.#firstOfEpoch
  }

  /** Plaintext sealed under the current key. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** From the next record on another key: the one switch point of this direction. */
  rekey(cipher: AeadCipher, epoch: number): void {
    if (epoch !== this.#epoch + 1) throw new Error(`epoch ${epoch} behind ${this.#epoch}`)
    this.#cipher = cipher
    this.#epoch = epoch
    this.#firstOfEpoch = this.#counter
    this.#sizeBytes = 0
  }

  /** The bytes of one record of at most `RECORD_MAX_BYTES` plaintext, in pieces that are to leave in one write. */
  seal(type: RecordType, parts: readonly Uint8Array[]): Uint8Array[] {
    let size = 0
    for (const part of parts) size += part.length
    if (size > RECORD_MAX_BYTES) throw new Error(`record of ${size} bytes`)
    const counter = this.#counter++
    this.#sizeBytes += size
    const header = { type, lengthBytes: size + RECORD_TAG_BYTES, epoch: this.#epoch, counter }
    if (size > ONE_BUFFER_MAX_BYTES) {
      const ad = this.#allocate(HEADER_BYTES)
      writeHeader(header, ad)
      return [ad, ...this.#cipher.sealPieces(counter, ad, parts)]
    }
    const record = this.#allocate(HEADER_BYTES + size + RECORD_TAG_BYTES)
    const ad = record.subarray(0, HEADER_BYTES)
    writeHeader(header, ad)
    this.#cipher.seal(counter, ad, parts, record, HEADER_BYTES)
    return [record]
  }
}
