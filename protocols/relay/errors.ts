import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a relay does not carry something. */
export const RELAY_REASONS = {
  'relay-off': {
    summary: 'The member was started with `--no-relay` and carries nothing for others.',
    fix: 'None needed: other relays are used.',
  },
  'relay-full': {
    summary: 'The relay has as many reservations or circuits as it can carry.',
    fix: 'None needed: other relays are used. If it persists, let more members that can be dialled relay.',
  },
  'relay-quota': {
    summary: 'The two members have as many circuits through this relay as one pair may have.',
    fix: 'None needed; if it persists, a program opens connections without end.',
  },
  'relay-flood': {
    summary: 'The member asks this relay for connections or reservations too often.',
    fix: 'If it persists, that member is broken or hostile.',
  },
  'relay-nested': {
    summary: 'A connection that goes through a relay itself was to be carried on by another one.',
    fix: 'None needed: a relay is asked over a direct connection.',
  },
  'relay-target-away': {
    summary: 'The relay has no direct connection to the other member and could not make one.',
    fix: 'See whether the other node is online.',
  },
  'relay-target-refused': {
    summary: 'The other member did not take the relayed connection.',
    fix: 'See the event log of the other node.',
  },
  'relay-timeout': {
    summary: 'The relay, or the other member behind it, did not answer in time.',
    fix: 'None needed: other relays are tried.',
  },
  'relay-lost': {
    summary: 'The connection to the relay ended.',
    fix: 'None needed: another relay takes over.',
  },
  'relay-malformed': {
    summary: 'Something else than the relay protocol was spoken in a channel of it.',
    fix: 'Update both nodes to the same version; if it persists, the other side is broken or hostile.',
  },
  'relay-none': {
    summary: 'No relay leads to the other member.',
    fix: 'Let a member that can be dialled from the internet run in the mesh.',
  },
} as const satisfies ReasonTable

/** A code of `RELAY_REASONS`. */
export type RelayCode = keyof typeof RELAY_REASONS

/** What a relay, or the way through it, failed with. */
export class RelayError extends KithError<RelayCode> {}

/** Whether a code from the wire is one of ours; a newer peer may send others. */
export function isRelayCode(code: string): code is RelayCode {
  return Object.hasOwn(RELAY_REASONS, code)
}
