import type { TraversalCode } from './errors.ts'
import { endpointKey, ipKey, sameEndpoint, sameIp, scopeOf, type Endpoint } from './endpoint.ts'
import { OBSERVATIONS_MAX } from './limits.ts'
import type { Dependence, NatBehaviour, PartialStanding, Standing } from './nat.ts'

/** What one reflector saw of the one port that was measured. */
export interface View {
  /** Where the reflector was asked. */
  readonly reflector: Endpoint
  /** From where the question came to it. */
  readonly outside: Endpoint
}

/** Somebody was asked to connect to the outside endpoint of a port that listens. */
export interface Arrival {
  /** Everything that port had sent to before; it is to be a fresh port. */
  readonly sentTo: readonly Endpoint[]
  /** From where the connection was made. */
  readonly from: Endpoint
  /** False after the time in which it would have come. */
  readonly arrived: boolean
}

/** All that was found out; each part may be missing. Only the first `OBSERVATIONS_MAX` views and arrivals count. */
export interface Observations {
  /** Inside endpoint of the port all views are of. */
  readonly local: Endpoint
  readonly views: readonly View[]
  readonly arrivals: readonly Arrival[]
  /** Whether a connection to the own outside endpoint came back through the router; null: not tried. */
  readonly hairpin: boolean | null
  /** Whether a member that was never sent to reached the port the mesh listens on; null: not tried. */
  readonly reached: boolean | null
  /** Outside address of the router in front, as UPnP or NAT-PMP says it; null: it does not say. */
  readonly routerOutside: Uint8Array | null
}

/** One part of the behaviour: known, or why it is not. */
export type Part<T> =
  | { readonly value: T; readonly unknown: null }
  | { readonly value: null; readonly unknown: TraversalCode }

/** What the observations tell, and nothing that they don't. */
export interface Classified {
  readonly mapping: Part<Dependence>
  readonly filtering: Part<Dependence>
  readonly keepsPort: Part<boolean>
  readonly hairpins: Part<boolean>
  /** Whole only when every part is known. */
  readonly standing: Standing | null
  /** For `certainPath`; null when nothing is known. */
  readonly towards: PartialStanding | null
  readonly hints: readonly Extract<TraversalCode, 'nat-double' | 'nat-carrier' | 'nat-several-addresses'>[]
}

/** Reads a NAT's behaviour off what was observed (RFC 5780 §4.3, §4.4), without guessing. */
export function classify(observations: Observations): Classified {
  const views = fromOutside(observations.views.slice(0, OBSERVATIONS_MAX))
  const arrivals = observations.arrivals.slice(0, OBSERVATIONS_MAX)
  const mapping = mappingOf(views)
  const filtering = filteringOf(arrivals)
  const keepsPort = keepsPortOf(observations.local, views)
  const hairpins: Part<boolean> =
    observations.hairpin === null ? unknown('nat-not-probed') : known(observations.hairpin)
  const hints = hintsOf(observations, views)
  const parts = { mapping, filtering, keepsPort, hairpins, hints }
  if (isDialable(observations, views, filtering))
    return { ...parts, standing: 'dialable', towards: 'dialable' }
  if (mapping.value === null && filtering.value === null) return { ...parts, standing: null, towards: null }
  const towards = { mapping: mapping.value, filtering: filtering.value }
  return { ...parts, standing: wholeOf(parts), towards }
}

function wholeOf({
  mapping,
  filtering,
  keepsPort,
  hairpins,
}: Pick<Classified, 'mapping' | 'filtering' | 'keepsPort' | 'hairpins'>): NatBehaviour | null {
  if (mapping.value === null || filtering.value === null) return null
  if (keepsPort.value === null || hairpins.value === null) return null
  return {
    mapping: mapping.value,
    filtering: filtering.value,
    keepsPort: keepsPort.value,
    hairpins: hairpins.value,
  }
}

/** A reflector inside the own network sees nothing of the NAT; it counts only where there is no other. */
function fromOutside(views: readonly View[]): readonly View[] {
  const outer = views.filter(({ reflector }) => scopeOf(reflector.ip) === 'public')
  return outer.length > 0 ? outer : views
}

function known<T>(value: T): Part<T> {
  return { value, unknown: null }
}

function unknown(code: TraversalCode): { value: null; unknown: TraversalCode } {
  return { value: null, unknown: code }
}

/** Reached without having sent: by the mesh's own port, or because nothing translates and nothing filters. */
function isDialable(
  { local, reached }: Observations,
  views: readonly View[],
  filtering: Part<Dependence>,
): boolean {
  if (reached === true) return true
  const isTranslated = views.length === 0 || views.some(({ outside }) => !sameEndpoint(outside, local))
  return !isTranslated && filtering.value === 'endpoint-independent'
}

/** From outside views of one inside port: between which of them the outside differs, decides. */
function mappingOf(views: readonly View[]): Part<Dependence> {
  if (views.length === 0) return unknown('nat-not-seen')
  const pairs = views.flatMap((one, index) =>
    views.slice(index + 1).map((other) => ({
      isSameReflector: sameEndpoint(one.reflector, other.reflector),
      isSameAddress: sameIp(one.reflector.ip, other.reflector.ip),
      isSameOutside: sameEndpoint(one.outside, other.outside),
    })),
  )
  const among = (chosen: typeof pairs): 'none' | 'same' | 'other' | 'both' => {
    const same = chosen.filter(({ isSameOutside }) => isSameOutside).length
    if (chosen.length === 0) return 'none'
    return same === chosen.length ? 'same' : same === 0 ? 'other' : 'both'
  }
  const repeats = among(pairs.filter(({ isSameReflector }) => isSameReflector))
  const ports = among(pairs.filter(({ isSameAddress, isSameReflector }) => isSameAddress && !isSameReflector))
  const addresses = among(pairs.filter(({ isSameAddress }) => !isSameAddress))
  // A mapping that moved in between, a liar, or two of a few ports that met by chance.
  if (repeats === 'other' || [repeats, ports, addresses].includes('both'))
    return unknown('nat-views-contradict')
  if (addresses === 'same')
    return ports === 'other' ? unknown('nat-views-contradict') : known('endpoint-independent')
  if (ports === 'other') return known('address-and-port-dependent')
  return addresses === 'other' && ports === 'same' ? known('address-dependent') : unknown('nat-one-reflector')
}

/** From who got in: what comes from an address never sent to tells more than what comes from another port of one sent to. */
function filteringOf(arrivals: readonly Arrival[]): Part<Dependence> {
  const fromAnywhere = reachedFrom(
    arrivals.filter(({ sentTo, from }) => !sentTo.some((to) => sameIp(to.ip, from.ip))),
  )
  // What comes from the very endpoint that was sent to is let in by every NAT, and tells nothing.
  const fromOtherPort = reachedFrom(
    arrivals.filter(
      ({ sentTo, from }) =>
        sentTo.some((to) => sameIp(to.ip, from.ip)) && !sentTo.some((to) => sameEndpoint(to, from)),
    ),
  )
  if (fromAnywhere === true) return known('endpoint-independent')
  if (fromOtherPort === false) return known('address-and-port-dependent')
  return fromOtherPort === true && fromAnywhere === false
    ? known('address-dependent')
    : unknown('nat-not-probed')
}

/** One that came is enough: the others may have been lost. */
function reachedFrom(arrivals: readonly Arrival[]): boolean | null {
  return arrivals.length === 0 ? null : arrivals.some(({ arrived }) => arrived)
}

function keepsPortOf(local: Endpoint, views: readonly View[]): Part<boolean> {
  return views.length === 0
    ? unknown('nat-not-seen')
    : known(views.every(({ outside }) => outside.port === local.port))
}

function hintsOf({ local, routerOutside }: Observations, views: readonly View[]): Classified['hints'] {
  const translated = views.map(({ outside }) => outside.ip).filter((ip) => !sameIp(ip, local.ip))
  const scopes = new Set([...translated, ...(routerOutside === null ? [] : [routerOutside])].map(scopeOf))
  const seen = new Set(views.map(({ outside }) => ipKey(outside.ip)))
  const isElsewhere = routerOutside !== null && seen.size > 0 && !seen.has(ipKey(routerOutside))
  const isCarrier = scopes.has('shared')
  return [
    ...(isCarrier ? (['nat-carrier'] as const) : []),
    ...(!isCarrier && (scopes.has('private') || isElsewhere) ? (['nat-double'] as const) : []),
    ...(seen.size > 1 ? (['nat-several-addresses'] as const) : []),
  ]
}

/** What a node tells others of the endpoints it was seen at: each once. */
export function outsideEndpoints(views: readonly View[]): Endpoint[] {
  return [...new Map(views.map(({ outside }) => [endpointKey(outside), outside])).values()]
}
