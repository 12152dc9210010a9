import type { Clock, Random } from '../common/ports.ts'
import { ed25519Signer } from '../common/signing.ts'
import { identityKeyConverter, x25519SecretFromSeed } from '../noise-ik/identity-key.ts'
import { AESGCM, SUITES } from '../noise-ik/suite.ts'
import type { Party } from './machine.ts'
import type { Purpose } from './wire.ts'

/** What every channel of a node needs. */
export interface IdentityInit {
  /** 32 bytes. */
  readonly meshId: Uint8Array
  /** 32-byte Ed25519 seed of this node. */
  readonly seed: Uint8Array
  readonly clock: Clock
  readonly random: Random
}

/** Derives the keys of a party once; cheap to share between handshakes. */
export function createParty(init: IdentityInit, purpose: Purpose): Party {
  return {
    purpose,
    meshId: init.meshId,
    publicKey: ed25519Signer(init.seed).publicKey,
    s: AESGCM.keyPair(x25519SecretFromSeed(init.seed)), // the same curve in both suites
    convert: identityKeyConverter(),
    suites: SUITES,
    clock: init.clock,
    random: init.random,
  }
}
