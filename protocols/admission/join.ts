import { concat, equalBytes } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import type { Signer } from '../common/ports.ts'
import { ed25519Signer, sha256, SIGNING_CONTEXTS, signedMessage, verifyEd25519 } from '../common/signing.ts'
import { utf8 } from '../common/bytes.ts'
import { checkCredentials, type Member } from './certificates.ts'
import { AdmissionError, isAdmissionCode, type AdmissionCode } from './errors.ts'
import { hpkeOpen, hpkeSeal, x25519PublicKey } from './hpke.ts'
import type { Invite } from './invite.ts'
import { readRoot, type Root } from './root.ts'
import {
  joinAnswerFormat,
  joinBodyFormat,
  joinReplyFormat,
  joinRequestFormat,
  signedAnswerFormat,
  type JoinAnswer,
  type JoinBody,
} from './wire.ts'

/** A request on its way, with what is needed to open the answer. Kept in memory only: a crashed joiner asks again. */
export interface PendingJoin {
  readonly bytes: Uint8Array
  readonly invite: Invite
  readonly joinerKey: Uint8Array
  /** X25519 private key of this request alone, so that the answer stays closed even to a later thief of the node's key. */
  readonly replyPrivateKey: Uint8Array
}

/** Makes the request. `replyPrivateKey` are 32 fresh random bytes; `now` in ms, corrected by the issuer's time on a repeat. */
export function makeJoinRequest(input: {
  invite: Invite
  joiner: Signer
  name: string
  replyPrivateKey: Uint8Array
  now: number
}): PendingJoin {
  const { invite, joiner, replyPrivateKey } = input
  const body = joinBodyFormat.encode({
    version: 1,
    issuer: invite.body.issuer,
    inviteId: invite.body.inviteId,
    joiner: joiner.publicKey,
    replyKey: x25519PublicKey(replyPrivateKey),
    name: input.name,
    time: input.now,
  })
  const message = signedMessage('joinRequest', invite.body.meshId, body)
  const bytes = joinRequestFormat.encode({
    body,
    inviteSignature: ed25519Signer(invite.seed).sign(message),
    joinerSignature: joiner.sign(message),
  })
  return { bytes, invite, joinerKey: joiner.publicKey, replyPrivateKey }
}

/** A request whose joiner signature holds; the invite's signature is judged with the ledger's one-time key. */
export interface ReadJoinRequest {
  readonly body: JoinBody
  /** SHA-256 of the request's bytes. */
  readonly hash: Uint8Array
  /** True when the one-time key signed this very request. */
  readonly signedBy: (oneTimeKey: Uint8Array) => boolean
}

/**
 * Which issuer a request is for, without believing anything else: all that a door needs.
 * @throws MalformedError
 */
export function readJoinRoute(bytes: Uint8Array): { issuer: Uint8Array; joiner: Uint8Array } {
  const body = joinBodyFormat.decode(joinRequestFormat.decode(bytes).body)
  return { issuer: body.issuer, joiner: body.joiner }
}

/**
 * Reads a request at its issuer.
 * @throws MalformedError when it does not decode or the joiner did not sign it for this mesh.
 */
export function readJoinRequest(bytes: Uint8Array, meshId: Uint8Array): ReadJoinRequest {
  const request = joinRequestFormat.decode(bytes)
  const body = joinBodyFormat.decode(request.body)
  const message = signedMessage('joinRequest', meshId, request.body)
  if (!verifyEd25519(body.joiner, message, request.joinerSignature)) {
    throw new MalformedError('join request is not signed by its joiner for this mesh')
  }
  return {
    body,
    hash: sha256(bytes),
    signedBy: (oneTimeKey) => verifyEd25519(oneTimeKey, message, request.inviteSignature),
  }
}

/** What an issuer answers, before it is bound, signed and sealed. */
export type Answer =
  | { outcome: 'accepted'; root: Uint8Array; credentials: Uint8Array; bootstrap: string[] }
  | { outcome: 'refused'; code: AdmissionCode; text: string }

/** Signs an answer and seals it to the request's reply key. `ephemeral` are 32 fresh random bytes; `now` in ms. */
export function sealAnswer(input: {
  request: ReadJoinRequest
  meshId: Uint8Array
  issuer: Signer
  answer: Answer
  ephemeral: Uint8Array
  now: number
}): Uint8Array {
  const { request, meshId, answer } = input
  const common = { version: 1 as const, requestHash: request.hash, issuerTime: input.now }
  const body = joinAnswerFormat.encode(
    answer.outcome === 'refused'
      ? { ...answer, ...common, text: answer.text.slice(0, 512) }
      : { ...answer, ...common },
  )
  const signature = input.issuer.sign(signedMessage('joinReply', meshId, body))
  const sealed = hpkeSeal({
    recipient: request.body.replyKey,
    ephemeral: input.ephemeral,
    info: sealInfo(meshId),
    aad: request.hash,
    plaintext: signedAnswerFormat.encode({ body, signature }),
  })
  return joinReplyFormat.encode({ kind: 'sealed', ...sealed })
}

/** The door's own refusal. Nobody signs it, so a joiner takes it as advice to try another door. */
export function doorRefusal(code: AdmissionCode, text: string): Uint8Array {
  return joinReplyFormat.encode({ kind: 'door', code, text: text.slice(0, 512) })
}

/** What a joiner learns. */
export type JoinOutcome =
  | {
      readonly outcome: 'accepted'
      readonly root: Root
      readonly member: Member
      readonly credentials: Uint8Array
      readonly bootstrap: readonly string[]
      readonly issuerTime: number
    }
  | {
      readonly outcome: 'refused'
      readonly by: 'issuer' | 'door'
      readonly code: AdmissionCode
      readonly text: string
      readonly issuerTime: number | null
    }

/**
 * Opens a reply and checks that it is the issuer's, for this request, of the mesh in the invite, and grants what it says.
 * @throws AdmissionError `join-reply-invalid`, `root-mismatch` or a certificate code.
 */
export function openReply(pending: PendingJoin, bytes: Uint8Array): JoinOutcome {
  let answer: JoinAnswer
  try {
    const reply = joinReplyFormat.decode(bytes)
    if (reply.kind === 'door') {
      const code = isAdmissionCode(reply.code) ? reply.code : 'join-reply-invalid'
      return { outcome: 'refused', by: 'door', code, text: reply.text, issuerTime: null }
    }
    answer = openSealed(pending, reply.encapsulated, reply.ciphertext)
    return answer.outcome === 'refused' ? refused(answer) : accepted(pending, answer)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new AdmissionError('join-reply-invalid', `the reply does not decode: ${cause.message}`, { cause })
  }
}

function openSealed(pending: PendingJoin, encapsulated: Uint8Array, ciphertext: Uint8Array): JoinAnswer {
  const { meshId, issuer } = pending.invite.body
  const requestHash = sha256(pending.bytes)
  const plaintext = hpkeOpen({
    privateKey: pending.replyPrivateKey,
    encapsulated,
    info: sealInfo(meshId),
    aad: requestHash,
    ciphertext,
  })
  const { body, signature } = signedAnswerFormat.decode(plaintext)
  if (!verifyEd25519(issuer, signedMessage('joinReply', meshId, body), signature)) {
    throw new AdmissionError('join-reply-invalid', "the reply is not signed by the invite's issuer")
  }
  const answer = joinAnswerFormat.decode(body)
  if (!equalBytes(answer.requestHash, requestHash)) {
    throw new AdmissionError('join-reply-invalid', 'the reply answers another request')
  }
  return answer
}

function refused(answer: Extract<JoinAnswer, { outcome: 'refused' }>): JoinOutcome {
  const code = isAdmissionCode(answer.code) ? answer.code : 'join-reply-invalid'
  return { outcome: 'refused', by: 'issuer', code, text: answer.text, issuerTime: answer.issuerTime }
}

function accepted(pending: PendingJoin, answer: Extract<JoinAnswer, { outcome: 'accepted' }>): JoinOutcome {
  const root = readRoot(answer.root, pending.invite.body.meshId)
  const checked = checkCredentials({
    root,
    credentials: answer.credentials,
    peerKey: pending.joinerKey,
    now: answer.issuerTime, // our own clock may be what is wrong
    authorityReachable: true,
  })
  if (!checked.ok) throw new AdmissionError(checked.code, `the reply's certificate: ${checked.text}`)
  if (!equalBytes(checked.member.issuer, pending.invite.body.issuer)) {
    throw new AdmissionError('join-reply-invalid', 'the certificate is from another issuer than the invite')
  }
  const { credentials, bootstrap, issuerTime } = answer
  return { outcome: 'accepted', root, member: checked.member, credentials, bootstrap, issuerTime }
}

function sealInfo(meshId: Uint8Array): Uint8Array {
  return concat(utf8(SIGNING_CONTEXTS.joinReply), meshId)
}
