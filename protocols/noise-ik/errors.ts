import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a Noise message or a key was refused. */
export const NOISE_REASONS = {
  'decrypt-failed': {
    summary: 'A handshake message or record does not authenticate under the keys of this session.',
    fix: 'The other side is in another mesh, runs another protocol version, or is not the peer id that was dialled; check the invite or address.',
  },
  'message-length': {
    summary: 'A handshake message is shorter than its pattern needs or longer than the limit.',
    fix: 'Update both nodes to the same version.',
  },
  'low-order-key': {
    summary: 'A public key of small order was offered, which would make the shared secret predictable.',
    fix: 'The other side is broken or hostile; remove the address.',
  },
  'kem-key-invalid': {
    summary:
      'A post-quantum (ML-KEM-768) public key of a wrong length or with a number out of range was offered.',
    fix: 'The other side is broken or hostile; remove the address.',
  },
  'kem-ciphertext-invalid': {
    summary: 'A post-quantum (ML-KEM-768) ciphertext has a wrong length.',
    fix: 'The other side is broken or hostile; remove the address.',
  },
  'identity-key-invalid': {
    summary: 'An Ed25519 identity key is not a canonical point of the prime-order group.',
    fix: 'The peer id is wrong or hostile; ask for a fresh invite or address.',
  },
} as const satisfies ReasonTable

/** A Noise message or key from outside that cannot be accepted. */
export class NoiseError extends KithError<keyof typeof NOISE_REASONS> {}
