import { concat } from '../common/bytes.ts'
import { NoiseError } from '../noise-ik/errors.ts'
import type { AeadCipher } from '../noise-ik/aead.ts'
import { RecordError } from './errors.ts'
import {
  HEADER_BYTES,
  RECORD_CHUNKS_MAX,
  RECORD_MAX_BYTES,
  RECORD_TAG_BYTES,
  RECORD_TARGET_BYTES,
} from './limits.ts'
import { readHeader, writeHeader, type RecordHeader, type RecordType } from './wire.ts'

/** One verified record. */
export interface PlainRecord {
  readonly type: RecordType
  /** Plaintext in order, cut anywhere. */
  readonly parts: readonly Uint8Array[]
}

/** Seals records of one direction: exact counters from 0, one contiguous buffer for each record. */
export class RecordWriter {
  readonly #cipher: AeadCipher
  readonly #epoch: number
  readonly #allocate: (sizeBytes: number) => Uint8Array
  #counter = 0

  /** `allocate` may return uninitialised memory; all of it is written. */
  constructor(cipher: AeadCipher, epoch: number, allocate: (sizeBytes: number) => Uint8Array) {
    this.#cipher = cipher
    this.#epoch = epoch
    this.#allocate = allocate
  }

  /** The bytes of one record of at most `RECORD_MAX_BYTES` plaintext. */
  seal(type: RecordType, parts: readonly Uint8Array[]): Uint8Array {
    let size = 0
    for (const part of parts) size += part.length
    if (size > RECORD_MAX_BYTES) throw new Error(`record of ${size} bytes`)
    const record = this.#allocate(HEADER_BYTES + size + RECORD_TAG_BYTES)
    const header = record.subarray(0, HEADER_BYTES)
    writeHeader(
      { type, lengthBytes: size + RECORD_TAG_BYTES, epoch: this.#epoch, counter: this.#counter },
      header,
    )
    this.#cipher.seal(this.#counter, header, parts, record, HEADER_BYTES)
    this.#counter++
    return record
  }
}

/**
 * Collects small sends, so that a hundred of them cost one encryption and one write. Full records leave at once; the rest
 * leaves with `flush`, which the owner calls before the event loop turns (nothing may be held back longer: libp2p closes the
 * raw connection without asking).
 */
export class Coalescer {
  #parts: Uint8Array[] = []
  #sizeBytes = 0

  /** Bytes waiting for `flush`, below `RECORD_TARGET_BYTES` between calls. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Takes `part` and returns the contents of each record that became full. `part` must not change until it was sealed. */
  add(part: Uint8Array): Uint8Array[][] {
    const full: Uint8Array[][] = []
    let rest = part
    while (this.#sizeBytes + rest.length >= RECORD_TARGET_BYTES) {
      const take = RECORD_TARGET_BYTES - this.#sizeBytes
      this.#parts.push(rest.subarray(0, take))
      this.#sizeBytes += take
      full.push(this.flush())
      rest = rest.subarray(take)
    }
    if (rest.length > 0) {
      this.#parts.push(rest)
      this.#sizeBytes += rest.length
    }
    return full
  }

  /** Contents of the next record; empty when nothing waits. */
  flush(): Uint8Array[] {
    const parts = this.#parts
    this.#parts = []
    this.#sizeBytes = 0
    return parts
  }
}

/**
 * Opens records of one direction. It keeps at most one unfinished record, checks type, length, epoch and counter before
 * buffering any of it, and releases no byte before the tag was verified. After an error it refuses everything.
 */
export class RecordReader {
  readonly #cipher: AeadCipher
  readonly #epoch: number
  readonly #maxPlaintextBytes: number
  #counter = 0
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
      this.#headerBytes = concat(...this.#take(HEADER_BYTES))
      this.#header = readHeader(this.#headerBytes, this.#maxPlaintextBytes)
      this.#check(this.#header)
    }
    if (this.#sizeBytes < this.#header.lengthBytes) return undefined
    const { type, lengthBytes, counter } = this.#header
    const parts = this.#open(counter, this.#take(lengthBytes))
    this.#header = undefined
    this.#headerBytes = new Uint8Array(0)
    this.#counter++
    return { type, parts }
  }

  #check(header: RecordHeader): void {
    if (header.epoch !== this.#epoch) {
      throw new RecordError('record-epoch', `Record of epoch ${header.epoch}, expected ${this.#epoch}`)
    }
    if (header.counter !== this.#counter) {
      throw new RecordError('record-counter', `Record number ${header.counter}, expected ${this.#counter}`)
    }
  }

  #open(counter: number, parts: readonly Uint8Array[]): Uint8Array[] {
    try {
      return this.#cipher.open(counter, this.#headerBytes, parts)
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
