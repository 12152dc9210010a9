import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a key rotation failed, or a connection ended over its keys. */
export const ROTATION_REASONS = {
  'rotation-timeout': {
    summary:
      'The other side did not answer a key rotation in time; the current keys stay and it is tried again.',
    fix: 'Nothing to do if it succeeds later; if it persists, the other node is overloaded or the link is full.',
  },
  'rotation-unconfirmed': {
    summary: 'The other side started a key rotation and did not finish it; the current keys stay.',
    fix: 'Nothing to do if it succeeds later; if it persists, the other node is overloaded or the link is full.',
  },
  'rotation-interrupted': {
    summary: 'The connection ended during a key rotation.',
    fix: 'Nothing to do: the connection is dialled again with fresh keys.',
  },
  'rotation-protocol-error': {
    summary: 'A message of the key rotation is malformed, out of place or does not authenticate.',
    fix: 'Update both nodes to the same version; if it persists, the other side is broken or hostile.',
  },
  'rotation-flood': {
    summary: 'The other side asked for new keys too often.',
    fix: 'Update both nodes to the same version; if it persists, the other side is broken or hostile.',
  },
  'rotation-hard-limit': {
    summary:
      'The keys of a connection served as long as they may and could not be rotated, so it was closed.',
    fix: 'Nothing to do: the connection is dialled again with fresh keys. The events before say why rotation failed.',
  },
  'rotation-epoch-limit': {
    summary: 'A connection rotated its keys as often as its records can count.',
    fix: 'Nothing to do: the connection is dialled again with fresh keys.',
  },
} as const satisfies ReasonTable

/** Stable code of a failed rotation. */
export type RotationReason = keyof typeof ROTATION_REASONS

/** A rotation message that cannot be accepted. */
export class RotationError extends KithError<RotationReason> {}
