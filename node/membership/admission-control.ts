import { createRevocation } from '../../protocols/admission/revocation.ts'
import type { AuthorityRole } from '../../protocols/admission/wire.ts'
import { memberBodyFormat, memberFormat, credentialsFormat } from '../../protocols/admission/wire.ts'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import { toHex } from '../../protocols/common/bytes.ts'
import { MalformedError } from '../../protocols/common/errors.ts'
import { keyFromPeerId, peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Signer } from '../../protocols/common/ports.ts'
import { TunnelError } from '../../protocols/tunnel/errors.ts'
import type { Approved, ApproveInput, MemberRow, Revoked, RevokeInput } from '../api/schemas.ts'
import type { RunningMesh } from '../compose-mesh.ts'
import { NodeError } from '../errors.ts'
import { systemClock } from '../system-ports.ts'
import { authoritiesIn, readAuthority, type KnownAuthority } from './authorities.ts'
import type { Issuer } from './issuer.ts'

/** `kith members`: everybody known, then who waits for approval here, then who was revoked. */
export function membersOf(mesh: RunningMesh | undefined): MemberRow[] {
  if (mesh === undefined) return []
  const authorities = new Map(authoritiesOf(mesh).map((authority) => [authority.id, authority]))
  const revoked = new Map(
    mesh.revocations
      .rows()
      .filter(({ kind }) => kind === 'member')
      .map((row) => [row.id, row]),
  )
  const rows: MemberRow[] = mesh.membership.members().map((member) => {
    const authority = authorities.get(member.id)
    const cut = revoked.get(member.id)
    return {
      id: member.id,
      name: member.name,
      roles: [...member.roles],
      tags: [...member.tags],
      state: cut === undefined ? member.state : 'revoked',
      self: member.self,
      certificate: certificateIn(member.entry.credentials),
      authority:
        authority === undefined ? null : { roles: [...authority.roles], expires: authority.notAfter },
      revoked: cut === undefined ? null : { at: cut.at, reason: cut.reason, by: cut.by },
      pendingSince: null,
    }
  })
  const nobody = { roles: [], tags: [], self: false, certificate: null, authority: null }
  for (const { joiner, name, askedAt } of mesh.issuer?.pending() ?? [])
    rows.push({
      ...nobody,
      id: peerIdFromKey(joiner),
      name,
      state: 'pending',
      revoked: null,
      pendingSince: askedAt,
    })
  const listed = new Set(rows.map(({ id }) => id))
  for (const { id, name, at, reason, by } of revoked.values())
    if (!listed.has(id))
      rows.push({ ...nobody, id, name, state: 'revoked', revoked: { at, reason, by }, pendingSince: null })
  return rows
}

/** The authorities this node knows of; those the root key cut are not among them. */
export function authoritiesOf(mesh: RunningMesh): KnownAuthority[] {
  const isCut = (key: Uint8Array): boolean => mesh.revocations.set.cutFrom(key) <= systemClock.now()
  return authoritiesIn(mesh.membership, mesh.heldAuthorities(), isCut)
}

/** Revokes every certificate of a member. @throws KithError as `Control.revoke` says. */
export async function revokeMember(mesh: RunningMesh, signer: Signer, input: RevokeInput): Promise<Revoked> {
  const authorityCertificate = mesh.mesh.authority
  if (authorityCertificate === null || !readAuthority(authorityCertificate).roles.includes('revoke'))
    throw notAuthorised(mesh, 'revoke')
  const known = mesh.membership.members().find(({ id, name }) => id === input.peer || name === input.peer)
  const id = known?.id ?? strangerId(input.peer, mesh)
  if (id === mesh.self.id) throw new NodeError('revoke-self', `${mesh.self.name} is this node`)
  const key = keyFromPeerId(id)
  const isNews = !mesh.revocations.set.isKeyRevoked(key)
  if (isNews) {
    const { meshId } = mesh.mesh.root
    const { reason } = input
    const now = systemClock.now()
    const revocation = createRevocation({
      meshId,
      signer,
      authorityCertificate,
      key,
      serial: null,
      reason,
      now,
    })
    if (!mesh.revoke(revocation))
      throw new AdmissionError('revocation-limit', `${mesh.revocations.set.size} revocations are remembered`)
    await mesh.revocations.flush()
  }
  const name = known?.name ?? mesh.revocations.rows().find((row) => row.id === id)?.name ?? null
  const authority = authoritiesOf(mesh).some((candidate) => candidate.id === id)
  return { id, name, added: isNews, authority }
}

/** Lets a waiting joiner in, or not. @throws KithError as `Control.approve` says. */
export async function approveJoin(mesh: RunningMesh, input: ApproveInput): Promise<Approved> {
  const issuer = issuerOf(mesh)
  const waiting = issuer
    .pending()
    .find(({ name, joiner }) => name === input.peer || peerIdFromKey(joiner) === input.peer)
  if (waiting === undefined)
    throw new AdmissionError('join-not-pending', `No join of "${input.peer}" waits on ${mesh.self.name}`)
  const { joiner } = waiting
  const name = input.deny ? await issuer.deny(joiner) : await issuer.approve(joiner)
  return { id: peerIdFromKey(joiner), name, approved: !input.deny }
}

/** @throws NodeError `not-authorised` on a node that admits nobody. */
export function issuerOf(mesh: RunningMesh): Issuer {
  if (mesh.issuer === null) throw notAuthorised(mesh, 'admit')
  return mesh.issuer
}

const ACTS: Readonly<Record<'admit' | 'revoke', string>> = {
  admit: 'admit members',
  revoke: 'revoke members',
}

function notAuthorised(mesh: RunningMesh, role: Extract<AuthorityRole, 'admit' | 'revoke'>): NodeError {
  const names = authoritiesOf(mesh)
    .filter(({ roles }) => roles.includes(role))
    .map(({ id }) => mesh.membership.member(id)?.name ?? id)
  const who = names.length === 0 ? 'and it knows of no node that does' : `but ${names.join(' and ')} can`
  return new NodeError('not-authorised', `${mesh.self.name} holds no authority to ${ACTS[role]}, ${who}`)
}

function strangerId(text: string, mesh: RunningMesh): string {
  const revoked = mesh.revocations.rows().find(({ name }) => name === text)
  if (revoked !== undefined) return revoked.id
  try {
    keyFromPeerId(text)
    return text
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new TunnelError('peer-unknown', `No member is called "${text}", and it is no peer id`, { cause })
  }
}

function certificateIn(credentials: Uint8Array): MemberRow['certificate'] {
  const { serial, issuer, notAfter } = memberBodyFormat.decode(
    memberFormat.decode(credentialsFormat.decode(credentials).member).body,
  )
  return { serial: toHex(serial), issuer: peerIdFromKey(issuer), expires: notAfter }
}
