import { parseBootstrapAddresses, validBootstrapAddresses } from '../bootstrap/addresses.ts'
import type { ReconnectLoop } from '../bootstrap/reconnect-loop.ts'
import { keyFromPeerId } from '../protocols/common/peer-id.ts'
import type { EmitEvent } from '../protocols/common/ports.ts'
import type { MembershipService } from '../protocols/membership/service.ts'
import type { Identity } from './compose-identity.ts'
import type { Reach } from './compose-reach.ts'
import type { Config } from './config/schema.ts'
import { startNearby } from './membership/nearby-members.ts'
import { startReconnecting } from './membership/reconnecting.ts'
import { fullAddresses } from './transport/addresses.ts'

/** What reconnecting is made of. */
export interface ReconnectParts {
  readonly identity: Identity
  readonly reach: Reach
  readonly membership: MembershipService
  readonly config: Config
  readonly emit: EmitEvent
  /** Undoes what has been started, in reverse. */
  readonly cleanup: AsyncDisposableStack
}

/** Starts to keep the wanted connections, with the local networks' help: each tells the other whom it found, or looks for. */
export function startReconnect(parts: ReconnectParts): ReconnectLoop {
  const { identity, reach, membership, config, emit, cleanup } = parts
  const { mesh, own, isCut } = identity
  const { network, muxes, connections } = reach
  const lists = [...validBootstrapAddresses(mesh.bootstrap), ...parseBootstrapAddresses(config.bootstrap)]
  const nearby = config.mdns
    ? startNearby({
        meshId: mesh.root.meshId,
        selfKey: own.member.key,
        config,
        network,
        membership,
        lists,
        isCut,
        found: (id, addresses) => reconnect.sighted(id, addresses),
        emit,
      })
    : null
  const reconnect = startReconnecting({
    lists,
    selfId: identity.selfId,
    network,
    membership,
    connections,
    addressesOf: (id) => fullAddresses(membership.addressesOf(id), id),
    nearby,
    isSilent: (id) => muxes.list(id).length > 0 && !muxes.has(id),
    isCut: (id) => isCut(keyFromPeerId(id)),
    emit,
  })
  cleanup.defer(() => reconnect.stop())
  if (nearby !== null) cleanup.defer(() => nearby.stop())
  return reconnect
}
