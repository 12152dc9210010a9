import { concat, equalBytes } from '../common/bytes.ts'
import { NoiseError } from './errors.ts'
import { KEY_BYTES, NOISE_MESSAGE_MAX_BYTES, TAG_BYTES } from './limits.ts'
import type { HandshakePattern, Token } from './pattern.ts'
import type { CipherSuite, KeyPair } from './suite.ts'
import { SymmetricState } from './symmetric.ts'

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
  /** A fresh 32-byte secret for our ephemeral key; called once. */
  readonly ephemeralSecret: () => Uint8Array
}

/** What is left of a finished handshake. */
export interface HandshakeResult {
  /** 32 bytes; key of records from initiator to responder. */
  readonly initiatorKey: Uint8Array
  /** 32 bytes; key of records from responder to initiator. */
  readonly responderKey: Uint8Array
  /** 32 bytes, the same on both sides and different in every session. */
  readonly handshakeHash: Uint8Array
}

/**
 * Noise HandshakeState (revision 34, §5.3): messages are written and read alternately, the initiator first. It holds no clock,
 * no socket and no randomness of its own. After an error it must be thrown away.
 */
export class HandshakeState {
  readonly #init: HandshakeInit
  readonly #symmetric: SymmetricState
  #e: KeyPair | undefined
  #re: Uint8Array | undefined
  #rs: Uint8Array | undefined
  #next = 0

  constructor(init: HandshakeInit) {
    this.#init = init
    this.#rs = init.rs
    this.#symmetric = new SymmetricState(init.suite, `Noise_${init.pattern.name}_${init.suite.noiseName}`)
    this.#symmetric.mixHash(init.prologue)
    for (const token of init.pattern.responderPreMessage) {
      this.#symmetric.mixHash(init.initiator ? known(this.#rs, token) : init.s.publicKey)
    }
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
      if (rest.length < length) {
        throw new NoiseError(
          'message-length',
          `Cannot read a Noise message of ${message.length} bytes: too short`,
        )
      }
      const part = rest.slice(0, length)
      rest = rest.subarray(length)
      return part
    }
    if (message.length > NOISE_MESSAGE_MAX_BYTES) {
      throw new NoiseError(
        'message-length',
        `Cannot read a Noise message of ${message.length} bytes: too long`,
      )
    }
    for (const token of this.#tokens(false)) this.#readToken(token, take)
    return this.#symmetric.decryptAndHash(take(rest.length))
  }

  /** Keys of the session, after the last message. */
  finish(): HandshakeResult {
    if (this.#next !== this.#init.pattern.messages.length) throw new Error('the handshake is not finished')
    const [initiatorKey, responderKey] = this.#symmetric.split()
    return { initiatorKey, responderKey, handshakeHash: this.#symmetric.handshakeHash }
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
      case 'e':
        this.#e = this.#init.suite.keyPair(this.#init.ephemeralSecret())
        this.#symmetric.mixHash(this.#e.publicKey)
        return this.#e.publicKey
      case 's':
        return this.#symmetric.encryptAndHash(this.#init.s.publicKey)
      default:
        this.#mixDh(token)
        return new Uint8Array(0)
    }
  }

  #readToken(token: Token, take: (length: number) => Uint8Array): void {
    switch (token) {
      case 'e':
        this.#re = take(KEY_BYTES)
        this.#symmetric.mixHash(this.#re)
        break
      case 's': {
        const rs = this.#symmetric.decryptAndHash(take(KEY_BYTES + (this.#symmetric.hasKey ? TAG_BYTES : 0)))
        if (this.#rs !== undefined && !equalBytes(this.#rs, rs)) {
          throw new NoiseError('decrypt-failed', 'The static key in the message is not the expected one')
        }
        this.#rs = rs
        break
      }
      default:
        this.#mixDh(token)
    }
  }

  /** The first letter names the initiator's key, the second the responder's. */
  #mixDh(token: Exclude<Token, 'e' | 's'>): void {
    const [ours, theirs] = this.#init.initiator ? [token[0], token[1]] : [token[1], token[0]]
    const pair = ours === 'e' ? known(this.#e, 'e') : this.#init.s
    const remote = theirs === 'e' ? known(this.#re, 're') : known(this.#rs, 'rs')
    this.#symmetric.mixKey(this.#init.suite.dh(pair, remote))
  }
}

function known<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`handshake key ${name} is not known at this point of the pattern`)
  return value
}
