import { KithError } from '../../protocols/common/errors.ts'
import type { ReasonTable } from '../../protocols/common/errors.ts'

/** Reasons the HTTP layer gives by itself. */
export const HTTP_REASONS = {
  'host-denied': {
    summary: 'The request names a host this dashboard does not answer to.',
    fix: 'Open the address that `kith ui` prints; do not use another name or a proxy.',
  },
  'method-not-allowed': { summary: 'This path does not accept the method.', fix: '' },
  'origin-denied': {
    summary: 'The request was made by a page of another site.',
    fix: 'Open the dashboard itself, by the link `kith ui` prints, pasted into the address bar.',
  },
  'auth-required': {
    summary: 'The request carries no valid session.',
    fix: 'Run `kith ui` for a fresh login link.',
  },
  'write-token-missing': {
    summary: 'This tab may look but not change anything: it has no write token.',
    fix: 'Run `kith ui` and open the fresh login link in this tab.',
  },
  'permission-denied': {
    summary: 'The role of this session does not allow the request.',
    fix: 'Ask an admin of this node.',
  },
  'socket-only': {
    summary: 'This request is only answered on the unix socket.',
    fix: 'Use the `kith` command on the machine itself.',
  },
  'not-found': { summary: 'There is nothing at this path.', fix: '' },
  'input-invalid': {
    summary: 'The request does not have the expected shape.',
    fix: 'Correct the named field.',
  },
  'body-invalid': {
    summary: 'The request body is not JSON.',
    fix: 'Send one JSON document with the content type application/json.',
  },
  'body-too-large': { summary: 'The request body is larger than 64 KiB.', fix: 'Send less.' },
  'login-link-spent': {
    summary: 'The login link has been used, has expired or never existed.',
    fix: 'Run `kith ui` for a fresh one.',
  },
  'live-full': { summary: 'Too many connections to the dashboard are open.', fix: 'Close some tabs.' },
  'socket-in-use': {
    summary: 'Another node answers on the unix socket of this data directory.',
    fix: 'Stop that node, or use another directory with --data.',
  },
  'socket-path-too-long': {
    summary: 'The path of the unix socket is longer than the system allows.',
    fix: 'Use a data directory with a shorter path.',
  },
  'ui-off': { summary: 'The dashboard is not running.', fix: 'Start the node without --no-ui.' },
  internal: {
    summary: 'The node made a mistake; its log has the details.',
    fix: 'Look into the log of the node and report it with `kith bugreport`.',
  },
} as const satisfies ReasonTable

/** A refusal or failure of the HTTP layer. */
export class HttpError extends KithError<keyof typeof HTTP_REASONS> {
  /** Path of the offending input field, such as `name` or `allow.0`. */
  readonly field: string | undefined

  constructor(
    code: keyof typeof HTTP_REASONS,
    message?: string,
    options?: { cause?: unknown; field?: string },
  ) {
    super(code, message ?? HTTP_REASONS[code].summary, options)
    this.field = options?.field
  }
}
