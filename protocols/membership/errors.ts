import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a link closes or a node falls silent. */
export const MEMBERSHIP_REASONS = {
  'frame-malformed': {
    summary: 'A neighbour sent a membership frame that does not decode.',
    fix: 'Update both nodes to the same version.',
  },
  'hello-missing': {
    summary: 'A neighbour did not introduce itself first.',
    fix: 'Update both nodes to the same version.',
  },
  'hello-wrong-key': {
    summary: 'A neighbour introduced itself as another member than its connection proved.',
    fix: 'Treat the peer as hostile.',
  },
  'probe-timeout': {
    summary: 'A neighbour left every probe unanswered for ten seconds.',
    fix: 'Check its machine and its network.',
  },
  revoked: {
    summary: 'The peer was revoked: its certificate is believed no longer.',
    fix: 'None needed; who was revoked by mistake needs a new invite.',
  },
  'accuser-refuted': {
    summary:
      'A member accused others who were alive, alone and five times in ten minutes; it is not believed for an hour.',
    fix: 'Check its network; if that is good, treat the peer as hostile.',
  },
  'link-limit': {
    summary: 'This node has as many neighbours as it keeps.',
    fix: 'None needed: the peer links to others.',
  },
  'send-queue-full': {
    summary: 'A neighbour reads slower than it is sent to.',
    fix: 'Check its load and its network.',
  },
  'identity-cloned': {
    summary: "Another process announces itself with this node's identity.",
    fix: 'Stop the copy; revoke the identity and join one of the two anew.',
  },
  'incarnation-adopted': {
    summary: 'A neighbour knew a newer record of this node than its own disk.',
    fix: 'None needed after a restored backup; otherwise check the disk.',
  },
  'clock-apart': {
    summary: 'The clocks of two neighbours differ by more than two minutes.',
    fix: 'Set the clocks.',
  },
  'foreign-identity': {
    summary: "The stored credentials are not of this node's key.",
    fix: 'Restore the key that belongs to the data directory, or join anew.',
  },
} as const satisfies ReasonTable

/** Code of a membership failure. */
export type MembershipCode = keyof typeof MEMBERSHIP_REASONS
/** An expected failure of membership. */
export class MembershipError extends KithError<MembershipCode> {}
