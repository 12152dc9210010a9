/**
 * One token of a Noise message: DH and static keys (revision 34, §5.3), pre-shared key (§9.1), and the ephemeral KEM key and
 * ciphertext of the hybrid-forward-secrecy extension (Noise HFS, revision 1, §4).
 */
export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk' | 'e1' | 'ekem1'

/** A handshake pattern: what both sides know beforehand and the tokens of each message, initiator's first. */
export interface HandshakePattern {
  /** Pattern and modifiers as they stand in the Noise protocol name. */
  readonly name: string
  /** Initiator's static key hashed before the first message, as `-> s`; none when left out. */
  readonly initiatorPreMessage?: readonly 's'[]
  /** Responder's static key hashed after it, as `<- s`. */
  readonly responderPreMessage: readonly 's'[]
  readonly messages: readonly (readonly Token[])[]
}

/** Noise IK: the initiator knows the responder's static key; its own travels encrypted in message 1 (revision 34, §7.5). */
export const IK: HandshakePattern = {
  name: 'IK',
  responderPreMessage: ['s'],
  messages: [
    ['e', 'es', 's', 'ss'],
    ['e', 'ee', 'se'],
  ],
}

/**
 * IK with hybrid forward secrecy. The draft puts `e1` behind the first DH (`e, es, e1, s, ss`); here it comes last, so that the
 * KEM key is read only under a tag that its sender's static key made, and the rest of the message keeps IK's offsets.
 */
export const IKhfs: HandshakePattern = {
  name: 'IKhfs',
  responderPreMessage: ['s'],
  messages: [
    ['e', 'es', 's', 'ss', 'e1'],
    ['e', 'ee', 'ekem1', 'se'],
  ],
}

/** Noise KK with a pre-shared key mixed in first: both static keys and the key are known beforehand (revision 34, §9.4). */
export const KKpsk0: HandshakePattern = {
  name: 'KKpsk0',
  initiatorPreMessage: ['s'],
  responderPreMessage: ['s'],
  messages: [
    ['psk', 'e', 'es', 'ss'],
    ['e', 'ee', 'se'],
  ],
}

/** KKpsk0 with hybrid forward secrecy; modifiers whose order does not matter stand sorted in the name (revision 34, §8). */
export const KKpsk0hfs: HandshakePattern = {
  name: 'KKhfs+psk0',
  initiatorPreMessage: ['s'],
  responderPreMessage: ['s'],
  messages: [
    ['psk', 'e', 'es', 'ss', 'e1'],
    ['e', 'ee', 'ekem1', 'se'],
  ],
}
