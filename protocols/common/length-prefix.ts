import { concat } from './bytes.ts'
import { MalformedError } from './errors.ts'

/** `body` behind its length as an unsigned LEB128 varint, as libp2p frames messages. */
export function lengthPrefixed(body: Uint8Array): Uint8Array {
  const prefix: number[] = []
  let rest = body.length
  while (rest > 127) {
    prefix.push((rest & 127) | 128)
    rest >>>= 7
  }
  prefix.push(rest)
  return concat(Uint8Array.from(prefix), body)
}

/**
 * Cuts a byte stream into length-prefixed frames of at most `maxBytes`. Holds at most one unfinished frame. Once it threw,
 * the stream has lost its frame borders and must be closed.
 */
export class FrameReader {
  readonly #maxBytes: number
  #pending: Uint8Array = new Uint8Array(0)

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of an unfinished frame; not 0 at the end of a stream means it was cut. */
  get pendingBytes(): number {
    return this.#pending.length
  }

  /**
   * Takes a chunk, returns the frames it completed.
   * @throws MalformedError for a length above the limit, or one not in its shortest form.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    let data = this.#pending.length === 0 ? chunk : concat(this.#pending, chunk)
    const frames: Uint8Array[] = []
    for (;;) {
      const header = readVarint(data)
      if (header === null) break
      if (header.value > this.#maxBytes) {
        throw new MalformedError(`frame of ${header.value} bytes exceeds the limit of ${this.#maxBytes}`)
      }
      if (data.length < header.bytes + header.value) break
      frames.push(data.slice(header.bytes, header.bytes + header.value))
      data = data.subarray(header.bytes + header.value)
    }
    this.#pending = data.slice()
    return frames
  }
}

/** Null when more bytes are needed. Four bytes hold 2^28, above every limit of ours. */
function readVarint(data: Uint8Array): { value: number; bytes: number } | null {
  let value = 0
  for (let i = 0; i < 4; i++) {
    const byte = data[i]
    if (byte === undefined) return null
    value |= (byte & 127) << (7 * i)
    if (byte < 128) {
      if (byte === 0 && i > 0) throw new MalformedError('frame length is not in its shortest form')
      return { value, bytes: i + 1 }
    }
  }
  throw new MalformedError('frame length of more than four bytes')
}
