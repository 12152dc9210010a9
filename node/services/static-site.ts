import { realpathSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join, relative, sep } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import sirv from 'sirv'

/** Serves a published folder over connections that already exist. */
export interface StaticSite {
  /** Speaks HTTP on this stream. */
  serve(connection: Duplex): void
  close(): void
}

/** What sirv appends to a path in search of a file. */
const SUFFIXES = ['', '.html', '.htm', '/index', '/index.html', '/index.htm']

/** A static site of `folder`: files read on each request, dot files hidden, no directory listing, never outside the folder. */
export function createStaticSite(folder: string): StaticSite {
  const files = sirv(folder, { dev: true, etag: true })
  const server = createServer((request, response) => {
    const answer = (status: number, text: string): void => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'Only GET and HEAD')
    if (!isServed(folder, request.url ?? '/')) return answer(404, 'Not found')
    response.once('pipe', (source) => joinFile(source, response))
    dropOddRange(request)
    files(request, response, () => answer(404, 'Not found'))
  })
  return {
    serve: (connection) => void server.emit('connection', connection),
    close: () => void server.close(),
  }
}

/**
 * Dot files (`.env`, `.git`) are not for others; `/.well-known/` is (RFC 8615). Links must not lead out of the folder or to a
 * dot file, and only regular files are opened: a pipe would block a thread of the whole process. sirv checks none of it.
 */
function isServed(folder: string, url: string): boolean {
  const [path = ''] = url.split('?')
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return false // not a path at all
  }
  if (!path.startsWith('/') || decoded.includes('\0') || isHidden(decoded)) return false
  const root = realpath(folder)
  if (root === undefined) return false
  return SUFFIXES.every((suffix) => {
    const real = realpath(join(root, decoded.replace(/\/$/, '') + suffix))
    if (real === undefined || real === root) return true // nothing there: sirv finds the same
    const inside = relative(root, real)
    const stats = statSync(real, { throwIfNoEntry: false })
    return (
      real.startsWith(root + sep) && !isHidden(inside) && (stats?.isFile() || stats?.isDirectory()) === true
    )
  })
}

function isHidden(path: string): boolean {
  return path.split(/[/\\]/).some((part) => part.startsWith('.') && part !== '.well-known')
}

/** Undefined for what does not exist or cannot be looked at. */
function realpath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

/** sirv pipes the file and forgets it: an unreadable file would end the process, a client that leaves would keep it open. */
function joinFile(file: Readable, response: ServerResponse): void {
  file.on('error', () => response.destroy())
  response.once('close', () => file.destroy())
}

/** sirv understands `bytes=A-` and `bytes=A-B` only and fails on the rest; a server may ignore any Range (RFC 9110 §14.2). */
function dropOddRange(request: IncomingMessage): void {
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(request.headers.range ?? '')
  const isPlain =
    match !== null && (match[2] === '' || Number(match[1]) <= Number(match[2])) && match[2] !== '0'
  if (!isPlain) delete request.headers.range
}
