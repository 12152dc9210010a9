import type { TraversalCode } from './errors.ts'
import { DEPENDENCES, type NatBehaviour, type PartialStanding, type PathStanding } from './nat.ts'

/** Codes of what physics allows. */
export type ExpectedPathCode = Extract<
  TraversalCode,
  'peer-dialable' | 'ports-known' | 'filter-admits-any-port' | 'port-unknown' | 'both-ports-unknown'
>

/** What two nodes that know how they stand may expect of each other over TCP. */
export interface ExpectedPath {
  /** `dial`: one of them just dials. `punch`: both dial at once through their NATs. `relay`: neither can work. */
  readonly path: 'dial' | 'punch' | 'relay'
  readonly reason: ExpectedPathCode
}

/**
 * What physics allows between two nodes, whoever of them begins. A punch needs both sides to know where the other's next
 * connection will come from, or one side that lets it in from anywhere on that address: who maps each target anew comes from a
 * port nobody can know.
 */
export function expectedPath(one: PathStanding, other: PathStanding): ExpectedPath {
  if (one === 'dialable' || other === 'dialable') return { path: 'dial', reason: 'peer-dialable' }
  if (isPredictable(one) && isPredictable(other)) return { path: 'punch', reason: 'ports-known' }
  if ((isPredictable(one) && admitsOtherPorts(one)) || (isPredictable(other) && admitsOtherPorts(other)))
    return { path: 'punch', reason: 'filter-admits-any-port' }
  return isPredictable(one) || isPredictable(other)
    ? { path: 'relay', reason: 'port-unknown' }
    : { path: 'relay', reason: 'both-ports-unknown' }
}

/**
 * What physics allows as far as it is known how both stand: null where that depends on what is not known. A mesh with one public
 * member cannot tell every mapping, and yet knows that a symmetric NAT and one that lets in only the very port never meet. Where
 * the reasons differ, the one with the better prospect.
 */
export function certainPath(one: PartialStanding | null, other: PartialStanding | null): ExpectedPath | null {
  if (one === null || other === null) return null
  const possible = wholes(one).flatMap((own) => wholes(other).map((its) => expectedPath(own, its)))
  const [first] = possible
  if (first === undefined || possible.some(({ path }) => path !== first.path)) return null
  return possible.find(({ reason }) => reason !== 'both-ports-unknown') ?? first
}

/** All a standing may be. */
function wholes(standing: PartialStanding): PathStanding[] {
  if (standing === 'dialable') return [standing]
  const { mapping, filtering } = standing
  return (mapping === null ? DEPENDENCES : [mapping]).flatMap((maps) =>
    (filtering === null ? DEPENDENCES : [filtering]).map((filters) => ({
      mapping: maps,
      filtering: filters,
    })),
  )
}

/** The outside port a reflector saw is the one every other peer meets. */
function isPredictable({ mapping }: Pick<NatBehaviour, 'mapping'>): boolean {
  return mapping === 'endpoint-independent'
}

/** Having sent to an address opens the way for all its ports. */
function admitsOtherPorts({ filtering }: Pick<NatBehaviour, 'filtering'>): boolean {
  return filtering !== 'address-and-port-dependent'
}
