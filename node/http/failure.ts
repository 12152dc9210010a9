import { KithError } from '../../protocols/common/errors.ts'
import type { ReasonTable } from '../../protocols/common/errors.ts'
import type { ErrorBody } from '../api/schemas.ts'
import { HTTP_REASONS, HttpError } from './errors.ts'
import { statusOf } from './status-codes.ts'

/** An error as it is answered. */
export interface Failure {
  readonly status: number
  readonly body: ErrorBody
}

/**
 * What a client is told about an error. A `KithError` speaks for itself; anything else is our mistake: the client learns
 * only that, the caller must log it.
 */
export function failureOf(error: unknown, reasons: ReasonTable): Failure {
  if (!(error instanceof KithError)) {
    const { summary, fix } = HTTP_REASONS.internal
    return { status: 500, body: { error: { code: 'internal', message: summary, fix } } }
  }
  const reason = Object.hasOwn(reasons, error.code) ? reasons[error.code] : undefined
  const field = error instanceof HttpError ? error.field : undefined
  return {
    status: statusOf(error.code),
    body: {
      error: {
        code: error.code,
        message: error.message,
        fix: reason?.fix ?? '',
        ...(field !== undefined && { field }),
      },
    },
  }
}
