import type { EmitEvent, Store } from '../protocols/common/ports.ts'
import { MuxRegistry } from '../protocols/mux/registry.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import { RecordCopies } from '../protocols/registry/record-copies.ts'
import { openFirstMessageGuard } from '../protocols/replay/keeper.ts'
import type { FirstMessageGuard } from '../protocols/replay/machine.ts'
import { SessionRegistry } from '../protocols/secure-channel/sessions.ts'
import type { Identity } from './compose-identity.ts'
import { startNetwork, stopNetwork } from './compose-network.ts'
import { startWays, type Ways } from './compose-ways.ts'
import type { Config } from './config/schema.ts'
import { existing } from './late.ts'
import { JoinForward } from './membership/join-forward.ts'
import { steadyClock, systemClock, systemRandom, systemTimers } from './system-ports.ts'
import type { MeshNode } from './transport/mesh-node.ts'
import { RecordDatastore } from './transport/record-datastore.ts'
import { Reflector } from './traversal/reflector.ts'

/** What reaching peers takes. */
export interface ReachParts {
  readonly identity: Identity
  /** 32-byte Ed25519 seed. */
  readonly seed: Uint8Array
  readonly store: Store
  readonly config: Config
  readonly emit: EmitEvent
  /** The member table; undefined while there is none. */
  readonly table: () => MembershipService | undefined
  /** Undoes what has been started, in reverse. */
  readonly cleanup: AsyncDisposableStack
}

/** All that leads to peers and lets them come: the network and the ways over it. */
export interface Reach extends Ways {
  readonly network: MeshNode
  readonly muxes: MuxRegistry
  readonly sessions: SessionRegistry
  /** Join requests between doors and issuers; not started. */
  readonly forward: JoinForward
}

/**
 * Starts the network, then the ways over it. The network's door passes requests on to issuers elsewhere (`forward`), over
 * connections of this very network.
 * @throws ListenError
 */
export async function startReach(parts: ReachParts): Promise<Reach> {
  const { identity, seed, config, emit, table, cleanup } = parts
  const { own, gatekeeper, redeem, mesh, revocations } = identity
  const { meshId } = mesh.root
  const later: { forward?: JoinForward } = {}
  const muxes = new MuxRegistry()
  const sessions = new SessionRegistry()
  const guard = await startGuard(parts)
  const records = {
    copies: new RecordCopies({
      root: mesh.root,
      clock: systemClock,
      authorityReachable: () => gatekeeper.authorityReachable(),
      revoked: revocations.set.isRevoked,
      known: (id) => table()?.member(id)?.registration ?? undefined,
    }),
    datastore: new RecordDatastore(systemClock),
  }
  const reflector = new Reflector({
    clock: steadyClock,
    timers: systemTimers,
    random: systemRandom,
    hasExtraPort: true,
  })
  const { network, ready } = await startNetwork({
    meshId,
    seed,
    selfKey: own.member.key,
    config,
    emit,
    own,
    gatekeeper,
    sessions,
    muxes,
    guard,
    records,
    redeem,
    forward: () => existing(later.forward),
    reflection: reflector.raw,
  })
  cleanup.defer(() => stopNetwork(network))
  const ways = await startWays({
    identity,
    config,
    network,
    ready,
    muxes,
    records,
    reflector,
    table,
    emit,
    cleanup,
  })
  const forward = new JoinForward({
    network,
    meshId,
    openStream: (id, protocol, signal) => ways.connections.openStream(id, protocol, signal),
    isMember: (id) => gatekeeper.proved(id) !== undefined,
    redeem,
    timers: systemTimers,
    emit,
  })
  later.forward = forward
  return { network, muxes, sessions, forward, ...ways }
}

/** What keeps first messages from counting twice, over restarts too. */
async function startGuard({ store, emit, cleanup }: ReachParts): Promise<FirstMessageGuard> {
  const { guard, keeper } = await openFirstMessageGuard({
    store,
    clock: systemClock,
    timers: systemTimers,
    onError: (error) =>
      emit({
        kind: 'replay.unsaved',
        severity: 'warning',
        reason: 'replay-memory-unsaved',
        text: (error as Error).message,
      }),
  })
  cleanup.defer(() => keeper.stop())
  return guard
}
