import { ed25519 } from '@noble/curves/ed25519.js'
import { toHex } from '../common/bytes.ts'
import { NoiseError } from './errors.ts'
import { CONVERTED_KEYS_MAX, KEY_BYTES } from './limits.ts'

/** X25519 secret of an Ed25519 seed (both 32 bytes): one identity key signs and agrees (eprint 2021/509). */
export function x25519SecretFromSeed(seed: Uint8Array): Uint8Array {
  return ed25519.utils.toMontgomerySecret(seed)
}

/**
 * A converter from Ed25519 to X25519 public keys with a bounded least-recently-used memory. A point and its negation are two
 * Ed25519 keys, and so two peer ids, with **one** X25519 key: whoever uses the result must bind the Ed25519 key by other means
 * (the prologue and the payload of message 1 do).
 * @throws NoiseError `identity-key-invalid` for encodings that are not canonical, off the curve, of small order or with torsion.
 */
export function identityKeyConverter(
  max: number = CONVERTED_KEYS_MAX,
): (publicKey: Uint8Array) => Uint8Array {
  const converted = new Map<string, Uint8Array>()
  return (publicKey) => {
    const name = toHex(publicKey)
    const hit = converted.get(name)
    if (hit !== undefined) {
      converted.delete(name)
      converted.set(name, hit)
      return hit
    }
    const key = convert(publicKey)
    if (converted.size >= max) {
      const oldest = converted.keys().next()
      if (oldest.done !== true) converted.delete(oldest.value)
    }
    converted.set(name, key)
    return key
  }
}

function convert(publicKey: Uint8Array): Uint8Array {
  if (publicKey.length !== KEY_BYTES) {
    throw new NoiseError(
      'identity-key-invalid',
      `Ed25519 key of ${publicKey.length} bytes, expected ${KEY_BYTES}`,
    )
  }
  let usable: boolean
  try {
    const point = ed25519.Point.fromBytes(publicKey)
    usable = !point.isSmallOrder() && point.isTorsionFree()
  } catch (cause) {
    throw new NoiseError('identity-key-invalid', `${toHex(publicKey)} is not an Ed25519 key`, { cause })
  }
  if (!usable)
    throw new NoiseError('identity-key-invalid', `${toHex(publicKey)} is outside the prime-order group`)
  return ed25519.utils.toMontgomery(publicKey)
}
