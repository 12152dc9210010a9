import { concat } from './bytes.ts'
import { MalformedError } from './errors.ts'

/** `body` behind its length as u16, as the first frame of a channel. */
export function firstFrame(body: Uint8Array): Uint8Array {
  if (body.length > 0xffff) throw new Error(`first frame of ${body.length} bytes`)
  const out = new Uint8Array(2 + body.length)
  new DataView(out.buffer).setUint16(0, body.length)
  out.set(body, 2)
  return out
}

/** The first frame of a channel, and what is behind it. */
export interface FirstFrame {
  readonly body: Uint8Array
  readonly rest: Uint8Array
  readonly frameBytes: number
}

/** Collects the first frame of a channel, length u16 | body; what follows it belongs to somebody else. */
export class FirstFrameReader {
  readonly #name: string
  readonly #maxBytes: number
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(name: string, maxBytes: number) {
    this.#name = name
    this.#maxBytes = maxBytes
  }

  /** The frame and what is behind it, once it is whole. @throws MalformedError when it is too long. */
  push(chunk: Uint8Array): FirstFrame | undefined {
    const bytes = this.#bytes.length === 0 ? chunk : concat(this.#bytes, chunk)
    this.#bytes = bytes
    if (bytes.length < 2) return undefined
    const length = (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)
    if (length > this.#maxBytes)
      throw new MalformedError(`${this.#name} of ${length} bytes, the limit is ${this.#maxBytes}`)
    const frameBytes = 2 + length
    if (bytes.length < frameBytes) return undefined
    return { body: bytes.subarray(2, frameBytes), rest: bytes.subarray(frameBytes), frameBytes }
  }
}
