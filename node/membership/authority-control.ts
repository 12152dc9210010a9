import { verifyAuthority } from '../../protocols/admission/certificates.ts'
import { readResult, signAct, writeRequest, type RootAct as Act } from '../../protocols/admission/ceremony.ts'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import { revocationBodyFormat, revocationFormat } from '../../protocols/admission/wire.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { keyFromPeerId, peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Signer } from '../../protocols/common/ports.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import type { AddAuthorityInput, AuthorityRow, RetireAuthorityInput, RootAct } from '../api/schemas.ts'
import type { RunningMesh } from '../compose-mesh.ts'
import { systemClock, systemRandom } from '../system-ports.ts'
import { authoritiesOf } from './admission-control.ts'

/** The root key of a node that has it, null elsewhere. */
export type RootKey = () => Promise<Signer | null>

/** `kith authority ls`. */
export function authorityRows(mesh: RunningMesh | undefined): AuthorityRow[] {
  if (mesh === undefined) return []
  return authoritiesOf(mesh).map(({ id, roles, notAfter }) => ({
    id,
    name: nameOf(mesh, id),
    roles: [...roles],
    expires: notAfter,
    self: id === mesh.self.id,
  }))
}

/** Makes a member an authority, or renews it as one. @throws KithError as `Control.addAuthority` says. */
export async function addAuthority(
  mesh: RunningMesh,
  rootKey: RootKey,
  input: AddAuthorityInput,
): Promise<RootAct> {
  const member = mesh.membership.members().find(({ id, name }) => id === input.peer || name === input.peer)
  if (member === undefined) throw new TunnelError('peer-unknown', `No member is called "${input.peer}"`)
  if (mesh.revocations.set.cutFrom(member.key) !== Number.POSITIVE_INFINITY)
    throw new AdmissionError('authority-retired', `${member.name} was cut as an authority`)
  const roles = [...new Set(input.roles)].sort()
  return perform(mesh, rootKey, { act: 'add', key: member.key, name: member.name, roles }, input.request)
}

/** Cuts an authority. @throws KithError as `Control.retireAuthority` says. */
export async function retireAuthority(
  mesh: RunningMesh,
  rootKey: RootKey,
  input: RetireAuthorityInput,
): Promise<RootAct> {
  const known = authorityRows(mesh).find(({ id, name }) => id === input.peer || name === input.peer)
  if (known === undefined)
    throw new AdmissionError('authority-unknown', `No authority is called "${input.peer}"`)
  const from = input.stolen ? 0 : systemClock.now()
  const act: Act = {
    act: 'retire',
    key: keyFromPeerId(known.id),
    name: known.name ?? 'unknown',
    from,
    reason: input.reason,
  }
  return perform(mesh, rootKey, act, input.request)
}

/** Takes what the ceremony signed. @throws KithError as `Control.signedAct` says. */
export async function takeSignedAct(mesh: RunningMesh, text: string): Promise<RootAct> {
  const { act, bytes } = readResult(text)
  return act === 'add' ? bringCertificate(mesh, bytes) : cut(mesh, bytes)
}

async function perform(mesh: RunningMesh, rootKey: RootKey, act: Act, asRequest: boolean): Promise<RootAct> {
  const { root } = mesh.mesh
  const id = peerIdFromKey(act.key)
  if (asRequest)
    return { act: act.act, id, name: act.name, state: 'request', request: writeRequest(root, act) }
  const rootSigner = await rootKey()
  if (rootSigner === null) throw new AdmissionError('root-key-missing', `${mesh.self.name} has no root key`)
  const now = systemClock.now()
  const bytes = signAct({ root, act, rootSigner, serial: systemRandom.bytes(16), now })
  return act.act === 'add' ? bringCertificate(mesh, bytes) : cut(mesh, bytes)
}

async function bringCertificate(mesh: RunningMesh, certificate: Uint8Array): Promise<RootAct> {
  const authority = verifyAuthority(mesh.mesh.root, certificate)
  if (authority === null)
    throw new AdmissionError('root-key-wrong', 'no root key of this mesh signed the certificate')
  const id = peerIdFromKey(authority.subject)
  const isThere = await mesh.sendAuthority(certificate)
  return { act: 'add', id, name: nameOf(mesh, id), state: isThere ? 'done' : 'waiting', request: null }
}

function cut(mesh: RunningMesh, revocation: Uint8Array): RootAct {
  const key = keyCutBy(revocation)
  const id = peerIdFromKey(key)
  const name = nameOf(mesh, id)
  mesh.revoke(revocation)
  if (mesh.revocations.set.cutFrom(key) === Number.POSITIVE_INFINITY)
    throw new AdmissionError('root-key-wrong', 'the mesh did not take it; `kith events` tells why')
  return { act: 'retire', id, name, state: 'done', request: null }
}

function keyCutBy(revocation: Uint8Array): Uint8Array {
  try {
    return revocationBodyFormat.decode(revocationFormat.decode(revocation).body).key
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new AdmissionError('ceremony-malformed', 'the file holds no revocation', { cause })
  }
}

function nameOf(mesh: RunningMesh, id: string): string | null {
  return mesh.membership.member(id)?.name ?? null
}
