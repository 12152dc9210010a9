import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

/** One file of the built UI, ready to send. */
export interface Asset {
  readonly type: string
  readonly bytes: Buffer
  readonly gzipped: Buffer | undefined
  readonly etag: string
  /** Hashed names never change; everything else is asked for anew each time. */
  readonly cacheControl: string
}

/** The built UI by URL path, `/index.html` among them. */
export type Assets = ReadonlyMap<string, Asset>

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.woff2': 'font/woff2',
  '.png': 'image/png',
}

/**
 * Reads all of `directory` into memory. Requests are then looked up in a map, so no path of a client ever reaches the
 * file system. Undefined when the UI has not been built.
 */
export async function readAssets(directory: string): Promise<Assets | undefined> {
  const assets = new Map<string, Asset>()
  let names
  try {
    names = await readdir(directory, { recursive: true, withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  for (const name of names) {
    if (!name.isFile()) continue
    const path = join(name.parentPath, name.name)
    const url = `/${relative(directory, path).split(sep).join('/')}`
    assets.set(url, await readAsset(path, url))
  }
  return assets.has('/index.html') ? assets : undefined
}

async function readAsset(path: string, url: string): Promise<Asset> {
  const bytes = await readFile(path)
  const zipped = bytes.length > 512 ? await promisify(gzip)(bytes, { level: 9 }) : undefined
  return {
    type: TYPES[extname(path)] ?? 'application/octet-stream',
    bytes,
    gzipped: zipped && zipped.length < bytes.length ? zipped : undefined,
    etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
    cacheControl: cacheControlOf(url),
  }
}

function cacheControlOf(url: string): string {
  if (url.startsWith('/assets/')) return 'public, max-age=31536000, immutable'
  return url === '/index.html' ? 'no-store' : 'no-cache'
}
