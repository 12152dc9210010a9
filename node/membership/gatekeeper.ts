import {
  checkCredentials,
  type Checked,
  type Member,
  type Revoked,
} from '../../protocols/admission/certificates.ts'
import type { Root } from '../../protocols/admission/root.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import { MEMBERS_MAX } from '../../protocols/registry/limits.ts'
import type { PeerClaim, PeerVerdict } from '../../protocols/secure-channel/upgrade.ts'

/** What the gatekeeper needs. */
export interface GatekeeperInit {
  readonly root: Root
  readonly clock: Clock
  readonly emit: EmitEvent
  /** False while no admit authority can be reached: then certificates that expired lately pass with a warning. */
  readonly authorityReachable: (issuers: ReadonlySet<string>) => boolean
  /** What the member table holds of a member: it may have been renewed since its last handshake. */
  readonly credentialsOf: (peerId: string) => Uint8Array | undefined
  /** The revocation set; nobody is revoked without one. */
  readonly revoked?: Revoked | undefined
}

/** Decides in each handshake whether the peer is a member, and remembers what its certificate said. */
export interface Gatekeeper {
  checkPeer(claim: PeerClaim): PeerVerdict
  /** The member as its last handshake proved it, while its certificate stands or has been renewed. */
  proved(peerId: string): Member | undefined
  authorityReachable(): boolean
  /** True for a peer whose proved certificate was revoked, and that shows no other. */
  isCut(peerId: string): boolean
}

/** @param own this node's own, checked certificate; its issuer is the first authority known. */
export function createGatekeeper(init: GatekeeperInit, own: Member): Gatekeeper {
  /** By peer id, oldest first; as many as a mesh has members. */
  const members = new Map<string, Member>()
  const issuers = new Set([peerIdFromKey(own.issuer)])
  const authorityReachable = (): boolean => init.authorityReachable(issuers)
  const check = (peerKey: Uint8Array, credentials: Uint8Array): Checked => {
    const { root, clock } = init
    return checkCredentials({
      root,
      credentials,
      peerKey,
      now: clock.now(),
      authorityReachable: authorityReachable(),
      revoked: init.revoked,
    })
  }
  const isRevoked = (member: Member): boolean => init.revoked?.(member) === true
  const proved = (peerId: string): Member | undefined => {
    const member = members.get(peerId)
    if (member === undefined) return undefined
    if (init.clock.now() <= member.notAfter && !isRevoked(member)) return member
    // A session outlives the certificate it began with; a right to anything does not.
    const credentials = init.credentialsOf(peerId)
    const checked = credentials === undefined ? undefined : check(member.key, credentials)
    if (checked?.ok !== true) return undefined
    members.set(peerId, checked.member)
    return checked.member
  }
  return {
    authorityReachable,
    proved,
    isCut(peerId) {
      const member = members.get(peerId)
      return member !== undefined && isRevoked(member) && proved(peerId) === undefined
    },
    checkPeer({ key, id, credentials }) {
      const { emit } = init
      const checked = check(key, credentials)
      if (!checked.ok) return checked
      if (checked.warning !== null) {
        emit({
          kind: 'certificate.expired',
          severity: 'warning',
          peer: id,
          reason: checked.warning,
          text: 'accepted while no authority can be reached',
        })
      }
      members.delete(id)
      if (members.size >= MEMBERS_MAX) {
        const oldest = members.keys().next()
        if (oldest.done !== true) members.delete(oldest.value)
      }
      members.set(id, checked.member)
      issuers.add(peerIdFromKey(checked.member.issuer))
      return { ok: true }
    },
  }
}
