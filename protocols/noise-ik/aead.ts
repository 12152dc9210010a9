import { createCipheriv, createDecipheriv, type CipherGCMTypes, type KeyObject } from 'node:crypto'
import { NoiseError } from './errors.ts'
import { TAG_BYTES } from './limits.ts'

/** One AEAD key. The caller owns the counter and never uses one twice. */
export interface AeadCipher {
  /**
   * Encrypts `parts`, in order, into `target` at `offset`: as many bytes as went in, and the 16-byte tag behind them.
   * `counter` is below 2^53.
   */
  seal(
    counter: number,
    ad: Uint8Array,
    parts: readonly Uint8Array[],
    target: Uint8Array,
    offset: number,
  ): void
  /** The same without a copy, for what is large: ciphertext in pieces, the last of which is the tag. */
  sealPieces(counter: number, ad: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[]
  /**
   * Plaintext of `parts` (ciphertext and, behind it, the tag, cut anywhere), released only after the tag was verified.
   * @throws NoiseError `decrypt-failed`.
   */
  open(counter: number, ad: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[]
}

/** Parts below this are gathered before encryption: one call into the crypto library costs as much as copying about 2 KiB. */
const GATHER_BELOW_BYTES = 2048

/**
 * The AEAD of one key. `algorithm` is typed as GCM because node's types give `setAAD` and `getAuthTag` only there;
 * ChaCha20-Poly1305 has both. `bigEndian` says how the counter is written.
 */
export function aead(algorithm: CipherGCMTypes, bigEndian: boolean, key: KeyObject): AeadCipher {
  const options = { authTagLength: TAG_BYTES }
  // Noise §12: ChaChaPoly counts little-endian, AESGCM big-endian, both behind four zero bytes.
  const iv = Buffer.alloc(12)
  const setCounter = (counter: number): void => {
    const high = Math.floor(counter / 2 ** 32)
    if (bigEndian) {
      iv.writeUInt32BE(high, 4)
      iv.writeUInt32BE(counter >>> 0, 8)
    } else {
      iv.writeUInt32LE(counter >>> 0, 4)
      iv.writeUInt32LE(high, 8)
    }
  }
  return {
    seal(counter, ad, parts, target, offset) {
      setCounter(counter)
      const cipher = createCipheriv(algorithm, key, iv, options).setAAD(ad)
      let at = offset
      for (const run of gathered(parts)) {
        target.set(cipher.update(run), at)
        at += run.length
      }
      cipher.final()
      target.set(cipher.getAuthTag(), at)
    },
    sealPieces(counter, ad, parts) {
      setCounter(counter)
      const cipher = createCipheriv(algorithm, key, iv, options).setAAD(ad)
      const pieces: Uint8Array[] = gathered(parts).map((run) => cipher.update(run))
      cipher.final()
      pieces.push(cipher.getAuthTag())
      return pieces
    },
    open(counter, ad, parts) {
      const { body, tag } = splitTag(parts)
      setCounter(counter)
      const decipher = createDecipheriv(algorithm, key, iv, options).setAAD(ad).setAuthTag(tag)
      try {
        const plain = body.map((part) => decipher.update(part))
        decipher.final()
        return plain
      } catch (cause) {
        throw new NoiseError('decrypt-failed', 'Cannot decrypt: the tag does not verify', { cause })
      }
    },
  }
}

/** The same bytes with neighbouring small parts joined. */
function gathered(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  if (parts.length < 2) return parts
  const runs: Uint8Array[] = []
  let first = 0
  for (let index = 0; index <= parts.length; index++) {
    const part = parts[index]
    if (part !== undefined && part.length < GATHER_BELOW_BYTES) continue
    if (index - first === 1) runs.push(parts[first] as Uint8Array)
    else if (index > first) runs.push(Buffer.concat(parts.slice(first, index)))
    if (part !== undefined) runs.push(part)
    first = index + 1
  }
  return runs
}

/** Cuts the last 16 bytes off a ciphertext that may be cut anywhere. */
function splitTag(parts: readonly Uint8Array[]): { body: readonly Uint8Array[]; tag: Uint8Array } {
  const last = parts.at(-1)
  if (last !== undefined && last.length > TAG_BYTES) {
    const at = last.length - TAG_BYTES
    return { body: [...parts.slice(0, -1), last.subarray(0, at)], tag: last.subarray(at) }
  }
  const body = [...parts]
  const tag = new Uint8Array(TAG_BYTES)
  let missing = TAG_BYTES
  while (missing > 0) {
    const end = body.pop()
    if (end === undefined) throw new NoiseError('message-length', 'Cannot decrypt: shorter than a tag')
    const take = Math.min(missing, end.length)
    missing -= take
    tag.set(end.subarray(end.length - take), missing)
    if (take < end.length) body.push(end.subarray(0, end.length - take))
  }
  return { body, tag }
}
