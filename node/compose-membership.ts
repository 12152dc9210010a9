import type { EmitEvent, Signer, Store } from '../protocols/common/ports.ts'
import { MembershipService } from '../protocols/membership/service.ts'
import type { Identity } from './compose-identity.ts'
import type { Reach } from './compose-reach.ts'
import type { Config } from './config/schema.ts'
import { cutConnections } from './membership/revocations.ts'
import { storedServices } from './services/publications.ts'
import { systemClock, systemRandom, systemTimers } from './system-ports.ts'
import { refuseDowngrades } from './transport/compat.ts'

/** What membership is made of. */
export interface MembershipParts {
  readonly identity: Identity
  readonly reach: Reach
  readonly signer: Signer
  readonly store: Store
  readonly config: Config
  readonly emit: EmitEvent
  /** Told when this node is an authority no more. */
  readonly authorityChanged: () => void
  /** Undoes what has been started, in reverse. */
  readonly cleanup: AsyncDisposableStack
}

/** The member table, read and not yet spread; from now on revocations end what the revoked have open. */
export async function openMembership(parts: MembershipParts): Promise<MembershipService> {
  const { identity, reach, signer, store, config, emit, cleanup } = parts
  const { mesh, gatekeeper, revocations, isCut, own } = identity
  const { network } = reach
  revocations.onChange(() => {
    cutConnections(network, gatekeeper)
    if (mesh.authority !== null && isCut(signer.publicKey)) parts.authorityChanged()
  })
  cleanup.defer(() => revocations.flush())
  return new MembershipService({
    network,
    root: mesh.root,
    signer,
    credentials: own.credentials,
    announcement: {
      addresses: reach.announced(),
      relays: [],
      // What a door once published stays in the store until it is started as something else.
      services: config.door ? [] : await storedServices(store, systemClock),
    },
    clock: systemClock,
    random: systemRandom,
    timers: systemTimers,
    store,
    emit,
    authorityReachable: () => gatekeeper.authorityReachable(),
    revocations: revocations.set,
  })
}

/** Starts to spread the table, and what follows it: the port at the router, copies in the DHT, tries of direct ways. */
export async function startMembership(
  membership: MembershipService,
  { identity, reach, emit, cleanup }: MembershipParts,
): Promise<void> {
  const { network, portMapping, recordStore, ways } = reach
  refuseDowngrades(network, (id) => membership.member(id) !== undefined, emit)
  await membership.start()
  cleanup.defer(() => membership.stop())
  portMapping.start()
  cleanup.defer(() => portMapping.stop())
  recordStore.start()
  cleanup.defer(() => recordStore.stop())
  membership.onChange((ids) => {
    if (ids.includes(identity.selfId)) recordStore.changed()
    for (const id of ids) if (ways.tries.hasNews(id)) ways.paths.tryNow(id)
  })
}
