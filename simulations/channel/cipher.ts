import type { AeadCipher } from '../../protocols/noise-ik/aead.ts'
import { NoiseError } from '../../protocols/noise-ik/errors.ts'
import { termOf } from './symbolic.ts'

const TAG_BYTES = 16

/** Plaintext with a checksum of key, counter, header and content as its tag: as strict as an AEAD, and as secret as glass. */
export function symbolicCipher(key: Uint8Array): AeadCipher {
  const seed = checksum(0x811c9dc5, new TextEncoder().encode(termOf(key)))
  const tagOf = (counter: number, ad: Uint8Array, parts: readonly Uint8Array[]): Uint8Array => {
    let sum = checksum(Math.imul(seed ^ counter, 0x01000193), ad)
    for (const part of parts) sum = checksum(sum, part)
    const tag = new Uint8Array(TAG_BYTES)
    const view = new DataView(tag.buffer)
    for (let at = 0; at < TAG_BYTES; at += 4) view.setUint32(at, Math.imul(sum, at + 0x9e3779b1) >>> 0)
    return tag
  }
  return {
    seal(counter, ad, parts, target, offset) {
      let at = offset
      for (const part of [...parts, tagOf(counter, ad, parts)]) {
        target.set(part, at)
        at += part.length
      }
    },
    sealPieces: (counter, ad, parts) => [...parts, tagOf(counter, ad, parts)],
    open(counter, ad, parts) {
      const whole = Buffer.concat(parts)
      const body = whole.subarray(0, whole.length - TAG_BYTES)
      if (!whole.subarray(body.length).equals(tagOf(counter, ad, [body])))
        throw new NoiseError('decrypt-failed', 'the checksum differs')
      return [body]
    },
  }
}

/** FNV-1a over 32 bits, and the length, so that where one part ends does not matter. */
function checksum(start: number, bytes: Uint8Array): number {
  let sum = start
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193)
  return sum
}
