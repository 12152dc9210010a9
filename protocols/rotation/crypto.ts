import type { Random } from '../common/ports.ts'
import { KKpsk0hfs } from '../noise-ik/pattern.ts'
import { HandshakeState, type HandshakeResult } from '../noise-ik/machine.ts'
import type { Kem } from '../noise-ik/kem.ts'
import type { CipherSuite, KeyPair } from '../noise-ik/suite.ts'
import { wipe } from '../noise-ik/wipe.ts'
import { rotationPrologue } from './wire.ts'

/** What a rotation leaves; all of it secret. */
export interface RotationKeys {
  /** Pre-shared key of the next rotation. */
  readonly root: Uint8Array
  /** 32 bytes, for the records this side sends. Roles are those of the rotation, not of the connection. */
  readonly writeKey: Uint8Array
  /** 32 bytes, for the records this side receives. */
  readonly readKey: Uint8Array
}

/** A rotation this side started: the ephemeral secrets, and the message that was made with them. */
export interface RotationOffer {
  /** Noise message 1. */
  readonly message: Uint8Array
  /** Reads Noise message 2; at most once. @throws KithError when it does not authenticate. */
  finish(message: Uint8Array): RotationKeys
  /** Forgets the ephemeral secrets. */
  drop(): void
}

/** All the machine needs of cryptography; a port, so that it can be explored with symbols instead of keys. */
export interface RotationCrypto {
  /** Nonces and jitter. */
  readonly random: Random
  /** Makes ephemeral keys and Noise message 1 for `epoch`. */
  initiate(root: Uint8Array, epoch: number, nonce: Uint8Array): RotationOffer
  /** Answers Noise message 1. @throws KithError when it does not authenticate or has a bad key. */
  respond(
    root: Uint8Array,
    epoch: number,
    nonce: Uint8Array,
    message: Uint8Array,
  ): { readonly message: Uint8Array; readonly keys: RotationKeys }
  /** Zeroes secrets that are no longer needed. */
  forget(...secrets: readonly Uint8Array[]): void
}

/** What binds rotations to their session. */
export interface RotationCryptoInit {
  readonly suite: CipherSuite
  /** Our static X25519 pair, as in the handshake. */
  readonly s: KeyPair
  /** The other side's static X25519 key, as proved by the handshake. */
  readonly rs: Uint8Array
  /** Handshake hash of the session, 32 bytes. */
  readonly handshakeHash: Uint8Array
  readonly random: Random
  /** ML-KEM-768 unless given. */
  readonly kem?: Kem
}

/** The real port: each rotation is one Noise KKhfs+psk0 handshake with the current root as pre-shared key. */
export function rotationCrypto(init: RotationCryptoInit): RotationCrypto {
  const handshake = (initiator: boolean, root: Uint8Array, epoch: number, nonce: Uint8Array) =>
    new HandshakeState({
      suite: init.suite,
      pattern: KKpsk0hfs,
      initiator,
      prologue: rotationPrologue(init.suite.id, epoch, nonce, init.handshakeHash),
      s: init.s,
      rs: init.rs,
      psk: root,
      ...(init.kem === undefined ? {} : { kem: init.kem }),
      ephemeralSecret: () => init.random.bytes(32),
    })
  const empty = new Uint8Array(0)
  return {
    random: init.random,
    initiate(root, epoch, nonce) {
      const noise = handshake(true, root, epoch, nonce)
      return {
        message: noise.writeMessage(empty),
        finish(message) {
          noise.readMessage(message)
          const { initiatorKey, responderKey, root: next } = noise.finish()
          return { root: next, writeKey: initiatorKey, readKey: responderKey }
        },
        drop: () => noise.wipe(),
      }
    },
    respond(root, epoch, nonce, message) {
      const noise = handshake(false, root, epoch, nonce)
      let answer: Uint8Array
      let result: HandshakeResult
      try {
        noise.readMessage(message)
        answer = noise.writeMessage(empty)
        result = noise.finish()
      } finally {
        noise.wipe()
      }
      return {
        message: answer,
        keys: { root: result.root, writeKey: result.responderKey, readKey: result.initiatorKey },
      }
    },
    forget: wipe,
  }
}
