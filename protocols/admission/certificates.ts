import { describeDuration } from '../common/duration.ts'
import { equalBytes, toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import type { Hash, Signer, Verify } from '../common/ports.ts'
import { sha256, signedMessage, verifyEd25519 } from '../common/signing.ts'
import type { CertificateCode } from './errors.ts'
import {
  AUTHORITY_LIFETIME_MS,
  CLOCK_TOLERANCE_MS,
  GRACE_MS,
  MEMBER_LIFETIME_MS,
  VERIFIED_AUTHORITIES_MAX,
} from './limits.ts'
import type { Root } from './root.ts'
import {
  authorityBodyFormat,
  authorityFormat,
  credentialsFormat,
  memberBodyFormat,
  memberFormat,
  type AuthorityBody,
  type AuthorityRole,
  type MemberBody,
  type MemberRole,
} from './wire.ts'

/** What a verified pair of certificates says about a member. */
export interface Member {
  /** Peer id text. */
  readonly id: string
  readonly key: Uint8Array
  readonly name: string
  readonly roles: readonly MemberRole[]
  readonly tags: readonly string[]
  /** Chosen by the issuer; places that must not be ground (observer positions) hash it in. */
  readonly nonce: Uint8Array
  readonly serial: Uint8Array
  readonly notBefore: number
  readonly notAfter: number
  readonly issuer: Uint8Array
  /** Roles of the issuing authority and its X.509 intermediate. */
  readonly authority: AuthorityBody
}

/** Outcome of a check; `warning` is set when the grace rule was needed. */
export type Checked =
  | { readonly ok: true; readonly member: Member; readonly warning: 'certificate-expired-grace' | null }
  | { readonly ok: false; readonly code: CertificateCode; readonly text: string }

/** Signs an authority certificate with a root key. `random` are 16 bytes for the serial; times in ms. */
export function issueAuthority(input: {
  root: Root
  rootSigner: Signer
  subject: Uint8Array
  roles: readonly AuthorityRole[]
  x509Intermediate: Uint8Array | null
  serial: Uint8Array
  now: number
  lifetimeMs?: number
}): Uint8Array {
  const body = authorityBodyFormat.encode({
    version: 1,
    serial: input.serial,
    subject: input.subject,
    roles: [...input.roles].sort(),
    notBefore: input.now,
    notAfter: input.now + (input.lifetimeMs ?? AUTHORITY_LIFETIME_MS),
    issuer: input.rootSigner.publicKey,
    x509Intermediate: input.x509Intermediate,
  })
  const message = signedMessage('authorityCertificate', input.root.meshId, body)
  return authorityFormat.encode({ body, signature: input.rootSigner.sign(message) })
}

/**
 * Signs a member certificate and returns the credentials: it and its authority certificate. Deterministic (RFC 8032), so
 * issuing again from the same remembered input gives the same bytes. The end is cut to the authority's own.
 */
export function issueMember(input: {
  meshId: Uint8Array
  authoritySigner: Signer
  authorityCertificate: Uint8Array
  subject: Uint8Array
  name: string
  roles: readonly MemberRole[]
  tags: readonly string[]
  serial: Uint8Array
  nonce: Uint8Array
  now: number
  lifetimeMs?: number
}): Uint8Array {
  const authority = authorityBodyFormat.decode(authorityFormat.decode(input.authorityCertificate).body)
  const body = memberBodyFormat.encode({
    version: 1,
    serial: input.serial,
    subject: input.subject,
    name: input.name,
    roles: [...input.roles].sort(),
    tags: [...input.tags].sort(),
    nonce: input.nonce,
    notBefore: input.now,
    notAfter: Math.min(input.now + (input.lifetimeMs ?? MEMBER_LIFETIME_MS), authority.notAfter),
    issuer: input.authoritySigner.publicKey,
  })
  const message = signedMessage('memberCertificate', input.meshId, body)
  const member = memberFormat.encode({ body, signature: input.authoritySigner.sign(message) })
  return credentialsFormat.encode({ member, authority: input.authorityCertificate })
}

/** What an authority certificate says when a root key of this mesh signed it; null otherwise, be it of another mesh or nonsense. */
export function verifyAuthority(root: Root, certificate: Uint8Array): AuthorityBody | null {
  try {
    const { body, signature } = authorityFormat.decode(certificate)
    const authority = authorityBodyFormat.decode(body)
    const isRootKey = root.document.rootKeys.some((key) => equalBytes(key, authority.issuer))
    const message = signedMessage('authorityCertificate', root.meshId, body)
    return isRootKey && verifyEd25519(authority.issuer, message, signature) ? authority : null
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
}

/** True for a certificate that was revoked: by its key, its serial, or because its issuer was cut before `notBefore` (ms). */
export type Revoked = (member: {
  readonly key: Uint8Array
  readonly serial: Uint8Array
  readonly issuer: Uint8Array
  readonly notBefore: number
}) => boolean

/** What decides whether credentials are believed. */
export interface CheckInput {
  readonly root: Root
  readonly credentials: Uint8Array
  /** The key the peer proved to hold; 32 bytes. */
  readonly peerKey: Uint8Array
  /** ms since the epoch. */
  readonly now: number
  /** False while no admit authority can be reached: certificates expired less than 30 days ago then pass with a warning. */
  readonly authorityReachable: boolean
  /** True for a revoked key or serial; the revocation set comes in by this door. */
  readonly revoked?: Revoked | undefined
  readonly verify?: Verify | undefined
  /** Remembers verified authority certificates; share one per mesh. */
  readonly cache?: AuthorityCache | undefined
}

/** Digests of authority certificates whose signature verified, oldest forgotten first. */
export class AuthorityCache {
  readonly #verified: Set<string>
  readonly #hash: Hash

  /** @param digests what another cache held, oldest first. */
  constructor(hash: Hash = sha256, digests: readonly string[] = []) {
    this.#hash = hash
    this.#verified = new Set(digests)
  }

  /** What is held, oldest first: lower-case hexadecimal. */
  digests(): string[] {
    return [...this.#verified]
  }

  /** True when `check` held before or holds now for this certificate in this mesh. */
  verified(meshId: Uint8Array, certificate: Uint8Array, check: () => boolean): boolean {
    const digest = toHex(this.#hash(meshId, certificate))
    if (this.#verified.has(digest)) return true
    if (!check()) return false
    if (this.#verified.size >= VERIFIED_AUTHORITIES_MAX) {
      for (const oldest of this.#verified) {
        this.#verified.delete(oldest)
        break
      }
    }
    this.#verified.add(digest)
    return true
  }
}

const refuse = (code: CertificateCode, text: string): Checked => ({ ok: false, code, text })

/**
 * Checks a peer's credentials: root signed the authority, the authority may admit and signed the member, the member is this
 * very peer, and now lies in its time. Never throws for what a peer sent.
 */
export function checkCredentials(input: CheckInput): Checked {
  let parsed: Parsed
  try {
    parsed = parse(input.credentials)
  } catch (error) {
    if (error instanceof MalformedError) return refuse('certificate-malformed', error.message)
    throw error
  }
  return checkSignatures(parsed, input) ?? checkSubjectAndTime(parsed, input)
}

interface Parsed {
  readonly authorityBytes: Uint8Array
  readonly authoritySigned: { body: Uint8Array; signature: Uint8Array }
  readonly authority: AuthorityBody
  readonly memberSigned: { body: Uint8Array; signature: Uint8Array }
  readonly member: MemberBody
}

function parse(credentials: Uint8Array): Parsed {
  const pair = credentialsFormat.decode(credentials)
  const authoritySigned = authorityFormat.decode(pair.authority)
  const memberSigned = memberFormat.decode(pair.member)
  return {
    authorityBytes: pair.authority,
    authoritySigned,
    authority: authorityBodyFormat.decode(authoritySigned.body),
    memberSigned,
    member: memberBodyFormat.decode(memberSigned.body),
  }
}

function checkSignatures(parsed: Parsed, input: CheckInput): Checked | null {
  const { authority, member } = parsed
  const { meshId, document } = input.root
  const verify = input.verify ?? verifyEd25519
  if (!document.rootKeys.some((key) => equalBytes(key, authority.issuer))) {
    return refuse(
      'certificate-authority-unknown',
      `authority certificate issued by ${toHex(authority.issuer)}, no root key`,
    )
  }
  const checkAuthority = () => {
    const message = signedMessage('authorityCertificate', meshId, parsed.authoritySigned.body)
    return verify(authority.issuer, message, parsed.authoritySigned.signature)
  }
  const authorityVerified =
    input.cache?.verified(meshId, parsed.authorityBytes, checkAuthority) ?? checkAuthority()
  if (!authorityVerified)
    return refuse('certificate-signature-invalid', 'signature of the authority certificate')
  if (!equalBytes(member.issuer, authority.subject)) {
    return refuse(
      'certificate-issuer-mismatch',
      `issued by ${toHex(member.issuer)}, authority is ${toHex(authority.subject)}`,
    )
  }
  const message = signedMessage('memberCertificate', meshId, parsed.memberSigned.body)
  if (!verify(authority.subject, message, parsed.memberSigned.signature)) {
    return refuse('certificate-signature-invalid', 'signature of the member certificate')
  }
  if (!authority.roles.includes('admit')) {
    return refuse('certificate-role-missing', `authority has roles ${authority.roles.join(', ')}`)
  }
  return null
}

function checkSubjectAndTime({ member, authority }: Parsed, input: CheckInput): Checked {
  const { now, peerKey } = input
  if (!equalBytes(member.subject, peerKey)) {
    return refuse('certificate-wrong-key', `issued to ${toHex(member.subject)}, peer is ${toHex(peerKey)}`)
  }
  if (member.notAfter > authority.notAfter || member.notBefore < authority.notBefore) {
    return refuse(
      'certificate-outlives-authority',
      `${member.notBefore}–${member.notAfter} outside the authority's time`,
    )
  }
  const { subject, serial: ownSerial, issuer: issuedBy, notBefore: begins } = member
  if (input.revoked?.({ key: subject, serial: ownSerial, issuer: issuedBy, notBefore: begins }) === true) {
    return refuse('certificate-revoked', `serial ${toHex(member.serial)}`)
  }
  if (now < member.notBefore - CLOCK_TOLERANCE_MS) {
    return refuse(
      'certificate-not-yet-valid',
      `the certificate begins ${describeDuration(member.notBefore - now)} from now`,
    )
  }
  const expiredMs = now - member.notAfter
  if (expiredMs > 0 && (input.authorityReachable || expiredMs > GRACE_MS)) {
    return refuse('certificate-expired', `the certificate expired ${describeDuration(expiredMs)} ago`)
  }
  const { subject: key, name, roles, tags, nonce, serial, notBefore, notAfter, issuer } = member
  return {
    ok: true,
    member: {
      id: peerIdFromKey(key),
      key,
      name,
      roles,
      tags,
      nonce,
      serial,
      notBefore,
      notAfter,
      issuer,
      authority,
    },
    warning: expiredMs > 0 ? 'certificate-expired-grace' : null,
  }
}
