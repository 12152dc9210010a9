import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  createHmac,
  type KeyObject,
} from 'node:crypto'
import { concat, fromHex, utf8 } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'

/**
 * HPKE (RFC 9180) in base mode, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-GCM. A published construction
 * with published vectors instead of an ECIES of our own; only the key schedule is written here, every primitive is
 * node:crypto's. Base mode does not say who sealed: the plaintext carries the issuer's signature.
 */
export interface HpkeAead {
  /** AEAD id of RFC 9180 §7.3. */
  readonly id: number
  readonly keyBytes: number
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm'
}

/** What Kith seals with. */
export const AES_256_GCM: HpkeAead = { id: 2, keyBytes: 32, cipher: 'aes-256-gcm' }
/** The suite of the vectors in RFC 9180 appendix A.1; used by the tests. */
export const AES_128_GCM: HpkeAead = { id: 1, keyBytes: 16, cipher: 'aes-128-gcm' }

const X25519_PKCS8 = fromHex('302e020100300506032b656e04220420')
const X25519_SPKI = fromHex('302a300506032b656e032100')
const TAG_BYTES = 16
const KEM_SUITE = concat(utf8('KEM'), i2osp2(0x0020))
const VERSION = utf8('HPKE-v1')
const EMPTY = new Uint8Array(0)

/** Public key, 32 bytes, of an X25519 private key of 32 bytes. */
export function x25519PublicKey(privateKey: Uint8Array): Uint8Array {
  return Uint8Array.from(
    createPublicKey(privateObject(privateKey)).export({ format: 'der', type: 'spki' }).subarray(12),
  )
}

/** Seals `plaintext` to `recipient`; `ephemeral` are 32 random bytes used once. RFC 9180 §6.1. */
export function hpkeSeal(input: {
  recipient: Uint8Array
  ephemeral: Uint8Array
  info: Uint8Array
  aad: Uint8Array
  plaintext: Uint8Array
  aead?: HpkeAead
}): { encapsulated: Uint8Array; ciphertext: Uint8Array } {
  const aead = input.aead ?? AES_256_GCM
  const encapsulated = x25519PublicKey(input.ephemeral)
  const shared = sharedSecret(input.ephemeral, input.recipient, concat(encapsulated, input.recipient))
  const { key, nonce } = keySchedule(shared, input.info, aead)
  const cipher = createCipheriv(aead.cipher, key, nonce, { authTagLength: TAG_BYTES }).setAAD(input.aad)
  return {
    encapsulated,
    ciphertext: concat(cipher.update(input.plaintext), cipher.final(), cipher.getAuthTag()),
  }
}

/**
 * Opens what was sealed to the public key of `privateKey`.
 * @throws MalformedError when the bytes were altered, are for another key or another `info`.
 */
export function hpkeOpen(input: {
  privateKey: Uint8Array
  encapsulated: Uint8Array
  info: Uint8Array
  aad: Uint8Array
  ciphertext: Uint8Array
  aead?: HpkeAead
}): Uint8Array {
  const aead = input.aead ?? AES_256_GCM
  const { ciphertext, encapsulated } = input
  if (ciphertext.length < TAG_BYTES)
    throw new MalformedError(`sealed message of ${ciphertext.length} bytes has no tag`)
  const context = concat(encapsulated, x25519PublicKey(input.privateKey))
  try {
    const { key, nonce } = keySchedule(
      sharedSecret(input.privateKey, encapsulated, context),
      input.info,
      aead,
    )
    const decipher = createDecipheriv(aead.cipher, key, nonce, { authTagLength: TAG_BYTES }).setAAD(input.aad)
    decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES))
    return concat(decipher.update(ciphertext.subarray(0, -TAG_BYTES)), decipher.final())
  } catch (cause) {
    throw new MalformedError('sealed message does not open with this key', { cause })
  }
}

/** DHKEM ExtractAndExpand, §4.1. node:crypto refuses an all-zero result, as §7.1.4 asks. */
function sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array, kemContext: Uint8Array): Uint8Array {
  const dh = diffieHellman({ privateKey: privateObject(privateKey), publicKey: publicObject(publicKey) })
  const prk = labeledExtract(KEM_SUITE, EMPTY, 'eae_prk', dh)
  return labeledExpand(KEM_SUITE, prk, 'shared_secret', kemContext, 32)
}

/** KeySchedule for mode_base, §5.1. */
function keySchedule(
  shared: Uint8Array,
  info: Uint8Array,
  aead: HpkeAead,
): { key: Uint8Array; nonce: Uint8Array } {
  const suite = concat(utf8('HPKE'), i2osp2(0x0020), i2osp2(0x0001), i2osp2(aead.id))
  const pskIdHash = labeledExtract(suite, EMPTY, 'psk_id_hash', EMPTY)
  const infoHash = labeledExtract(suite, EMPTY, 'info_hash', info)
  const context = concat(Uint8Array.of(0), pskIdHash, infoHash)
  const secret = labeledExtract(suite, shared, 'secret', EMPTY)
  return {
    key: labeledExpand(suite, secret, 'key', context, aead.keyBytes),
    nonce: labeledExpand(suite, secret, 'base_nonce', context, 12),
  }
}

/** §4: HKDF-Extract is HMAC(salt, ikm); an empty salt is a key of zeros, which HMAC pads to by itself. */
function labeledExtract(suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return Uint8Array.from(
    createHmac('sha256', salt)
      .update(concat(VERSION, suite, utf8(label), ikm))
      .digest(),
  )
}

/** §4: HKDF-Expand, written by its first block since every output here fits one SHA-256. */
function labeledExpand(
  suite: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const labeled = concat(i2osp2(length), VERSION, suite, utf8(label), info)
  return Uint8Array.from(
    createHmac('sha256', prk)
      .update(concat(labeled, Uint8Array.of(1)))
      .digest()
      .subarray(0, length),
  )
}

function i2osp2(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255)
}

function privateObject(bytes: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([X25519_PKCS8, bytes]), format: 'der', type: 'pkcs8' })
}

function publicObject(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([X25519_SPKI, bytes]), format: 'der', type: 'spki' })
}
