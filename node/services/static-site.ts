import { createServer } from 'node:http'
import type { Duplex } from 'node:stream'
import sirv from 'sirv'

/** Serves a published folder over connections that already exist. */
export interface StaticSite {
  /** Speaks HTTP on this stream. */
  serve(connection: Duplex): void
  close(): void
}

/** A static site of `folder`: files read on each request, dot files hidden, no directory listing, never outside the folder. */
export function createStaticSite(folder: string): StaticSite {
  const files = sirv(folder, { dev: true, etag: true })
  const server = createServer((request, response) => {
    const notFound = (): void => {
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('Not found\n')
    }
    if (isHidden(request.url ?? '/')) notFound()
    else files(request, response, notFound)
  })
  return {
    serve: (connection) => void server.emit('connection', connection),
    close: () => void server.close(),
  }
}

/** Dot files (`.env`, `.git`) are not for others; `/.well-known/` is (RFC 8615). In its fresh-read mode sirv would serve them. */
function isHidden(url: string): boolean {
  const [path = ''] = url.split('?')
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return true // not a path at all
  }
  return decoded.split(/[/\\]/).some((part) => part.startsWith('.') && part !== '.well-known')
}
