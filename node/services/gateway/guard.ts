import type { IncomingHttpHeaders } from 'node:http'
import { parseName } from '../../../protocols/naming/names.ts'

/**
 * The service a Host header asks for: the real name (`wiki.home.internal`), or the one that opens with nothing set up
 * (`wiki.<hex>.localhost`). The port is not part of the decision: forwards and privileged ports differ.
 * @returns a name for `Reach.find`, or undefined when the header names no service.
 */
export function serviceOfHost(
  host: string | undefined,
  domain: string,
  localLabel: string,
): string | undefined {
  const name = host?.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '')
  if (name === undefined) return undefined
  const localSuffix = `.${localLabel}.localhost`
  if (name.endsWith(localSuffix)) {
    const service = name.slice(0, -localSuffix.length)
    return /^[a-z0-9-]{1,63}$/.test(service) ? service : undefined
  }
  const parsed = parseName(name, domain)
  return parsed?.kind === 'service' || parsed?.kind === 'provider' ? name : undefined
}

/**
 * Whether another site is behind this request. The gateway lends this node's rights to every page the browser shows, so a
 * request that some other site caused is refused unless it is the user following a link: a top-level GET navigation. Other
 * services of the mesh count as other sites. Programs (no Sec-Fetch-Site, no Origin) are not browsers and pass.
 * W3C Fetch Metadata; browsers without it still send Origin with everything but plain GET.
 */
export function isForeignRequest(method: string, headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site']
  if (site === undefined) {
    const origin = headers.origin
    return origin !== undefined && origin.replace(/^https?:\/\//, '') !== headers.host
  }
  if (site === 'same-origin' || site === 'none') return false
  const isNavigation = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  return !(isNavigation && (method === 'GET' || method === 'HEAD'))
}
