import { KithError, type ReasonTable } from '../common/errors.ts'
import type { ReplayReason } from '../replay/errors.ts'

/** Why a certificate is not believed. */
export const CERTIFICATE_REASONS = {
  'certificate-malformed': {
    summary: 'The credentials are not a member certificate and its authority certificate.',
    fix: 'Update both nodes to the same version.',
  },
  'certificate-authority-unknown': {
    summary: 'The authority certificate is signed by no root key of this mesh.',
    fix: 'The peer belongs to another mesh, or its authority was never signed by this root.',
  },
  'certificate-signature-invalid': {
    summary: 'A certificate signature does not verify for this mesh.',
    fix: 'The peer belongs to another mesh or its certificate was altered; join it again.',
  },
  'certificate-issuer-mismatch': {
    summary: 'The member certificate names another issuer than the authority certificate beside it.',
    fix: 'Join the node again.',
  },
  'certificate-role-missing': {
    summary: 'The authority that signed the certificate has no right to admit members.',
    fix: 'Let an authority with the role admit sign it.',
  },
  'certificate-outlives-authority': {
    summary: 'The member certificate reaches outside the time of its authority certificate.',
    fix: 'Renew the certificate at an authority.',
  },
  'certificate-wrong-key': {
    summary: 'The certificate was issued to another key than the peer proved to hold.',
    fix: 'A copied certificate is of no use without its key; join this node itself.',
  },
  'certificate-not-yet-valid': {
    summary: 'The certificate begins in the future by this clock.',
    fix: 'Check the clocks of both machines.',
  },
  'certificate-expired': {
    summary: 'The certificate has expired.',
    fix: 'Start the node where it reaches an authority: it renews by itself.',
  },
  'certificate-expired-grace': {
    summary: 'The certificate has expired and is accepted only because no authority can be reached.',
    fix: 'Bring a node with the authority role back online.',
  },
  'certificate-revoked': {
    summary: 'The certificate was revoked.',
    fix: 'Ask an administrator; a revoked node needs a new invite.',
  },
} as const satisfies ReasonTable

/** Why a join fails. */
export const ADMISSION_REASONS = {
  'invite-malformed': {
    summary: 'The text is not a kith invite.',
    fix: 'Copy the whole line that begins with kith://join/.',
  },
  'invite-tampered': {
    summary: 'The invite was altered after its issuer signed it.',
    fix: 'Ask for a new invite.',
  },
  'invite-expired': {
    summary: 'The invite has expired.',
    fix: "Ask for a new invite, or check this machine's clock.",
  },
  'invite-used-up': {
    summary: 'Every use of the invite has been taken.',
    fix: 'Ask for a new invite, or one with more uses.',
  },
  'invite-unknown': {
    summary: 'The issuer does not know this invite.',
    fix: 'Ask for a new invite; the issuer may have been set up anew.',
  },
  'invite-limit': {
    summary: 'The issuer remembers as many invites as it can.',
    fix: 'Wait until old invites expire.',
  },
  'invite-invalid': {
    summary: 'The wanted invite contradicts itself or a limit.',
    fix: 'A named invite has one use; uses, time and roles have limits.',
  },
  'invite-issuer-unreachable': {
    summary: 'The node that made the invite cannot be reached, and only it can redeem it.',
    fix: 'Start the node that made the invite, then try again.',
  },
  'node-name-taken': {
    summary: 'Another member has this node name.',
    fix: 'Choose another name with --name.',
  },
  'name-not-allowed': {
    summary: 'The invite is for another node name.',
    fix: 'Join with the name the invite was made for.',
  },
  'join-request-malformed': {
    summary: 'The join request does not decode or its signatures do not verify.',
    fix: 'Update both nodes to the same version.',
  },
  'join-wrong-key': {
    summary: 'The join request was made for another key than the connection proved.',
    fix: 'Send the request from the node that made it.',
  },
  'join-reply-invalid': {
    summary: "The reply to the join request is not from the invite's issuer or not for this request.",
    fix: 'Try another door; whoever answered could not be believed.',
  },
  'join-not-issuer': {
    summary: 'This node has no right to admit members.',
    fix: 'Make the invite on a node with the authority role.',
  },
  'door-busy': { summary: 'The door is forwarding as many joins as it can.', fix: 'Try again in a moment.' },
  'root-mismatch': {
    summary: 'The root document is not the one the mesh id names.',
    fix: 'Ask for a new invite; do not trust who sent it.',
  },
} as const satisfies ReasonTable

/** Code of a certificate failure. */
export type CertificateCode = keyof typeof CERTIFICATE_REASONS
/** A clock that is off is one reason, in a handshake as in a join. */
const CLOCK_SKEW = 'clock-skew' satisfies ReplayReason

/** Code of any admission failure. */
export type AdmissionCode = CertificateCode | typeof CLOCK_SKEW | keyof typeof ADMISSION_REASONS

/** An expected failure of founding, inviting or joining. */
export class AdmissionError extends KithError<AdmissionCode> {}

/** True when `text` is a code this version knows; codes from newer peers become `join-reply-invalid`. */
export function isAdmissionCode(text: string): text is AdmissionCode {
  return (
    text === CLOCK_SKEW || Object.hasOwn(ADMISSION_REASONS, text) || Object.hasOwn(CERTIFICATE_REASONS, text)
  )
}
