import { concat, utf8 } from '../common/bytes.ts'
import { KEY_BYTES, TAG_BYTES } from './limits.ts'
import type { AeadCipher } from './aead.ts'
import type { CipherSuite } from './suite.ts'

/** Noise SymmetricState (revision 34, §5.2): chaining key, transcript hash and the current handshake key. */
export class SymmetricState {
  readonly #suite: CipherSuite
  #chainingKey: Uint8Array
  #hash: Uint8Array
  #cipher: AeadCipher | undefined
  #counter = 0

  constructor(suite: CipherSuite, protocolName: string) {
    const name = utf8(protocolName)
    this.#suite = suite
    this.#hash =
      name.length <= KEY_BYTES ? concat(name, new Uint8Array(KEY_BYTES - name.length)) : suite.hash(name)
    this.#chainingKey = this.#hash
  }

  /** Hash of everything said so far; after the last message the channel binding of the session. */
  get handshakeHash(): Uint8Array {
    return this.#hash
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#suite.hash(this.#hash, data)
  }

  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = this.#suite.hkdf(this.#chainingKey, input)
    this.#chainingKey = chainingKey
    this.#cipher = this.#suite.cipher(key)
    this.#counter = 0
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

  /** The two transport keys, initiator's sending key first. */
  split(): [Uint8Array, Uint8Array] {
    return this.#suite.hkdf(this.#chainingKey, new Uint8Array(0))
  }
}
