import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { daemon } from '../programs.ts'
import type { Lab } from './lab.ts'

/** A blob is written so many bytes at once: one of a gigabyte need not fit into memory. */
const PIECE_BYTES = 50_000_000
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

/**
 * Starts Debian's nginx at 127.0.0.1 of a machine, with `/blob` of `blobBytes` random bytes and a short `/small`; the blob's
 * SHA-256. @throws Error when nginx is not unpacked.
 */
export function startNginx(lab: Lab, machine: string, port: number, blobBytes: number): string {
  const nginx = daemon('nginx')
  if (nginx === undefined) throw new Error('nginx is not unpacked; `npm test` does it')
  const prefix = lab.folder('nginx')
  lab.folder('nginx/www')
  lab.file('nginx/www/small', 'small')
  const config = lab.file(
    'nginx/nginx.conf',
    `daemon off; master_process off; pid ${prefix}/pid; error_log stderr;
events {}
http {
  access_log off; sendfile on;
  ${TEMPORARY.map((kind) => `${kind}_temp_path ${prefix}/${kind};`).join(' ')}
  server { listen 127.0.0.1:${port}; root ${prefix}/www; }
}
`,
  )
  const sha256 = writeRandom(join(prefix, 'www', 'blob'), blobBytes)
  lab.start(machine, nginx.path, ['-p', prefix, '-c', config, '-e', 'stderr'], { env: nginx.env })
  return sha256
}

/** Writes a file of random bytes; their SHA-256. */
function writeRandom(path: string, sizeBytes: number): string {
  const hash = createHash('sha256')
  for (let left = sizeBytes; left > 0; left -= PIECE_BYTES) {
    const piece = randomBytes(Math.min(left, PIECE_BYTES))
    hash.update(piece)
    appendFileSync(path, piece)
  }
  return hash.digest('hex')
}
