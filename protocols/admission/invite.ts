import { describeDuration } from '../common/duration.ts'
import { equalBytes, utf8 } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import type { Signer } from '../common/ports.ts'
import { ed25519Signer, signedMessage, verifyEd25519 } from '../common/signing.ts'
import { AdmissionError } from './errors.ts'
import { INVITE_BYTES_MAX, INVITE_TEXT_MAX } from './limits.ts'
import { inviteBodyFormat, inviteFormat, type InviteBody } from './wire.ts'

/** Text every invite begins with. */
export const INVITE_PREFIX = 'kith://join/'

/** An invite as its holder has it. The seed is a bearer secret: never log it. */
export interface Invite {
  readonly body: InviteBody
  /** 32-byte Ed25519 seed of the one-time key. */
  readonly seed: Uint8Array
}

/**
 * Signs an invite; `issuerSigner` is an admit authority, `seed` 32 random bytes. Roles and tags are put in order. Addresses that
 * do not fit are left out, last first.
 */
export function makeInvite(
  input: Omit<InviteBody, 'version' | 'oneTimeKey' | 'issuer'> & { issuerSigner: Signer; seed: Uint8Array },
): { text: string; invite: Invite } {
  const { issuerSigner, seed, ...rest } = input
  const withoutAddresses: InviteBody = {
    ...rest,
    bootstrap: [],
    roles: [...rest.roles].sort(),
    tags: [...rest.tags].sort(),
    version: 1,
    issuer: issuerSigner.publicKey,
    oneTimeKey: ed25519Signer(seed).publicKey,
  }
  const roomBytes = INVITE_BYTES_MAX - inviteBodyFormat.encode(withoutAddresses).length
  const body = { ...withoutAddresses, bootstrap: fitting(rest.bootstrap, roomBytes) }
  const bodyBytes = inviteBodyFormat.encode(body)
  const signature = issuerSigner.sign(signedMessage('invite', body.meshId, bodyBytes))
  const text =
    INVITE_PREFIX +
    Buffer.from(inviteFormat.encode({ body: bodyBytes, seed, signature })).toString('base64url')
  return { text, invite: { body, seed } }
}

/** The first of `addresses` that fit; each takes up to three bytes more than its text. */
function fitting(addresses: readonly string[], roomBytes: number): string[] {
  let usedBytes = 0
  const tooMany = addresses.findIndex((address) => (usedBytes += utf8(address).length + 3) > roomBytes)
  return addresses.slice(0, tooMany < 0 ? addresses.length : tooMany)
}

/**
 * Reads an invite and checks all that its holder can: form, the issuer's signature, that the secret belongs to it, time.
 * Whether the issuer is an authority shows in the reply, whose root document must hash to the mesh id in the invite.
 * @throws AdmissionError `invite-malformed`, `invite-tampered`, `invite-expired`.
 */
export function readInvite(text: string, now: number): Invite {
  const invite = parseInvite(text)
  if (invite.body.expires <= now) {
    throw new AdmissionError(
      'invite-expired',
      `the invite expired ${describeDuration(now - invite.body.expires)} ago by this clock`,
    )
  }
  return invite
}

/** The bytes inside an invite of either kind. @throws AdmissionError `invite-malformed`. */
export function inviteBytes(text: string): Uint8Array {
  const trimmed = text.trim()
  if (!trimmed.startsWith(INVITE_PREFIX) || trimmed.length > INVITE_TEXT_MAX) {
    throw new AdmissionError(
      'invite-malformed',
      `"${trimmed.slice(0, 24)}…" does not begin with ${INVITE_PREFIX} or is too long`,
    )
  }
  const encoded = trimmed.slice(INVITE_PREFIX.length)
  const bytes = Buffer.from(encoded, 'base64url')
  // Buffer skips what it does not know; comparing again leaves one spelling only.
  if (bytes.toString('base64url') !== encoded)
    throw new AdmissionError('invite-malformed', 'the invite is not base64url')
  return Uint8Array.from(bytes)
}

function parseInvite(text: string): Invite {
  const bytes = inviteBytes(text)
  let parsed: { body: Uint8Array; seed: Uint8Array; signature: Uint8Array }
  let body: InviteBody
  try {
    parsed = inviteFormat.decode(bytes)
    body = inviteBodyFormat.decode(parsed.body)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new AdmissionError('invite-malformed', 'the invite does not decode', { cause })
  }
  if (!verifyEd25519(body.issuer, signedMessage('invite', body.meshId, parsed.body), parsed.signature)) {
    throw new AdmissionError('invite-tampered', "the issuer's signature does not cover what the invite says")
  }
  if (!equalBytes(ed25519Signer(parsed.seed).publicKey, body.oneTimeKey)) {
    throw new AdmissionError('invite-tampered', 'the secret in the invite is not the one its issuer signed')
  }
  return { body, seed: parsed.seed }
}
