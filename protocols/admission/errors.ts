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
    fix: 'Ask an administrator. A revoked node comes back only under a new identity: another data directory and a new invite.',
  },
} as const satisfies ReasonTable

/** Why a revocation is not believed or not kept. */
export const REVOCATION_REASONS = {
  'revocation-malformed': {
    summary: 'The bytes are not a revocation.',
    fix: 'Update both nodes to the same version.',
  },
  'revocation-authority-unknown': {
    summary: 'The revocation is signed by no root key and by no authority of this mesh.',
    fix: 'Let an authority with the role revoke sign it; an authority itself is cut with the root key.',
  },
  'revocation-signature-invalid': {
    summary: 'A signature in the revocation does not verify for this mesh.',
    fix: 'Nothing: whoever sent it is broken or hostile.',
  },
  'revocation-role-missing': {
    summary: 'The authority that signed the revocation has no right to revoke.',
    fix: 'Revoke on a node with the authority role revoke.',
  },
  'revocation-out-of-time': {
    summary:
      'The revocation was signed outside the time of its authority certificate, or in the future by this clock.',
    fix: 'Check the clocks of both machines.',
  },
  'revocation-ended': {
    summary: 'Everything the revocation cut has expired.',
    fix: '',
  },
  'revocation-void': {
    summary: 'The authority that signed the revocation was itself cut by the root key.',
    fix: 'Where the revocation was right, let another authority make it again.',
  },
  'revocation-limit': {
    summary: 'As many revocations are remembered as there is room for, so this one is not kept.',
    fix: 'Find the authority that revokes so many, and cut it with the root key.',
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
  'invite-wrong-peer': {
    summary: 'The invite was made for another machine.',
    fix: 'Ask for an invite with `--peer` and the id that `kith status` shows here, or for an open one.',
  },
  'invite-unknown': {
    summary: 'The issuer does not know this invite.',
    fix: 'Ask for a new invite; the issuer may have been set up anew.',
  },
  'invite-limit': {
    summary: 'The issuer remembers as many invites as it can.',
    fix: 'Wait until old invites expire.',
  },
  'join-pending': {
    summary: 'The join waits until it is approved on the node that made the invite.',
    fix: 'On the node that made the invite: `kith approve NODE`. The join goes on by itself then.',
  },
  'join-denied': {
    summary: 'The join was not approved.',
    fix: 'Ask whoever made the invite.',
  },
  'join-not-pending': {
    summary: 'No join of that node waits for approval here.',
    fix: '`kith members` lists who waits; approve on the node that made the invite, while the joiner asks.',
  },
  'approval-limit': {
    summary: 'As many joins wait for approval as there is room for.',
    fix: 'Approve or deny some: `kith members` lists them.',
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
  'root-key-wrong': {
    summary: 'The key is none of the root keys of this mesh.',
    fix: 'Use the file that `kith root export` wrote for this mesh.',
  },
  'root-key-missing': {
    summary: 'The root key of the mesh is not on this machine.',
    fix: 'Write a request with --request FILE, sign it where the root key is (`kith root sign`), bring it back with --signed FILE.',
  },
  'root-file-unreadable': {
    summary: 'The file is no exported root key, or the passphrase does not open it.',
    fix: 'Use the file that `kith root export` wrote, and its passphrase.',
  },
  'root-file-unwritable': {
    summary: 'The file could not be written; nothing was moved.',
    fix: 'Name a file that does not exist yet, in a folder that can be written.',
  },
  'ceremony-malformed': {
    summary: 'The file is no request for the root key and no answer to one.',
    fix: 'Carry the whole file that `kith authority add --request` or `kith root sign` wrote.',
  },
  'authority-retired': {
    summary: 'That key was cut as an authority, and cannot become one again.',
    fix: 'Give the role to another node, or to this machine under a new identity.',
  },
  'authority-unknown': {
    summary: 'That member is no authority this node knows of.',
    fix: '`kith authority ls` lists them.',
  },
  'root-mismatch': {
    summary: 'The root document is not the one the mesh id names.',
    fix: 'Ask for a new invite; do not trust who sent it.',
  },
} as const satisfies ReasonTable

/** Code of a certificate failure. */
export type CertificateCode = keyof typeof CERTIFICATE_REASONS
/** Code of a revocation that is refused. */
export type RevocationCode = keyof typeof REVOCATION_REASONS
/** A clock that is off is one reason, in a handshake as in a join. */
const CLOCK_SKEW = 'clock-skew' satisfies ReplayReason

/** Code of any admission failure. */
export type AdmissionCode =
  | CertificateCode
  | RevocationCode
  | typeof CLOCK_SKEW
  | keyof typeof ADMISSION_REASONS

/** An expected failure of founding, inviting or joining. */
export class AdmissionError extends KithError<AdmissionCode> {}

/** True when `text` is a code this version knows; codes from newer peers become `join-reply-invalid`. */
export function isAdmissionCode(text: string): text is AdmissionCode {
  return (
    text === CLOCK_SKEW ||
    Object.hasOwn(ADMISSION_REASONS, text) ||
    Object.hasOwn(CERTIFICATE_REASONS, text) ||
    Object.hasOwn(REVOCATION_REASONS, text)
  )
}
