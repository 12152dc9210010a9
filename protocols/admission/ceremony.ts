import { MalformedError } from '../common/errors.ts'
import type { Signer } from '../common/ports.ts'
import { equalBytes } from '../common/bytes.ts'
import { issueAuthority } from './certificates.ts'
import { AdmissionError } from './errors.ts'
import { createAuthorityRevocation } from './revocation.ts'
import { readRoot, type Root } from './root.ts'
import { ceremonyRequestFormat, ceremonyResultFormat, type CeremonyRequest } from './wire.ts'

/** Text a request for the root key begins with. */
const REQUEST_PREFIX = 'kith-root-request:'
/** Text its answer begins with. */
const RESULT_PREFIX = 'kith-root-signed:'
/** Longer than any request or answer; a longer text is not decoded. */
export const TEXT_MAX = 8_192

type WithoutRoot<Act> = Act extends unknown ? Omit<Act, 'version' | 'root'> : never
/** An act of the root key, before it is signed. */
export type RootAct = WithoutRoot<CeremonyRequest>

/** A request as text for a file, to be carried to where the root key is. */
export function writeRequest(root: Root, act: RootAct): string {
  const request = { ...act, version: 1, root: root.bytes } as CeremonyRequest
  return REQUEST_PREFIX + Buffer.from(ceremonyRequestFormat.encode(request)).toString('base64url')
}

/** Reads a request. @throws AdmissionError `ceremony-malformed`. */
export function readRequest(text: string): { root: Root; act: CeremonyRequest } {
  return decoded(text, REQUEST_PREFIX, (bytes) => {
    const act = ceremonyRequestFormat.decode(bytes)
    return { root: readRoot(act.root), act }
  })
}

/**
 * Does what is asked for with a root key. `serial` are 16 random bytes; `now` in ms.
 * @throws AdmissionError `root-key-wrong` when the key is none of the mesh's.
 */
export function signAct(input: {
  root: Root
  act: RootAct
  rootSigner: Signer
  serial: Uint8Array
  now: number
}): Uint8Array {
  const { root, act, rootSigner, serial, now } = input
  if (!root.document.rootKeys.some((key) => equalBytes(key, rootSigner.publicKey)))
    throw new AdmissionError('root-key-wrong', `the key is no root key of the mesh "${root.document.name}"`)
  if (act.act === 'retire') {
    const { key, from, reason } = act
    return createAuthorityRevocation({ meshId: root.meshId, rootSigner, key, from, reason, now })
  }
  const { key: subject, roles } = act
  return issueAuthority({ root, rootSigner, subject, roles, x509Intermediate: null, serial, now })
}

/** The signed act as text for a file, to be brought back. */
export function writeResult(act: RootAct['act'], bytes: Uint8Array): string {
  return RESULT_PREFIX + Buffer.from(ceremonyResultFormat.encode({ act, bytes })).toString('base64url')
}

/** Reads what the ceremony signed; whether a root key did is judged by who uses it. @throws AdmissionError `ceremony-malformed`. */
export function readResult(text: string): { act: RootAct['act']; bytes: Uint8Array } {
  return decoded(text, RESULT_PREFIX, (bytes) => ceremonyResultFormat.decode(bytes))
}

function decoded<T>(text: string, prefix: string, decode: (bytes: Uint8Array) => T): T {
  const trimmed = text.trim()
  if (!trimmed.startsWith(prefix) || trimmed.length > TEXT_MAX)
    throw new AdmissionError(
      'ceremony-malformed',
      `"${trimmed.slice(0, 20)}…" does not begin with ${prefix} or is too long`,
    )
  try {
    return decode(Uint8Array.from(Buffer.from(trimmed.slice(prefix.length), 'base64url')))
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new AdmissionError('ceremony-malformed', `the file is damaged: ${cause.message}`, { cause })
  }
}
