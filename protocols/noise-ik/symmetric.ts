import { concat, utf8 } from '../common/bytes.ts'
import { KEY_BYTES, TAG_BYTES } from './limits.ts'
import type { AeadCipher } from './aead.ts'
import type { CipherSuite } from './suite.ts'
import { wipe } from './wipe.ts'

/** Info of the HKDF step that makes the rotation root; part of the format. */
const ROOT_INFO = utf8('kith/rotation-root/1')

/** Noise SymmetricState (revision 34, §5.2): chaining key, transcript hash and the current handshake key. */
export class SymmetricState {
  readonly #suite: CipherSuite
  readonly #chainingKey: Uint8Array
  #hash: Uint8Array
  #cipher: AeadCipher | undefined
  #counter = 0

  constructor(suite: CipherSuite, protocolName: string) {
    const name = utf8(protocolName)
    this.#suite = suite
    this.#hash =
      name.length <= KEY_BYTES ? concat(name, new Uint8Array(KEY_BYTES - name.length)) : suite.hash(name)
    this.#chainingKey = Uint8Array.from(this.#hash)
  }

  /** Hash of everything said so far; after the last message the channel binding of the session. */
  get handshakeHash(): Uint8Array {
    return this.#hash
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#suite.hash(this.#hash, data)
  }

  /** `input` stays the caller's to zero, where it is secret. */
  mixKey(input: Uint8Array): void {
    const [chainingKey, key, unused] = this.#suite.hkdf(this.#chainingKey, input)
    this.#chainingKey.set(chainingKey)
    this.#setKey(key)
    wipe(chainingKey, unused)
  }

  /** Mixes a 32-byte pre-shared key into key and transcript (revision 34, §9.1). */
  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, hash, key] = this.#suite.hkdf(this.#chainingKey, input)
    this.#chainingKey.set(chainingKey)
    this.mixHash(hash)
    this.#setKey(key)
    wipe(chainingKey, hash)
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    let out = plaintext
    if (this.#cipher !== undefined) {
      out = new Uint8Array(plaintext.length + TAG_BYTES)
      this.#cipher.seal(this.#counter++, this.#hash, [plaintext], out, 0)
    }
    this.mixHash(out)
    return out
  }

  /** @throws NoiseError `decrypt-failed`; nothing is changed then. */
  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext =
      this.#cipher === undefined
        ? ciphertext
        : concat(...this.#cipher.open(this.#counter, this.#hash, [ciphertext]))
    this.#counter++
    this.mixHash(ciphertext)
    return plaintext
  }

  /** True once a key is there, so that what follows is encrypted. */
  get hasKey(): boolean {
    return this.#cipher !== undefined
  }

  /**
   * The two transport keys, initiator's sending key first (revision 34, §5.2), and the root of key rotation:
   * HKDF-SHA256 (RFC 5869) with the third output of the same HKDF as salt, the handshake hash as input keying material and
   * `kith/rotation-root/1` as info, 32 bytes. The first two outputs are what Split() gives, so published vectors still hold.
   */
  split(): [initiatorKey: Uint8Array, responderKey: Uint8Array, root: Uint8Array] {
    const [initiatorKey, responderKey, third] = this.#suite.hkdf(this.#chainingKey, new Uint8Array(0))
    const root = this.#suite.expand(third, this.#hash, ROOT_INFO)
    wipe(third)
    return [initiatorKey, responderKey, root]
  }

  /** Zeroes the chaining key and lets go of the handshake key. Nothing can be mixed or split afterwards. */
  wipe(): void {
    wipe(this.#chainingKey)
    this.#cipher = undefined
  }

  #setKey(key: Uint8Array): void {
    this.#cipher = this.#suite.cipher(key)
    this.#counter = 0
    wipe(key)
  }
}
