import { KithError, type ReasonTable } from '../../protocols/common/errors.ts'

/** Why a configuration is refused. */
export const CONFIG_REASONS = {
  'config-unreadable': {
    summary: 'The configuration file cannot be read.',
    fix: 'Check the path and its permissions.',
  },
  'config-syntax': {
    summary: 'The configuration file is not valid TOML.',
    fix: 'Correct the line named in the message.',
  },
  'config-unknown-key': {
    summary: 'The configuration has a key Kith does not know.',
    fix: 'Remove the key or correct its spelling; `kith config get` lists all keys.',
  },
  'config-invalid': {
    summary: 'A configured value is not allowed.',
    fix: 'Correct the value; the message says what is expected.',
  },
} as const satisfies ReasonTable

/** A configuration that must not be used. */
export class ConfigError extends KithError<keyof typeof CONFIG_REASONS> {}
