import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a multiplexed connection, or one channel of it, was given up. */
export const MUX_REASONS = {
  'mux-frame': {
    summary: 'A frame of the multiplexer breaks its rules.',
    fix: 'Update both nodes to the same version; if it persists, the sender is broken or hostile.',
  },
  'mux-window': {
    summary: 'The other side sent more in a channel than it was allowed to.',
    fix: 'Update both nodes to the same version; if it persists, the sender is broken or hostile.',
  },
  'mux-closed': {
    summary: 'The connection is closed, or closing, so no channel can be opened on it.',
    fix: 'Nothing to do: the nodes reconnect by themselves.',
  },
  'channel-reset': {
    summary: 'The other side gave the channel up.',
    fix: 'Look at the other side: its service closed or failed in the middle.',
  },
  'too-many-channels': {
    summary: 'The limit of open channels on this connection is reached.',
    fix: 'Close some connections; if a program opens them without end, stop it.',
  },
} as const satisfies ReasonTable

/** A connection or channel of the multiplexer that failed. */
export class MuxError extends KithError<keyof typeof MUX_REASONS> {}
