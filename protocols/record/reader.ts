import type { AeadCipher } from '../noise-ik/aead.ts'
import { NoiseError } from '../noise-ik/errors.ts'
import { concat } from '../common/bytes.ts'
import { RecordError } from './errors.ts'
import { HEADER_BYTES, RECORD_CHUNKS_MAX, RECORD_MAX_BYTES } from './limits.ts'
import { readHeader, type RecordHeader, type RecordType } from './wire.ts'

/** One verified record. */
export interface PlainRecord {
  readonly type: RecordType
  /** Key epoch it was sealed under. */
  readonly epoch: number
  /** Plaintext in order, cut anywhere. */
  readonly parts: readonly Uint8Array[]
}

/** The key of the next epoch, waiting for its first record. */
interface Expected {
  readonly cipher: AeadCipher
  readonly epoch: number
}

/**
 * Opens records of one direction. It keeps at most one unfinished record, checks type, length, epoch and counter before
 * buffering any of it, and releases no byte before the tag was verified. After an error it refuses everything. While a next
 * key is expected, the sender may switch to it once; from then on the old epoch is refused. Record numbers run on across the
 * switch, so that nothing can be cut off before it.
 */
export class RecordReader {
  #cipher: AeadCipher
  #epoch: number
  readonly #maxPlaintextBytes: number
  #expected: Expected | undefined
  #counter = 0
  #firstOfEpoch = 0
  #openedBytes = 0
  #chunks: Uint8Array[] = []
  #sizeBytes = 0
  #header: RecordHeader | undefined
  #headerBytes: Uint8Array = new Uint8Array(0)
  #broken: RecordError | undefined

  constructor(cipher: AeadCipher, epoch: number, maxPlaintextBytes: number = RECORD_MAX_BYTES) {
    this.#cipher = cipher
    this.#epoch = epoch
    this.#maxPlaintextBytes = maxPlaintextBytes
  }

  /** Bytes of the unfinished record; after an orderly end of the stream it must be 0. */
  get bufferedBytes(): number {
    return this.#sizeBytes + this.#headerBytes.length
  }

  /** Epoch of the last record opened. */
  get epoch(): number {
    return this.#epoch
  }

  /** Records opened under the current key. */
  get records(): number {
    return this.#counter - this.#firstOfEpoch
  }

  /** Plaintext opened under the current key. */
  get openedBytes(): number {
    return this.#openedBytes
  }

  /** From now on the sender may switch to this key; it replaces one that was expected before. */
  expect(cipher: AeadCipher, epoch: number): void {
    if (epoch !== this.#epoch + 1) throw new Error(`epoch ${epoch} behind ${this.#epoch}`)
    this.#expected = { cipher, epoch }
  }

  /**
   * Takes the next bytes of the stream and gives each record they complete, in order, to `onRecord`.
   * @throws RecordError at the first thing that does not fit; records before it were given.
   */
  push(chunk: Uint8Array, onRecord: (record: PlainRecord) => void): void {
    if (this.#broken !== undefined) throw this.#broken
    this.#chunks.push(chunk)
    this.#sizeBytes += chunk.length
    if (this.#chunks.length > RECORD_CHUNKS_MAX) this.#chunks = [concat(...this.#chunks)]
    try {
      for (let record = this.#next(); record !== undefined; record = this.#next()) onRecord(record)
    } catch (error) {
      if (error instanceof RecordError) {
        this.#broken = error
        this.#chunks = []
        this.#sizeBytes = 0
      }
      throw error
    }
  }

  #next(): PlainRecord | undefined {
    if (this.#header === undefined) {
      if (this.#sizeBytes < HEADER_BYTES) return undefined
      this.#headerBytes = joined(this.#take(HEADER_BYTES))
      this.#header = readHeader(this.#headerBytes, this.#maxPlaintextBytes)
      this.#check(this.#header)
    }
    const header = this.#header
    if (this.#sizeBytes < header.lengthBytes) return undefined
    const switching = header.epoch !== this.#epoch
    const cipher = switching ? this.#expectedFor(header).cipher : this.#cipher
    const parts = this.#open(cipher, header.counter, this.#take(header.lengthBytes))
    if (switching) {
      this.#cipher = cipher
      this.#epoch = header.epoch
      this.#expected = undefined
      this.#firstOfEpoch = header.counter
      this.#openedBytes = 0
    }
    this.#header = undefined
    this.#headerBytes = new Uint8Array(0)
    this.#counter = header.counter + 1
    for (const part of parts) this.#openedBytes += part.length
    return { type: header.type, epoch: header.epoch, parts }
  }

  #check(header: RecordHeader): void {
    if (header.epoch !== this.#epoch) this.#expectedFor(header)
    if (header.counter !== this.#counter) {
      throw new RecordError('record-counter', `Record number ${header.counter}, expected ${this.#counter}`)
    }
  }

  #expectedFor(header: RecordHeader): Expected {
    if (this.#expected?.epoch !== header.epoch) {
      throw new RecordError('record-epoch', `Record of epoch ${header.epoch}, expected ${this.#epoch}`)
    }
    return this.#expected
  }

  #open(cipher: AeadCipher, counter: number, parts: readonly Uint8Array[]): Uint8Array[] {
    try {
      return cipher.open(counter, this.#headerBytes, parts)
    } catch (cause) {
      if (cause instanceof NoiseError)
        throw new RecordError('record-tag', `Record number ${counter} was changed`, { cause })
      throw cause
    }
  }

  /** The next `length` bytes, which are there. */
  #take(length: number): Uint8Array[] {
    const taken: Uint8Array[] = []
    let used = 0
    let missing = length
    for (const chunk of this.#chunks) {
      if (missing === 0) break
      if (chunk.length > missing) {
        taken.push(chunk.subarray(0, missing))
        this.#chunks[used] = chunk.subarray(missing)
        missing = 0
        break
      }
      taken.push(chunk)
      missing -= chunk.length
      used++
    }
    this.#chunks.splice(0, used)
    this.#sizeBytes -= length
    return taken
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : concat(...parts)
}
