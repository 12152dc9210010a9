import type { EmitEvent, Store } from '../protocols/common/ports.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import type { Identity } from './compose-identity.ts'
import type { Reach } from './compose-reach.ts'
import { authoritiesIn, readAuthority, watchAuthorities } from './membership/authorities.ts'
import { AuthorityDelivery } from './membership/authority-delivery.ts'
import { saveAuthority } from './membership/mesh-store.ts'
import { Renewal } from './membership/renewal.ts'
import { systemClock, systemTimers } from './system-ports.ts'

/** What the authorities' part of a node is made of. */
export interface AuthoritiesParts {
  readonly identity: Identity
  readonly reach: Reach
  readonly store: Store
  readonly emit: EmitEvent
  /** Told when this node became an authority. */
  readonly authorityChanged: () => void
  /** Undoes what has been started, in reverse. */
  readonly cleanup: AsyncDisposableStack
}

/** What members ask of authorities, and authorities of members. */
export interface Authorities {
  /** Renewed certificates: gives them, where this node is an authority, and asks for them. */
  readonly renewal: Renewal
  /** Certificates of new authorities, on the way to their nodes. */
  readonly delivery: AuthorityDelivery
  /** Authority certificates of this node itself, and those it brought to others. */
  held(): Uint8Array[]
}

/** Nothing is started yet. */
export function createAuthorities(parts: AuthoritiesParts): Authorities {
  const { identity, reach, store, emit } = parts
  const { mesh, own, gatekeeper } = identity
  const { network, connections } = reach
  const openStream = connections.openStream.bind(connections)
  const renewal = new Renewal({
    network,
    meshId: mesh.root.meshId,
    openStream,
    proved: (id) => gatekeeper.proved(id),
    issue: identity.issue,
    emit,
  })
  const delivery = new AuthorityDelivery({
    network,
    root: mesh.root,
    selfKey: own.member.key,
    openStream,
    isMember: (id) => gatekeeper.proved(id) !== undefined,
    isCut: identity.isCut,
    heldUntil: () => (mesh.authority === null ? 0 : readAuthority(mesh.authority).notAfter),
    keep: (certificate) => saveAuthority(store, certificate),
    received: parts.authorityChanged,
    store,
    clock: systemClock,
    timers: systemTimers,
    emit,
  })
  const held = (): Uint8Array[] => [...delivery.known(), ...(mesh.authority === null ? [] : [mesh.authority])]
  return { renewal, delivery, held }
}

/** Starts joining by way of this node, the authorities' part, and the watch over every date of a certificate. */
export async function startAuthorities(
  { renewal, delivery, held }: Authorities,
  membership: MembershipService,
  { identity, reach, emit, cleanup }: AuthoritiesParts,
): Promise<void> {
  const { own, isCut } = identity
  for (const part of [reach.forward, delivery, renewal]) {
    await part.start()
    cleanup.defer(() => part.stop())
  }
  cleanup.defer(
    watchAuthorities({
      list: () => authoritiesIn(membership, held(), isCut),
      clock: systemClock,
      timers: systemTimers,
      emit,
    }),
  )
  own.start()
  cleanup.defer(() => own.stop())
}
