import { ipBytes } from '../bootstrap/ip-bytes.ts'
import type { Tried } from '../protocols/traversal/candidates.ts'
import { describeEndpoint, isInternetV6, scopeOf, type Endpoint } from '../protocols/traversal/endpoint.ts'
import { TRAVERSAL_REASONS, type TraversalCode } from '../protocols/traversal/errors.ts'
import type { Classified } from '../protocols/traversal/classify.ts'
import { natKind } from '../protocols/traversal/nat.ts'
import type { NetcheckReport, PathReason, Ways } from './api/path-schemas.ts'
import type { RunningMesh } from './compose-mesh.ts'
import type { PortMappingReport } from './port-mapping/port-mapper.ts'
import { ALL_REASONS, fixOf } from './reasons.ts'
import { steadyClock, systemClock } from './system-ports.ts'
import { endpointOf } from './transport/addresses.ts'
import { ownAddressTexts } from './transport/own-addresses.ts'
import type { RelayTry } from './transport/relay-tries.ts'

type TriedWay = Ways['tried'][number]

/** The code with its sentences. */
export function pathReason(code: TraversalCode): PathReason {
  const { summary, fix } = TRAVERSAL_REASONS[code]
  return { code, text: summary, fix }
}

/** Why new streams to the peer go through a relay, as far as it was tried; null where they don't, and while it is being tried. */
export function notDirect(mesh: RunningMesh, peerId: string): PathReason | null {
  const { path, lastFailure, isTrying } = mesh.ways.paths.view(peerId)
  return path === 'direct' || isTrying || lastFailure === null ? null : pathReason(lastFailure)
}

/** Ways to a peer, and what was tried. */
export function waysTo(mesh: RunningMesh, peerId: string): Ways {
  const { paths, tries, relayTries, relaysTo, remoteOf } = mesh.ways
  const { via, reason, since } = paths.view(peerId)
  // Times of the steady clock, which stands still while a machine sleeps, as the wall clock shows them now.
  const shiftMs = systemClock.now() - steadyClock.now()
  return {
    via,
    viaName: via === null ? null : nameIn(mesh, via),
    path: pathReason(reason),
    since: Math.round(since + shiftMs),
    notDirect: notDirect(mesh, peerId),
    tried: [
      ...tries.tried(peerId).map((each) => tryOf(each, wayOf(each), each.endpoint, shiftMs)),
      ...relayTries
        .of(peerId)
        .map((each) => tryOf(each, 'relay', endpointOf(remoteOf(each.relay) ?? '') ?? null, shiftMs)),
    ].toSorted((one, other) => one.at - other.at),
    relays: relaysTo(peerId),
  }
}

/** What a peer announces for its own LAN is no public address that was refused. */
function wayOf({ way, endpoint }: Tried): TriedWay['way'] {
  return endpoint !== null && scopeOf(endpoint.ip) !== 'public' ? 'local' : way
}

/** A try as it is shown. `shiftMs`: from the steady clock to the wall clock. */
function tryOf(
  {
    outcome,
    startedAt,
    endedAt,
    reason: code,
  }: Pick<RelayTry, 'startedAt' | 'endedAt' | 'reason'> & Pick<Tried, 'outcome'>,
  way: TriedWay['way'],
  endpoint: Endpoint | null,
  shiftMs: number,
): TriedWay {
  return {
    way,
    endpoint: endpoint === null ? null : describeEndpoint(endpoint),
    outcome,
    at: Math.round(startedAt + shiftMs),
    tookMs: endedAt === null ? null : Math.round(endedAt - startedAt),
    reason: code === null ? null : { code, text: ALL_REASONS[code]?.summary ?? code, fix: fixOf(code) },
  }
}

/** How this machine stands towards the internet, as it was found last. */
export function netcheckOf(mesh: RunningMesh): NetcheckReport {
  const { latest, measuredAt } = mesh.traversal.nat
  const nameOf = (id: string): string => nameIn(mesh, id)
  const classified = latest?.classified
  // With nobody to ask a measurement ends at once and has found nothing.
  const wasAsked = latest !== null && latest.observations.views.length + latest.silent.length > 0
  const held = mesh.ways.reservations.held()
  const candidates = [...new Set([...held, ...mesh.ways.candidates()])]
  return {
    nat: {
      kind: natKind(classified?.mapping.value ?? null, classified?.filtering.value ?? null),
      mapping: classified?.mapping.value ?? null,
      filtering: classified?.filtering.value ?? null,
      keepsPort: classified?.keepsPort.value ?? null,
      hairpins: classified?.hairpins.value ?? null,
      unknown: unknownParts(classified),
      hints: (classified?.hints ?? []).map(pathReason),
    },
    ipv6:
      [...ownAddressTexts()].find((address) => isInternetV6(ipBytes(address) ?? new Uint8Array(0))) ?? null,
    dialable: mesh.traversal.nat.isReached(),
    views: (latest?.observations.views ?? []).map(({ reflector, outside }) => {
      const asked = describeEndpoint(reflector)
      const peer = mesh.traversal.peerAt(reflector) ?? ''
      return { peer, name: peer === '' ? '-' : nameOf(peer), asked, seen: describeEndpoint(outside) }
    }),
    silent: (latest?.silent ?? []).map(({ peer, text }) => ({ peer, name: nameOf(peer), text })),
    portMapping: portMappingOf(mesh.portMapping.state()),
    needsRelays: mesh.ways.needsRelays(),
    relays: candidates.map((peer) => ({
      peer,
      name: nameOf(peer),
      rttMs: mesh.membership.member(peer)?.rttMs ?? null,
      held: held.includes(peer),
    })),
    carries: mesh.ways.isRelay ? mesh.ways.circuits.load : null,
    measuredAt:
      measuredAt === null || !wasAsked
        ? null
        : Math.round(measuredAt + systemClock.now() - steadyClock.now()),
  }
}

/** What a member is called; its id where it is not known any more. */
export function nameIn(mesh: RunningMesh, id: string): string {
  return mesh.membership.member(id)?.name ?? id
}

function portMappingOf(state: PortMappingReport | null): NetcheckReport['portMapping'] {
  const mapping = state?.mapping ?? null
  const code = state?.failure?.code
  const shiftMs = systemClock.now() - steadyClock.now()
  return {
    method: mapping?.method ?? null,
    outside:
      mapping === null ? null : describeEndpoint({ ip: mapping.externalAddress, port: mapping.externalPort }),
    expires: mapping === null ? null : Math.round(mapping.expiresAt + shiftMs),
    reason: code === undefined ? null : { code, text: ALL_REASONS[code]?.summary ?? code, fix: fixOf(code) },
  }
}

function unknownParts(classified: Classified | undefined): NetcheckReport['nat']['unknown'] {
  const parts = ['mapping', 'filtering', 'keepsPort', 'hairpins'] as const
  return parts.flatMap((part) => {
    const code = classified === undefined ? 'nat-not-seen' : classified[part].unknown
    return code === null ? [] : [{ part, ...pathReason(code) }]
  })
}
