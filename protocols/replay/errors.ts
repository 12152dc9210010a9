import type { ReasonTable } from '../common/errors.ts'

/** Why a first handshake message was not answered with a session. */
export const REPLAY_REASONS = {
  'clock-skew': {
    summary: 'The clocks of the two nodes differ by more than two minutes.',
    fix: 'Set the clock of the node that is wrong (timedatectl set-ntp true); the message says by how much it differs.',
  },
  'handshake-replayed': {
    summary: 'The same first handshake message arrived a second time.',
    fix: 'Nothing to do: it was refused. Repeated events mean that somebody records and replays your traffic.',
  },
  'replay-cache-full': {
    summary:
      'Too many handshakes within the replay window; further ones are refused rather than forgetting older ones.',
    fix: 'Wait four minutes; look for a member that dials in a loop.',
  },
} as const satisfies ReasonTable

/** Code of one of these reasons. */
export type ReplayReason = keyof typeof REPLAY_REASONS
