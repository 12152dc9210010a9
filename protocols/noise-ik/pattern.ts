/**
 * One token of a Noise message. `e1` and `ekem1` (the hybrid-forward-secrecy tokens) are to be added here and in
 * `HandshakeState`, without touching the flow of messages.
 */
export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss'

/** A handshake pattern: what the initiator knows beforehand and the tokens of each message, initiator's first. */
export interface HandshakePattern {
  readonly name: string
  /** Static keys hashed before the first message, as `<- s`. */
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
