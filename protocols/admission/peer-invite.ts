import { MalformedError } from '../common/errors.ts'
import type { Signer } from '../common/ports.ts'
import { signedMessage, verifyEd25519 } from '../common/signing.ts'
import { checkCredentials, type Member } from './certificates.ts'
import { AdmissionError } from './errors.ts'
import { INVITE_PREFIX, inviteBytes, readInvite } from './invite.ts'
import { INVITE_BYTES_MAX, INVITE_TEXT_MAX } from './limits.ts'
import { readRoot, type Root } from './root.ts'
import {
  credentialsFormat,
  memberBodyFormat,
  memberFormat,
  peerInviteBodyFormat,
  peerInviteFormat,
  type MemberBody,
  type Reach,
} from './wire.ts'

/** An invite for one known peer: the certificate is in it, so nobody need be asked. It is no secret. */
export interface PeerInvite {
  readonly root: Root
  readonly credentials: Uint8Array
  readonly bootstrap: readonly string[]
  /** What the certificate inside says; checked by `acceptPeerInvite` only. */
  readonly member: MemberBody
}

/**
 * Signs an invite around `credentials`. Addresses that do not fit are left out, last first.
 * @throws AdmissionError `invite-invalid` when not even one address fits.
 */
export function makePeerInvite(input: {
  root: Root
  issuerSigner: Signer
  credentials: Uint8Array
  bootstrap: readonly string[]
  reach: Reach
}): { text: string; expires: number } {
  const { root, credentials, reach, issuerSigner } = input
  for (let count = input.bootstrap.length; count > 0; count--) {
    const value = {
      version: 1 as const,
      root: root.bytes,
      credentials,
      bootstrap: input.bootstrap.slice(0, count),
      reach,
    }
    // Far below the limit unless addresses are long: tried, since only encoding tells.
    const size = root.bytes.length + credentials.length + value.bootstrap.join('').length + 3 * count + 64
    if (size > INVITE_BYTES_MAX) continue
    const body = peerInviteBodyFormat.encode(value)
    const signature = issuerSigner.sign(signedMessage('peerInvite', root.meshId, body))
    const text =
      INVITE_PREFIX + Buffer.from(peerInviteFormat.encode({ body, signature })).toString('base64url')
    if (text.length <= INVITE_TEXT_MAX) return { text, expires: bodyOf(credentials).notAfter }
  }
  throw new AdmissionError('invite-invalid', 'the invite has no room for an address of this node')
}

/** Reads an invite of this kind; null when it is of the other. @throws AdmissionError `invite-malformed`, `invite-tampered`. */
export function readPeerInvite(text: string): PeerInvite | null {
  const bytes = inviteBytes(text)
  let signed: { body: Uint8Array; signature: Uint8Array }
  try {
    signed = peerInviteFormat.decode(bytes)
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
  try {
    const { root: rootBytes, credentials, bootstrap } = peerInviteBodyFormat.decode(signed.body)
    const root = readRoot(rootBytes)
    const member = bodyOf(credentials)
    if (
      !verifyEd25519(member.issuer, signedMessage('peerInvite', root.meshId, signed.body), signed.signature)
    )
      throw new AdmissionError(
        'invite-tampered',
        "the issuer's signature does not cover what the invite says",
      )
    return { root, credentials, bootstrap, member }
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new AdmissionError('invite-malformed', 'the invite does not decode', { cause })
  }
}

/**
 * Takes the certificate out of an invite, as the node with `key`.
 * @throws AdmissionError `invite-wrong-peer`, `invite-expired` or a certificate code.
 */
export function acceptPeerInvite(invite: PeerInvite, key: Uint8Array, now: number): Member {
  const { root, credentials, member } = invite
  if (member.notAfter <= now)
    throw new AdmissionError('invite-expired', 'the certificate in the invite ended')
  const checked = checkCredentials({ root, credentials, peerKey: key, now, authorityReachable: true })
  if (checked.ok) return checked.member
  const code = checked.code === 'certificate-wrong-key' ? 'invite-wrong-peer' : checked.code
  throw new AdmissionError(code, checked.text)
}

/** The mesh an invite of either kind leads into. @throws AdmissionError */
export function meshIdOfInvite(text: string, now: number): Uint8Array {
  return readPeerInvite(text)?.root.meshId ?? readInvite(text, now).body.meshId
}

function bodyOf(credentials: Uint8Array): MemberBody {
  return memberBodyFormat.decode(memberFormat.decode(credentialsFormat.decode(credentials).member).body)
}
