import { KithError, type ReasonTable } from '../../protocols/common/errors.ts'

/** What can go wrong with a report. */
export const DIAGNOSTICS_REASONS = {
  'report-unwritable': {
    summary: 'The report could not be written: its file is there already, or the folder does not take it.',
    fix: 'Name another file: `kith bugreport FILE`.',
  },
} as const satisfies ReasonTable

/** A report that cannot be made. */
export class DiagnosticsError extends KithError<keyof typeof DIAGNOSTICS_REASONS> {}
