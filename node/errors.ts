import { KithError, type ReasonTable } from '../protocols/common/errors.ts'

/** What a node as a whole refuses. */
export const NODE_REASONS = {
  'already-in-mesh': {
    summary: 'This node already belongs to a mesh.',
    fix: 'Use another data directory (--data DIR) for another mesh.',
  },
  'door-only': {
    summary: 'This node was started as a door: it lets others in and does nothing else.',
    fix: 'Do it on another member, or start this one without --door.',
  },
  'not-authorised': {
    summary: 'This node holds no authority to do that.',
    fix: 'Ask on the node that founded the mesh, or on one it made an authority.',
  },
  'revoke-self': {
    summary: 'A node does not revoke itself.',
    fix: 'Revoke it on another authority, or stop it and delete its data directory.',
  },
  'session-keys-dumped': {
    summary: 'The environment asks libraries to write session keys to a file.',
    fix: 'Start without the variable DUMP_SESSION_KEYS.',
  },
} as const satisfies ReasonTable

/** A refusal of the node. */
export class NodeError extends KithError<keyof typeof NODE_REASONS> {}
