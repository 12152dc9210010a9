import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

/*
 * Joins the node's sources and its dependencies into a few files, which `kith` runs: read once instead of 900 files, without
 * type stripping at run time, without comments in memory. Started by the launcher when a source is newer than the result.
 */

/** Chunks of an earlier build stay this long: a running node may still want to load one of them. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000

const root = join(import.meta.dirname, '..')
// Beside `node/`, so that paths relative to a source file lead to the same places.
const target = join(root, '.build')
const scratch = join(target, `new-${process.pid}`)

const bundle = await rolldown({
  input: join(root, 'node', 'main.ts'),
  platform: 'node',
  external: [/^classic-level$/], // finds its binary beside its own package.json
  logLevel: 'silent',
})
await bundle.write({
  dir: scratch,
  format: 'esm',
  entryFileNames: 'main.mjs',
  chunkFileNames: '[name]-[hash].mjs',
  // Names stay, so that a reported stack can be read.
  minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  keepNames: true,
})

mkdirSync(target, { recursive: true })
const made = readdirSync(scratch)
// The entry last: whoever starts meanwhile finds all it names. Renaming is atomic, so two builds at once do no harm.
for (const file of made.toSorted((a, b) => Number(a === 'main.mjs') - Number(b === 'main.mjs')))
  renameSync(join(scratch, file), join(target, file))
rmSync(scratch, { recursive: true })
const before = readPrevious()
for (const file of readdirSync(target)) {
  const path = join(target, file)
  if (made.includes(file)) continue
  // Its time counts from when it was replaced.
  if (before.has(file)) utimesSync(path, new Date(), new Date())
  else if (statSync(path).mtimeMs < Date.now() - KEPT_MS) rmSync(path, { recursive: true, force: true })
}
writeFileSync(join(target, '.built'), made.join('\n'))

/** The files of the build before this one. */
function readPrevious(): Set<string> {
  try {
    return new Set(readFileSync(join(target, '.built'), 'utf8').split('\n'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
    throw error
  }
}
