import type { ReasonTable } from '../common/errors.ts'

/** Why a message was not taken for a fresh one. */
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
  'too-many-first-messages': {
    summary: 'This peer made more handshakes within the replay window than one peer may.',
    fix: 'Wait four minutes; find out why that member dials in a loop.',
  },
  'message-before-start': {
    summary:
      'The message is dated before the last start of this node (or before its clock was set back), so it could be a recording.',
    fix: 'Nothing to do: the sender tries again. If it goes on, the clock of the sender is behind.',
  },
  'replay-memory-unsaved': {
    summary: 'The memory that tells recordings from fresh messages is not on the disk yet.',
    fix: 'Nothing to do: the sender tries again within seconds. If it goes on, check that the data directory can be written.',
  },
  'message-replayed': {
    summary: 'The same signed message or datagram arrived a second time.',
    fix: 'Nothing to do: it was refused.',
  },
  'message-outdated': {
    summary: 'The signed message or datagram is older than what its receiver still keeps apart.',
    fix: 'Nothing to do if it stays at a few: they were late. Otherwise somebody replays recordings.',
  },
  'message-from-the-future': {
    summary: 'The signed message is dated ahead of this clock by more than the receiver allows.',
    fix: 'Check the clocks of both machines.',
  },
} as const satisfies ReasonTable

/** Code of one of these reasons. */
export type ReplayReason = keyof typeof REPLAY_REASONS
