import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  hkdfSync,
  type CipherGCMTypes,
  type KeyObject,
} from 'node:crypto'
import { NoiseError } from './errors.ts'
import { KEY_BYTES, TAG_BYTES } from './limits.ts'

/** Names of the accepted suites, as shown to people. */
export type SuiteName = 'aesgcm' | 'chachapoly'

/** An X25519 key pair; the secret half stays inside the crypto library's object. */
export interface KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  readonly secret: KeyObject
}

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
  /**
   * Plaintext of `parts` (ciphertext and, behind it, the tag, cut anywhere), released only after the tag was verified.
   * @throws NoiseError `decrypt-failed`.
   */
  open(counter: number, ad: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[]
}

/** The primitives one Noise protocol name stands for. */
export interface CipherSuite {
  /** Id on the wire, bound into the prologue. Never renumbered. */
  readonly id: number
  readonly name: SuiteName
  /** Second half of the Noise protocol name: `25519_AESGCM_SHA256`. */
  readonly noiseName: string
  /** Key pair of a 32-byte X25519 secret. */
  keyPair(secret: Uint8Array): KeyPair
  /** 32-byte shared secret. @throws NoiseError `low-order-key`. */
  dh(pair: KeyPair, publicKey: Uint8Array): Uint8Array
  /** SHA-256 of all parts. */
  hash(...parts: readonly Uint8Array[]): Uint8Array
  /** Noise HKDF (§4.3): two 32-byte outputs. */
  hkdf(chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array]
  /** An AEAD under a 32-byte key. */
  cipher(key: Uint8Array): AeadCipher
}

const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex')

/** Parts below this are gathered before encryption: one call into the crypto library costs as much as copying about 2 KiB. */
const GATHER_BELOW_BYTES = 2048

/** AES-256-GCM: 1.4 times as fast as ChaChaPoly in records of 128 KiB on a processor with AES instructions. */
export const AESGCM: CipherSuite = suite(1, 'aesgcm', 'AESGCM', 'aes-256-gcm')

/** ChaCha20-Poly1305: for processors without AES instructions, where it is both faster and free of cache timing. */
export const CHACHAPOLY: CipherSuite = suite(2, 'chachapoly', 'ChaChaPoly', 'chacha20-poly1305')

/** Every suite this version accepts, by id. */
export const SUITES: ReadonlyMap<number, CipherSuite> = new Map([AESGCM, CHACHAPOLY].map((s) => [s.id, s]))

/** The suite of a name. */
export function suiteByName(name: SuiteName): CipherSuite {
  return name === 'aesgcm' ? AESGCM : CHACHAPOLY
}

function suite(id: number, name: SuiteName, noise: string, algorithm: string): CipherSuite {
  return {
    id,
    name,
    noiseName: `25519_${noise}_SHA256`,
    keyPair,
    dh,
    hash(...parts) {
      const hash = createHash('sha256')
      for (const part of parts) hash.update(part)
      return hash.digest()
    },
    hkdf(chainingKey, input) {
      // Noise's HKDF is RFC 5869 with the chaining key as salt and no info.
      const out = new Uint8Array(hkdfSync('sha256', input, chainingKey, '', 2 * KEY_BYTES))
      return [out.slice(0, KEY_BYTES), out.slice(KEY_BYTES)]
    },
    cipher: (key) => aead(algorithm as CipherGCMTypes, name === 'aesgcm', createSecretKey(key)),
  }
}

function keyPair(secret: Uint8Array): KeyPair {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_X25519, secret]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return { publicKey: Uint8Array.from(spki.subarray(SPKI_X25519.length)), secret: key }
}

function dh(pair: KeyPair, publicKey: Uint8Array): Uint8Array {
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI_X25519, publicKey]), format: 'der', type: 'spki' })
    return diffieHellman({ privateKey: pair.secret, publicKey: key })
  } catch (cause) {
    // OpenSSL refuses an all-zero result (RFC 7748 §6.1), which only points of small order give.
    throw new NoiseError('low-order-key', 'Cannot agree on a secret: the X25519 key has small order', {
      cause,
    })
  }
}

/** `algorithm` is typed as GCM because node's types give `setAAD` and `getAuthTag` only there; ChaCha20-Poly1305 has both. */
function aead(algorithm: CipherGCMTypes, bigEndian: boolean, key: KeyObject): AeadCipher {
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
      let run = offset
      for (const part of parts) {
        if (part.length < GATHER_BELOW_BYTES) {
          target.set(part, at)
        } else {
          if (run < at) target.set(cipher.update(target.subarray(run, at)), run)
          target.set(cipher.update(part), at)
          run = at + part.length
        }
        at += part.length
      }
      if (run < at) target.set(cipher.update(target.subarray(run, at)), run)
      cipher.final()
      target.set(cipher.getAuthTag(), at)
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

/** Cuts the last 16 bytes off a ciphertext that may be cut anywhere. */
function splitTag(parts: readonly Uint8Array[]): { body: Uint8Array[]; tag: Uint8Array } {
  const body = [...parts]
  const tag = new Uint8Array(TAG_BYTES)
  let missing = TAG_BYTES
  while (missing > 0) {
    const last = body.pop()
    if (last === undefined) throw new NoiseError('message-length', 'Cannot decrypt: shorter than a tag')
    const take = Math.min(missing, last.length)
    missing -= take
    tag.set(last.subarray(last.length - take), missing)
    if (take < last.length) body.push(last.subarray(0, last.length - take))
  }
  return { body, tag }
}
