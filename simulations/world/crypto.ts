import type { Random, Signer, Verify } from '../../protocols/common/ports.ts'
import { ed25519Signer, verifyEd25519 } from '../../protocols/common/signing.ts'

/** How the world signs. `fake` costs a hundredth of Ed25519 and has its sizes. */
export interface CryptoPort {
  signer(random: Random): Signer
  readonly verify: Verify
}

/** Ed25519 as the node has it. */
export const realCrypto: CryptoPort = {
  signer: (random) => ed25519Signer(random.bytes(32)),
  verify: verifyEd25519,
}

/**
 * Signatures of an 8-byte hash over key and message, padded to 64. Anybody could forge one; nobody in the world does: a byzantine
 * node signs as itself alone.
 */
export const fakeCrypto: CryptoPort = {
  signer(random) {
    const publicKey = random.bytes(32)
    return { publicKey, sign: (message) => tag(publicKey, message) }
  },
  verify(publicKey, message, signature) {
    if (publicKey.length !== 32 || signature.length !== 64) return false
    const expected = tag(publicKey, message)
    for (let i = 0; i < 64; i++) if (expected[i] !== signature[i]) return false
    return true
  },
}

function tag(key: Uint8Array, message: Uint8Array): Uint8Array {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  for (const bytes of [key, message]) {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number
      a = Math.imul(a ^ byte, 0x01000193)
      b = Math.imul(b ^ byte, 0x85ebca6b) ^ (b >>> 15)
    }
  }
  const signature = new Uint8Array(64)
  const view = new DataView(signature.buffer)
  view.setUint32(0, a >>> 0)
  view.setUint32(4, b >>> 0)
  return signature
}
