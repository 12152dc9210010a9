import type { Member } from '../protocols/admission/certificates.ts'
import { compareBytes } from '../protocols/common/bytes.ts'
import { peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { EmitEvent, Signer, Store } from '../protocols/common/ports.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import { askAny, readAuthority, renewers } from './membership/authorities.ts'
import { createGatekeeper, type Gatekeeper } from './membership/gatekeeper.ts'
import { Issuer } from './membership/issuer.ts'
import { saveCredentials, type StoredMesh } from './membership/mesh-store.ts'
import { OwnCertificate } from './membership/own-certificate.ts'
import { Revocations } from './membership/revocations.ts'
import { systemClock, systemRandom, systemTimers } from './system-ports.ts'

/** What an identity is made of. */
export interface IdentityParts {
  readonly mesh: StoredMesh
  readonly signer: Signer
  readonly store: Store
  readonly emit: EmitEvent
  /** The member table; undefined while it has not been read. */
  readonly table: () => MembershipService | undefined
  /** The member table. @throws Error before there is one. */
  readonly members: () => MembershipService
  /** Addresses (with /p2p/) a newcomer can dial. */
  readonly doors: () => string[]
  /** Asks an authority for a fresh certificate of this node. */
  readonly renewAt: (authorityId: string, signal: AbortSignal) => Promise<Uint8Array>
}

/** Who this node is in its mesh, and whom it takes for a member. */
export interface Identity {
  /** Without the authority certificate that was cut, if it was. */
  readonly mesh: StoredMesh
  readonly selfId: string
  readonly revocations: Revocations
  /** Whether the root key cut an authority. */
  readonly isCut: (key: Uint8Array) => boolean
  /** Null on a node that is no admit authority; so are the two below. */
  readonly issuer: Issuer | null
  /** Fresh credentials for a member. */
  readonly issue: ((member: Member) => Uint8Array) | null
  /** Answers a join request. */
  readonly redeem: ((request: Uint8Array) => Promise<Uint8Array>) | null
  readonly own: OwnCertificate
  readonly gatekeeper: Gatekeeper
}

/**
 * Reads who was revoked, then the own certificate (an authority renews its own before anybody sees the old one).
 * @throws AdmissionError a certificate code when the own certificate no longer holds.
 */
export async function openIdentity(parts: IdentityParts): Promise<Identity> {
  const { signer, store, emit, table } = parts
  const { root } = parts.mesh
  const selfId = peerIdFromKey(signer.publicKey)
  const revocations = await Revocations.open({
    root,
    store,
    timers: systemTimers,
    emit,
    nameOf: (id) => table()?.member(id)?.name,
  })
  const isCut = (key: Uint8Array): boolean => revocations.set.cutFrom(key) <= systemClock.now()
  const mesh = isCut(signer.publicKey) ? { ...parts.mesh, authority: null } : parts.mesh
  const issuer = await openIssuer(parts, mesh.authority, revocations)
  const issue = issuer === null ? null : (member: Member): Uint8Array => issuer.renew(member)
  const redeem = issuer === null ? null : (request: Uint8Array): Promise<Uint8Array> => issuer.redeem(request)
  const own = new OwnCertificate({
    root,
    selfKey: signer.publicKey,
    credentials: mesh.credentials,
    clock: systemClock,
    timers: systemTimers,
    emit,
    issue,
    ask: (issuerId, signal) =>
      askAny(renewers(issuerId, selfId, parts.members(), isCut), (id) => parts.renewAt(id, signal)),
    save: (credentials) => saveCredentials(store, credentials),
    renewed: (credentials) => table()?.renew(credentials),
  })
  if (issue !== null) await own.renewIfDue()
  const gatekeeper = createGatekeeper(
    {
      root,
      clock: systemClock,
      emit,
      // An authority itself lets those in whose certificate ended lately: how else could they have it renewed?
      authorityReachable: (issuers) => mesh.authority === null && isOneAlive(table(), issuers),
      credentialsOf: (id) => table()?.member(id)?.entry.credentials,
      revoked: revocations.set.isRevoked,
    },
    own.member,
  )
  return { mesh, selfId, revocations, isCut, issuer, issue, redeem, own, gatekeeper }
}

/** The issuer of an admit authority; null on any other node. */
async function openIssuer(
  { mesh, signer, store, emit, members, doors }: IdentityParts,
  authorityCertificate: Uint8Array | null,
  revocations: Revocations,
): Promise<Issuer | null> {
  if (authorityCertificate === null || !readAuthority(authorityCertificate).roles.includes('admit'))
    return null
  return Issuer.open({
    root: mesh.root,
    signer,
    authorityCertificate,
    store,
    clock: systemClock,
    random: systemRandom,
    emit,
    nameTaken: (name, joinerKey) =>
      members()
        .members()
        .some((member) => member.name === name && compareBytes(member.key, joinerKey) !== 0),
    bootstrap: doors,
    isRevoked: (joinerKey) => revocations.set.isKeyRevoked(joinerKey),
  })
}

function isOneAlive(table: MembershipService | undefined, ids: ReadonlySet<string>): boolean {
  return (table?.members() ?? []).some((member) => member.state === 'alive' && ids.has(member.id))
}
