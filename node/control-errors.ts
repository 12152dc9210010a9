import { KithError, type ReasonTable } from '../protocols/common/errors.ts'

/** Why the node does not do what it was asked for. */
export const CONTROL_REASONS = {
  'no-session': {
    summary: 'There is no open connection to the peer, so there are no keys to rotate.',
    fix: 'Nothing to do: the next connection starts with fresh keys. `kith why PEER` tells why there is none now.',
  },
} as const satisfies ReasonTable

/** A request that cannot be met as things stand. */
export class ControlError extends KithError<keyof typeof CONTROL_REASONS> {}
