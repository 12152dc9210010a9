import type { TraversalCode } from './errors.ts'
import { endpointKey, ipKey, isSamePlace, sameEndpoint, scopeOf, type Endpoint } from './endpoint.ts'
import { DIALLED_ADDRESSES_MAX, DIALLED_PORT_MIN, ENDPOINTS_MAX } from './limits.ts'

/** Codes of endpoints that are not dialled. */
export type EndpointCode = Extract<
  TraversalCode,
  'address-not-public' | 'address-own' | 'address-not-vouched' | 'port-reserved' | 'candidate-limit'
>

/** Which of the endpoints another node names are dialled, and why the others are not. */
export interface EndpointChoice {
  readonly dialled: readonly Endpoint[]
  readonly refused: readonly { readonly endpoint: Endpoint; readonly code: EndpointCode }[]
}

/**
 * Whoever names endpoints may name a victim's. So only public ones are dialled, on ports where no service of the system is,
 * at no more than `DIALLED_ADDRESSES_MAX` addresses; and where it is known where the node is (`vouched`: its relay has seen it
 * there, or it is dialled there anyway since it announces an address of IPv6), at these places only. `own`: endpoints of this
 * node.
 */
export function chooseEndpoints(
  endpoints: readonly Endpoint[],
  own: readonly Endpoint[],
  vouched: readonly Uint8Array[] | null,
): EndpointChoice {
  const dialled = new Map<string, Endpoint>()
  const addresses = new Set<string>()
  const refused: { endpoint: Endpoint; code: EndpointCode }[] = []
  for (const endpoint of endpoints.slice(0, ENDPOINTS_MAX)) {
    const address = ipKey(endpoint.ip)
    const isLimit = !addresses.has(address) && addresses.size >= DIALLED_ADDRESSES_MAX
    const code = codeOf(endpoint, own, vouched) ?? (isLimit ? 'candidate-limit' : null)
    if (code !== null) refused.push({ endpoint, code })
    else {
      addresses.add(address)
      dialled.set(endpointKey(endpoint), endpoint)
    }
  }
  return { dialled: [...dialled.values()], refused }
}

function codeOf(
  endpoint: Endpoint,
  own: readonly Endpoint[],
  vouched: readonly Uint8Array[] | null,
): EndpointCode | null {
  if (scopeOf(endpoint.ip) !== 'public') return 'address-not-public'
  if (own.some((each) => sameEndpoint(each, endpoint))) return 'address-own'
  if (endpoint.port < DIALLED_PORT_MIN) return 'port-reserved'
  return vouched === null || vouched.some((ip) => isSamePlace(ip, endpoint.ip)) ? null : 'address-not-vouched'
}
