import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a stream of records was given up. Each is fatal to the connection: on an ordered stream none of them can be an accident. */
export const RECORD_REASONS = {
  'record-type': { summary: 'A record has an unknown type.', fix: 'Update both nodes to the same version.' },
  'record-length': {
    summary: 'A record is shorter than its tag or longer than the limit.',
    fix: 'Update both nodes to the same version; if it persists, the sender is broken or hostile.',
  },
  'record-epoch': {
    summary: 'A record belongs to another key epoch than the current one.',
    fix: 'Nothing to do: the connection is dialled again with fresh keys.',
  },
  'record-counter': {
    summary: 'A record was repeated, dropped or reordered on the way.',
    fix: 'Something on the path changes traffic; look at the network in between.',
  },
  'record-tag': {
    summary: 'A record was changed on the way.',
    fix: 'Something on the path changes traffic; look at the network in between.',
  },
  'record-order': {
    summary: 'A record of this type is not allowed at this point of the session.',
    fix: 'Update both nodes to the same version; if it persists, the sender is broken or hostile.',
  },
} as const satisfies ReasonTable

/** The record stream is broken; the connection must be aborted. */
export class RecordError extends KithError<keyof typeof RECORD_REASONS> {}
