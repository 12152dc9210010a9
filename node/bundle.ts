import { spawnSync } from 'node:child_process'
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
import { pathToFileURL } from 'node:url'
import { rolldown, type Plugin } from 'rolldown'
import { RUNTIME_FLAGS } from './launcher.cjs'

/*
 * Joins the node's sources and its dependencies into a few files, which `kith` runs: read once instead of 900 files, without
 * type stripping at run time, without comments in memory. Started by the launcher when a source is newer than the result.
 */

/** Chunks of an earlier build stay this long: a running node may still want to load one of them. */
const KEPT_MS = 7 * 24 * 60 * 60 * 1000

/** Compiling takes a third of a second; a machine that swaps may take long, and then does without. */
const COMPILING_MS = 30_000

const root = join(import.meta.dirname, '..')
// Beside `node/`, so that paths relative to a source file lead to the same places.
const target = join(root, '.build')
const scratch = join(target, `new-${process.pid}`)

/**
 * An `import` of `node:http` reads everything the module exports, its WebSocket too, which loads the whole of undici: 3 MB a node
 * and 5 where nothing is compiled yet (Node 24). Taken as it is, each part is read when somebody names it.
 */
const HTTP_ALONE = '\0http.cjs'
const httpAlone: Plugin = {
  name: 'http-alone',
  resolveId(id, importer) {
    if (id !== 'http' && id !== 'node:http') return null
    return importer === HTTP_ALONE ? { id: 'node:http', external: true } : HTTP_ALONE
  },
  load: (id) => (id === HTTP_ALONE ? "module.exports = require('node:http')" : null),
}

const bundle = await rolldown({
  input: join(root, 'node', 'main.ts'),
  platform: 'node',
  external: [/^classic-level$/], // finds its binary beside its own package.json
  plugins: [httpAlone],
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
compileAhead()
writeFileSync(join(target, '.built'), made.join('\n'))

/**
 * Has V8's code of all files kept where `node/main.ts` looks for it: a node that has to parse two megabytes itself keeps 7 MB of
 * what that takes, for as long as it runs. Without it a start only takes longer, so nobody asks how it went.
 */
function compileAhead(): void {
  const cache = join(root, 'node_modules', '.cache', 'kith')
  const urls = made
    .filter((file) => file !== 'main.mjs')
    .map((file) => pathToFileURL(join(target, file)).href)
  const script = `import { enableCompileCache } from 'node:module'
enableCompileCache(${JSON.stringify(cache)})
for (const url of ${JSON.stringify(urls)}) await import(url)
process.exit()`
  spawnSync(process.execPath, [...RUNTIME_FLAGS, '--input-type=module', '--eval', script], {
    stdio: 'ignore',
    timeout: COMPILING_MS,
  })
}

/** The files of the build before this one. */
function readPrevious(): Set<string> {
  try {
    return new Set(readFileSync(join(target, '.built'), 'utf8').split('\n'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
    throw error
  }
}
