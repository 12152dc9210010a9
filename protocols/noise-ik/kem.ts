import {
  createPrivateKey,
  createPublicKey,
  decapsulate,
  encapsulate,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { NoiseError } from './errors.ts'
import { KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_KEY_BYTES } from './limits.ts'

/** A fresh KEM key pair; the secret half stays inside the crypto library's object. */
export interface KemKeyPair {
  /** Raw encapsulation key. */
  readonly publicKey: Uint8Array
  readonly secret: KeyObject
}

/** What the `e1` and `ekem1` tokens need (Noise HFS extension, revision 1, §3); a port, so that vectors can be replayed. */
export interface Kem {
  /** Behind the plus sign of the Noise protocol name. */
  readonly name: string
  /** KEMPUBLICKEYLEN. */
  readonly publicKeyBytes: number
  /** KEMCIPHERTEXTLEN. */
  readonly ciphertextBytes: number
  /** GENERATE_KEM_KEYPAIR(): ephemeral, used for one handshake. */
  generate(): KemKeyPair
  /** Checks a received encapsulation key. @throws NoiseError `kem-key-invalid`. */
  importKey(publicKey: Uint8Array): KeyObject
  /** GENERATE_KEM_CIPHERTEXT(): a ciphertext for `key`, and the 32-byte secret inside it, which the caller zeroes. */
  encapsulate(key: KeyObject): { readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array }
  /**
   * KEM(): the 32-byte secret in `ciphertext`, which the caller zeroes. A changed ciphertext of the right length gives another
   * secret (implicit rejection, FIPS 203 §6.3), so the next tag fails. @throws NoiseError `kem-ciphertext-invalid`.
   */
  decapsulate(secret: KeyObject, ciphertext: Uint8Array): Uint8Array
}

/** SubjectPublicKeyInfo of a raw ML-KEM-768 encapsulation key (RFC 9935). */
const SPKI_MLKEM768 = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex')

/** PKCS #8 of an ML-KEM-768 private key as its 64-byte seed (RFC 9935). */
const PKCS8_MLKEM768_SEED = Buffer.from('3054020100300b060960864801650304040204428040', 'hex')

/** ML-KEM-768 (FIPS 203) by node:crypto. */
export const MLKEM768: Kem = {
  name: 'MLKEM768',
  publicKeyBytes: KEM_PUBLIC_KEY_BYTES,
  ciphertextBytes: KEM_CIPHERTEXT_BYTES,
  generate() {
    const { publicKey, privateKey } = generateKeyPairSync('ml-kem-768')
    return { publicKey: rawKey(publicKey), secret: privateKey }
  },
  importKey(publicKey) {
    if (publicKey.length !== KEM_PUBLIC_KEY_BYTES) {
      throw new NoiseError(
        'kem-key-invalid',
        `ML-KEM key of ${publicKey.length} bytes, expected ${KEM_PUBLIC_KEY_BYTES}`,
      )
    }
    try {
      return createPublicKey({
        key: Buffer.concat([SPKI_MLKEM768, publicKey]),
        format: 'der',
        type: 'spki',
      })
    } catch (cause) {
      // The modulus check of FIPS 203 §7.2: a coefficient is not below 3329.
      throw new NoiseError('kem-key-invalid', 'The ML-KEM key has a coefficient out of range', { cause })
    }
  },
  encapsulate(key) {
    const { ciphertext, sharedKey } = encapsulate(key)
    return { ciphertext, sharedSecret: sharedKey }
  },
  decapsulate(secret, ciphertext) {
    try {
      return decapsulate(secret, ciphertext)
    } catch (cause) {
      throw new NoiseError(
        'kem-ciphertext-invalid',
        `ML-KEM ciphertext of ${ciphertext.length} bytes, expected ${KEM_CIPHERTEXT_BYTES}`,
        { cause },
      )
    }
  },
}

/** The key pair of a 64-byte seed (d ‖ z of FIPS 203 §7.1), so that published vectors can be replayed. */
export function mlKem768KeyPair(seed: Uint8Array): KemKeyPair {
  const secret = createPrivateKey({
    key: Buffer.concat([PKCS8_MLKEM768_SEED, seed]),
    format: 'der',
    type: 'pkcs8',
  })
  return { publicKey: rawKey(createPublicKey(secret)), secret }
}

function rawKey(publicKey: KeyObject): Uint8Array {
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  return Uint8Array.from(spki.subarray(SPKI_MLKEM768.length))
}
