import { checkCredentials, type Member } from '../../protocols/admission/certificates.ts'
import type { Root } from '../../protocols/admission/root.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Clock, EmitEvent } from '../../protocols/common/ports.ts'
import { MEMBERS_MAX } from '../../protocols/registry/limits.ts'
import type { PeerClaim, PeerVerdict } from '../../protocols/secure-channel/service.ts'

/** What the gatekeeper needs. */
export interface GatekeeperInit {
  readonly root: Root
  readonly clock: Clock
  readonly emit: EmitEvent
  /** False while no admit authority can be reached: then certificates that expired lately pass with a warning. */
  readonly authorityReachable: (issuers: ReadonlySet<string>) => boolean
}

/** Decides in each handshake whether the peer is a member, and remembers what its certificate said. */
export interface Gatekeeper {
  checkPeer(claim: PeerClaim): PeerVerdict
  /** The member as its last handshake proved it. */
  proved(peerId: string): Member | undefined
  authorityReachable(): boolean
}

/** @param own this node's own, checked certificate; its issuer is the first authority known. */
export function createGatekeeper(init: GatekeeperInit, own: Member): Gatekeeper {
  /** By peer id, oldest first; as many as a mesh has members. */
  const members = new Map<string, Member>()
  const issuers = new Set([peerIdFromKey(own.issuer)])
  const authorityReachable = (): boolean => init.authorityReachable(issuers)
  return {
    authorityReachable,
    proved: (peerId) => members.get(peerId),
    checkPeer({ key, id, credentials }) {
      const { root, clock, emit } = init
      const checked = checkCredentials({
        root,
        credentials,
        peerKey: key,
        now: clock.now(),
        authorityReachable: authorityReachable(),
      })
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
