import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { concat, utf8 } from './bytes.ts'
import type { Signer, Verify } from './ports.ts'

/**
 * Every context a Kith signature is made under, in one place so that one test can prove that none is a prefix of another:
 * a signature made for one purpose can then never be read as one for another.
 */
export const SIGNING_CONTEXTS = {
  authorityCertificate: 'kith/authority-certificate/1\0',
  memberCertificate: 'kith/member-certificate/1\0',
  invite: 'kith/invite/1\0',
  joinRequest: 'kith/join-request/1\0',
  joinReply: 'kith/join-reply/1\0',
  peerInvite: 'kith/peer-invite/1\0',
  revocation: 'kith/revocation/1\0',
  registration: 'kith/registration/1\0',
  leave: 'kith/leave/1\0',
  accusation: 'kith/accusation/1\0',
  heal: 'kith/heal/1\0',
} as const

/** Name of a signing context. */
export type SigningContext = keyof typeof SIGNING_CONTEXTS

/** What is signed: context ‖ mesh id (32 bytes) ‖ body. */
export function signedMessage(context: SigningContext, meshId: Uint8Array, body: Uint8Array): Uint8Array {
  if (meshId.length !== 32) throw new Error(`mesh id of ${meshId.length} bytes, expected 32`)
  return concat(utf8(SIGNING_CONTEXTS[context]), meshId, body)
}

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** A signer over the 32-byte Ed25519 seed, by node:crypto. */
export function ed25519Signer(seed: Uint8Array): Signer {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, seed]),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = Uint8Array.from(spki.subarray(SPKI_PREFIX.length))
  return { publicKey, sign: (message) => Uint8Array.from(sign(null, message, privateKey)) }
}

/** Ed25519 verification by node:crypto; malformed keys and signatures are simply false. */
export const verifyEd25519: Verify = (publicKey, message, signature) => {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
  } catch {
    return false // not a point on the curve: nobody can have signed under it
  }
  return verify(null, message, key, signature)
}

/** SHA-256, 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return Uint8Array.from(hash.digest())
}
