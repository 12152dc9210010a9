import { concat, equalBytes } from '../common/bytes.ts'
import { NoiseError } from './errors.ts'
import { MLKEM768, type Kem, type KemKeyPair } from './kem.ts'
import { KEY_BYTES, NOISE_MESSAGE_MAX_BYTES, TAG_BYTES } from './limits.ts'
import type { HandshakePattern, Token } from './pattern.ts'
import type { CipherSuite, KeyPair } from './suite.ts'
import { SymmetricState } from './symmetric.ts'
import { wipe } from './wipe.ts'

/** What a handshake starts from. */
export interface HandshakeInit {
  readonly suite: CipherSuite
  readonly pattern: HandshakePattern
  readonly initiator: boolean
  /** Context both sides must agree on; any difference makes the first message undecryptable. */
  readonly prologue: Uint8Array
  /** Our static key pair. */
  readonly s: KeyPair
  /** The other side's static public key, where the pattern says it is known beforehand. */
  readonly rs?: Uint8Array
  /** 32 bytes both sides know, for patterns with a `psk` token. It stays the caller's to zero. */
  readonly psk?: Uint8Array
  /** The KEM of patterns with `e1`; ML-KEM-768 unless given. */
  readonly kem?: Kem
  /** A fresh 32-byte secret for our ephemeral key; called once, and the array is zeroed. */
  readonly ephemeralSecret: () => Uint8Array
}

/** What is left of a finished handshake. All but the hash is secret: zero it once cipher objects were made of it (`wipe`). */
export interface HandshakeResult {
  /** 32 bytes; key of records from initiator to responder. */
  readonly initiatorKey: Uint8Array
  /** 32 bytes; key of records from responder to initiator. */
  readonly responderKey: Uint8Array
  /** 32 bytes, the same on both sides and different in every session. */
  readonly handshakeHash: Uint8Array
  /** 32 bytes: pre-shared key of the first key rotation. See `SymmetricState.split` for how it is derived. */
  readonly root: Uint8Array
}

/** `Noise_IKhfs_25519+MLKEM768_AESGCM_SHA256`: the KEM stands behind the DH function where the pattern uses one. */
export function protocolName(
  pattern: HandshakePattern,
  suite: CipherSuite,
  kem: Pick<Kem, 'name'> = MLKEM768,
): string {
  const [dh = '', ...rest] = suite.noiseName.split('_')
  return ['Noise', pattern.name, uses(pattern, 'e1') ? `${dh}+${kem.name}` : dh, ...rest].join('_')
}

/**
 * Noise HandshakeState (revision 34, §5.3): messages are written and read alternately, the initiator first. It holds no clock,
 * no socket and no randomness of its own. After an error it must be thrown away (`wipe`).
 */
export class HandshakeState {
  readonly #init: HandshakeInit
  readonly #kem: Kem
  readonly #withPsk: boolean
  readonly #symmetric: SymmetricState
  #e: KeyPair | undefined
  #e1: KemKeyPair | undefined
  #re: Uint8Array | undefined
  #re1: ReturnType<Kem['importKey']> | undefined
  #rs: Uint8Array | undefined
  #next = 0

  constructor(init: HandshakeInit) {
    this.#init = init
    this.#kem = init.kem ?? MLKEM768
    this.#rs = init.rs
    this.#withPsk = uses(init.pattern, 'psk')
    if (this.#withPsk && init.psk?.length !== KEY_BYTES)
      throw new Error('the pattern needs a psk of 32 bytes')
    this.#symmetric = new SymmetricState(init.suite, protocolName(init.pattern, init.suite, this.#kem))
    this.#symmetric.mixHash(init.prologue)
    const preMessage = (tokens: readonly 's'[], isOurs: boolean): void => {
      for (const token of tokens)
        this.#symmetric.mixHash(isOurs ? init.s.publicKey : known(this.#rs, `r${token}`))
    }
    preMessage(init.pattern.initiatorPreMessage ?? [], init.initiator)
    preMessage(init.pattern.responderPreMessage, !init.initiator)
  }

  /** The other side's static key: given at the start, or learnt from its message. */
  get remoteStatic(): Uint8Array | undefined {
    return this.#rs
  }

  /** The other side's ephemeral key, once its message was read. */
  get remoteEphemeral(): Uint8Array | undefined {
    return this.#re
  }

  /** Next message of ours, carrying `payload`. @throws NoiseError `low-order-key`. */
  writeMessage(payload: Uint8Array): Uint8Array {
    const parts = this.#tokens(true).map((token) => this.#writeToken(token))
    const message = concat(...parts, this.#symmetric.encryptAndHash(payload))
    if (message.length > NOISE_MESSAGE_MAX_BYTES) throw new Error(`Noise message of ${message.length} bytes`)
    return message
  }

  /** Payload of the other side's next message. @throws NoiseError for anything that does not fit or authenticate. */
  readMessage(message: Uint8Array): Uint8Array {
    let rest = message
    const take = (length: number): Uint8Array => {
      if (rest.length < length) throw lengthError(message, 'short')
      const part = rest.slice(0, length)
      rest = rest.subarray(length)
      return part
    }
    if (message.length > NOISE_MESSAGE_MAX_BYTES) throw lengthError(message, 'long')
    for (const token of this.#tokens(false)) this.#readToken(token, take)
    return this.#symmetric.decryptAndHash(take(rest.length))
  }

  /** Keys of the session, after the last message; once, because the state is wiped. */
  finish(): HandshakeResult {
    if (this.#next !== this.#init.pattern.messages.length) throw new Error('the handshake is not finished')
    const handshakeHash = this.#symmetric.handshakeHash
    const [initiatorKey, responderKey, root] = this.#symmetric.split()
    this.wipe()
    return { initiatorKey, responderKey, handshakeHash, root }
  }

  /** Zeroes and lets go of everything secret but the static key and the psk, which are the caller's. It cannot be used again. */
  wipe(): void {
    this.#symmetric.wipe()
    this.#e = undefined
    this.#e1 = undefined
    this.#next = Infinity
  }

  #tokens(writing: boolean): readonly Token[] {
    const ours = this.#init.initiator === (this.#next % 2 === 0)
    const tokens = this.#init.pattern.messages[this.#next]
    if (tokens === undefined || ours !== writing)
      throw new Error(`message ${this.#next + 1} is not ours to handle now`)
    this.#next++
    return tokens
  }

  #writeToken(token: Token): Uint8Array {
    switch (token) {
      case 'e': {
        const secret = this.#init.ephemeralSecret()
        this.#e = this.#init.suite.keyPair(secret)
        wipe(secret)
        this.#mixEphemeral(this.#e.publicKey)
        return this.#e.publicKey
      }
      case 's':
        return this.#symmetric.encryptAndHash(this.#init.s.publicKey)
      case 'e1':
        this.#e1 = this.#kem.generate()
        return this.#symmetric.encryptAndHash(this.#e1.publicKey)
      case 'ekem1': {
        const { ciphertext, sharedSecret } = this.#kem.encapsulate(known(this.#re1, 're1'))
        const sent = this.#symmetric.encryptAndHash(ciphertext)
        this.#mixSecret(sharedSecret)
        return sent
      }
      default:
        this.#mixToken(token)
        return new Uint8Array(0)
    }
  }

  #readToken(token: Token, take: (length: number) => Uint8Array): void {
    const takeSealed = (length: number): Uint8Array =>
      this.#symmetric.decryptAndHash(take(length + (this.#symmetric.hasKey ? TAG_BYTES : 0)))
    switch (token) {
      case 'e':
        this.#re = take(KEY_BYTES)
        this.#mixEphemeral(this.#re)
        break
      case 's': {
        const rs = takeSealed(KEY_BYTES)
        if (this.#rs !== undefined && !equalBytes(this.#rs, rs)) {
          throw new NoiseError('decrypt-failed', 'The static key in the message is not the expected one')
        }
        this.#rs = rs
        break
      }
      case 'e1':
        this.#re1 = this.#kem.importKey(takeSealed(this.#kem.publicKeyBytes))
        break
      case 'ekem1': {
        const ciphertext = takeSealed(this.#kem.ciphertextBytes)
        this.#mixSecret(this.#kem.decapsulate(known(this.#e1, 'e1').secret, ciphertext))
        break
      }
      default:
        this.#mixToken(token)
    }
  }

  /** With a psk the ephemeral key goes into the chaining key too (revision 34, §9.2). */
  #mixEphemeral(publicKey: Uint8Array): void {
    this.#symmetric.mixHash(publicKey)
    if (this.#withPsk) this.#symmetric.mixKey(publicKey)
  }

  /** In a DH token the first letter names the initiator's key, the second the responder's. */
  #mixToken(token: Exclude<Token, 'e' | 's' | 'e1' | 'ekem1'>): void {
    if (token === 'psk') {
      this.#symmetric.mixKeyAndHash(known(this.#init.psk, 'psk'))
      return
    }
    const [ours, theirs] = this.#init.initiator ? [token[0], token[1]] : [token[1], token[0]]
    const pair = ours === 'e' ? known(this.#e, 'e') : this.#init.s
    const remote = theirs === 'e' ? known(this.#re, 're') : known(this.#rs, 'rs')
    this.#mixSecret(this.#init.suite.dh(pair, remote))
  }

  #mixSecret(secret: Uint8Array): void {
    this.#symmetric.mixKey(secret)
    wipe(secret)
  }
}

function uses(pattern: HandshakePattern, token: Token): boolean {
  return pattern.messages.some((tokens) => tokens.includes(token))
}

function lengthError(message: Uint8Array, what: 'short' | 'long'): NoiseError {
  return new NoiseError(
    'message-length',
    `Cannot read a Noise message of ${message.length} bytes: too ${what}`,
  )
}

function known<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`handshake key ${name} is not known at this point of the pattern`)
  return value
}
