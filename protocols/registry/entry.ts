import { describeDuration } from '../common/duration.ts'
import { MalformedError } from '../common/errors.ts'
import type { Signer, Verify } from '../common/ports.ts'
import { signedMessage, verifyEd25519 } from '../common/signing.ts'
import {
  checkCredentials,
  type AuthorityCache,
  type Member,
  type Revoked,
} from '../admission/certificates.ts'
import type { Root } from '../admission/root.ts'
import { RegistryError, type RegistryCode } from './errors.ts'
import { LEASE_SECONDS, SKEW_MS, STATEMENT_BYTES_MAX } from './limits.ts'
import {
  leaveFormat,
  registrationFormat,
  statementFormat,
  type Leave,
  type MemberEntry,
  type Registration,
} from './wire.ts'

/** A decoded statement. */
export type Statement =
  | ({ readonly kind: 'registration' } & Registration)
  | ({ readonly kind: 'leave' } & Leave)

/** An entry whose signatures and times held when it was checked. */
export interface VerifiedEntry {
  readonly entry: MemberEntry
  readonly statement: Statement
  readonly member: Member
}

export type EntryChecked =
  | {
      readonly ok: true
      readonly verified: VerifiedEntry
      readonly warning: 'certificate-expired-grace' | null
    }
  | { readonly ok: false; readonly code: RegistryCode; readonly text: string }

/**
 * Signs a registration.
 * @throws RegistryError `registration-too-big` when it does not fit `STATEMENT_BYTES_MAX`.
 */
export function signRegistration(
  registration: Omit<Registration, 'version'>,
  meshId: Uint8Array,
  signer: Signer,
): Uint8Array {
  let body: Uint8Array
  try {
    body = registrationFormat.encode({ ...registration, version: 1 })
  } catch (cause) {
    throw new RegistryError(
      'registration-too-big',
      `the registration breaks a limit (${STATEMENT_BYTES_MAX} bytes)`,
      { cause },
    )
  }
  return statementFormat.encode({ body, signature: signer.sign(signedMessage('registration', meshId, body)) })
}

/** Signs a farewell. */
export function signLeave(leave: Omit<Leave, 'version'>, meshId: Uint8Array, signer: Signer): Uint8Array {
  const body = leaveFormat.encode({ ...leave, version: 1 })
  return statementFormat.encode({ body, signature: signer.sign(signedMessage('leave', meshId, body)) })
}

/** End of a statement's life in ms: a lease, or one lease after a farewell, so that older copies do not come back. */
export function expiresAt(statement: Statement): number {
  const seconds = statement.kind === 'registration' ? statement.leaseSeconds : LEASE_SECONDS
  return statement.issuedAt + seconds * 1000
}

/** What decides whether an entry is believed. */
export interface VerifyEntryInput {
  readonly root: Root
  readonly entry: MemberEntry
  /** ms since the epoch. */
  readonly now: number
  readonly authorityReachable: boolean
  readonly revoked?: Revoked | undefined
  readonly verify?: Verify | undefined
  readonly cache?: AuthorityCache | undefined
}

/** Checks an entry: statement signed by its key for this mesh, in its time, and credentials of that key. Never throws for outside bytes. */
export function verifyEntry(input: VerifyEntryInput): EntryChecked {
  const { entry, root, now } = input
  let signed: { body: Uint8Array; signature: Uint8Array }
  let statement: Statement
  try {
    signed = statementFormat.decode(entry.statement)
    statement = decodeStatement(entry.kind, signed.body)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    return { ok: false, code: 'registration-malformed', text: error.message }
  }
  if (statement.issuedAt > now + SKEW_MS) {
    return {
      ok: false,
      code: 'registration-from-the-future',
      text: `dated ${statement.issuedAt - now} ms ahead`,
    }
  }
  if (expiresAt(statement) + SKEW_MS <= now) {
    return {
      ok: false,
      code: 'registration-expired',
      text: `ended ${describeDuration(now - expiresAt(statement))} ago`,
    }
  }
  const { credentials } = entry
  const checked = checkCredentials({ ...input, credentials, peerKey: statement.key })
  if (!checked.ok) {
    const code = checked.code === 'certificate-wrong-key' ? 'registration-wrong-key' : checked.code
    return { ok: false, code, text: checked.text }
  }
  const verify = input.verify ?? verifyEd25519
  if (!verify(statement.key, signedMessage(entry.kind, root.meshId, signed.body), signed.signature)) {
    return { ok: false, code: 'registration-signature-invalid', text: `statement of ${checked.member.id}` }
  }
  return { ok: true, verified: { entry, statement, member: checked.member }, warning: checked.warning }
}

/** @throws MalformedError */
export function decodeStatement(kind: MemberEntry['kind'], body: Uint8Array): Statement {
  return kind === 'registration'
    ? { kind, ...registrationFormat.decode(body) }
    : { kind, ...leaveFormat.decode(body) }
}
