import { KithError, type ReasonTable } from '../../protocols/common/errors.ts'

/** What can be wrong with the data directory. */
export const STORAGE_REASONS = {
  'data-locked': {
    summary: 'Another running node uses this data directory.',
    fix: 'Stop that node, or give this one its own directory with --data DIR.',
  },
  'data-unusable': {
    summary: 'The data directory cannot be created or written.',
    fix: 'Check the path, its permissions and the free space.',
  },
  'store-corrupt': {
    summary: 'The database in the data directory is damaged.',
    fix: 'Restore the directory from a backup; nothing was changed.',
  },
  'identity-corrupt': {
    summary: 'The identity file does not hold an Ed25519 private key.',
    fix: 'Restore identity.key from a backup; nothing was overwritten.',
  },
  'identity-missing': {
    summary: 'The data directory belongs to a member but its identity file is gone.',
    fix: 'Restore identity.key from a backup, or start over with a new directory and a new invite.',
  },
} as const satisfies ReasonTable

/** A data directory that cannot be used as it is. */
export class StorageError extends KithError<keyof typeof STORAGE_REASONS> {}
