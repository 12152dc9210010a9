import type { IncomingMessage } from 'node:http'
import { HttpError } from './errors.ts'

/** Methods any route of ours may use; everything else, OPTIONS included (there is no CORS here), is refused at once. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'DELETE'])

/** Where the browser must believe to be: `7f3a91c2.localhost:4780` and `http://7f3a91c2.localhost:4780`. */
export interface Site {
  readonly host: string
  readonly origin: string
}

/** The site of a hex label and a port; port 80 is left out, as browsers do. */
export function siteOf(label: string, port: number): Site {
  const url = new URL(`http://${label}.localhost:${port}`)
  return { host: url.host, origin: url.origin }
}

/**
 * Steps 1 to 3 of the guard: Host, method, origin. Sessions, permissions and bodies come after it. Applied to every
 * request of the TCP listener, static files, errors and WebSocket upgrades included.
 * @throws HttpError `host-denied`, `method-not-allowed`, `origin-denied`.
 */
export function guard(request: IncomingMessage, site: Site): void {
  checkHost(request, site)
  if (!METHODS.has(request.method ?? '')) throw new HttpError('method-not-allowed')
  checkOrigin(request, site)
}

/**
 * Only the exact name and port: a page that rebinds its own name to 127.0.0.1 arrives with that name (CVE-2022-41924,
 * CVE-2018-5702). Forwarding headers are never read. An absolute request target would override Host (RFC 9112 §3.2.2).
 */
function checkHost(request: IncomingMessage, site: Site): void {
  const hosts = request.headersDistinct['host'] ?? []
  if (hosts.length !== 1 || hosts[0] !== site.host || !request.url?.startsWith('/')) {
    throw new HttpError('host-denied')
  }
}

/**
 * `Sec-Fetch-Site` cannot be forged by a page. "same-site" is another port of the same name, which shares our cookies
 * and is not us. Browsers without the header send Origin on everything but plain GETs, and those change nothing.
 */
function checkOrigin(request: IncomingMessage, site: Site): void {
  const reading = request.method === 'GET' || request.method === 'HEAD'
  const origins = request.headersDistinct['origin'] ?? []
  if (origins.some((origin) => origin !== site.origin)) throw new HttpError('origin-denied')
  const fetchSite = request.headers['sec-fetch-site']
  if (fetchSite === undefined) {
    if (!reading && origins.length === 0) throw new HttpError('origin-denied')
    return
  }
  if (fetchSite === 'same-origin') return
  const mode = request.headers['sec-fetch-mode']
  if (fetchSite === 'none' && reading && (mode === undefined || mode === 'navigate')) return
  throw new HttpError('origin-denied')
}

/** A WebSocket handshake is a GET that same-origin policy does not cover: Origin must be there and be ours. */
export function guardUpgrade(request: IncomingMessage, site: Site): void {
  guard(request, site)
  if (request.headers.origin !== site.origin) throw new HttpError('origin-denied')
}
