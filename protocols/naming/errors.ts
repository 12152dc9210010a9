import { KithError, type ReasonTable } from '../common/errors.ts'

/** Why a name cannot be used. */
export const NAMING_REASONS = {
  'name-reserved': { summary: 'The name has a fixed meaning in every mesh.', fix: 'Choose another name.' },
  'name-invalid': {
    summary: 'The name is not a lower-case DNS label.',
    fix: 'Use letters, digits and hyphens, at most 63, such as "wiki".',
  },
  'name-taken': {
    summary: 'Another member already publishes this name.',
    fix: 'Choose another name, or unpublish it there first.',
  },
} as const satisfies ReasonTable

/** A name that must not be published. */
export class NamingError extends KithError<keyof typeof NAMING_REASONS> {}
