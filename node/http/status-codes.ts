/**
 * Reason code → HTTP status: the only place where the two meet. A `KithError` whose code is missing here is answered
 * with 400, anything that is not a `KithError` with 500 and the code `internal`.
 */
const STATUS: Readonly<Record<string, number>> = {
  // This layer.
  'host-denied': 421,
  'method-not-allowed': 405,
  'origin-denied': 403,
  'auth-required': 401,
  'write-token-missing': 403,
  'permission-denied': 403,
  'socket-only': 403,
  'not-found': 404,
  'input-invalid': 400,
  'body-invalid': 400,
  'body-too-large': 413,
  'login-link-spent': 410,
  'live-full': 503,
  internal: 500,
  // The node behind it.
  'service-unknown': 404,
  'peer-unknown': 404,
  'join-not-pending': 404,
  'authority-unknown': 404,
  'not-authorised': 403,
  'name-taken': 409,
  'no-mesh': 409,
  'no-session': 409,
  'already-in-mesh': 409,
  'revoke-self': 409,
  'root-key-missing': 409,
  'authority-retired': 409,
  'node-name-taken': 409,
  'port-in-use': 409,
  'ui-off': 409,
  'invite-expired': 410,
  'invite-used-up': 410,
  'invite-issuer-unreachable': 503,
}

/** HTTP status of a `KithError` code. */
export function statusOf(code: string): number {
  return STATUS[code] ?? 400
}
