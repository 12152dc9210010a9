import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { installPrograms } from './programs.ts'

/*
 * Runs every test (or the files given) and ends with `N passed, N failed, N skipped`. The parts run one after another, so
 * that what needs the machine for itself (real networks, a browser) has it; each part's time is printed for HACKING.md.
 * What failed is told again at the end, since a log of this length is often kept by its tail only.
 */

const root = join(import.meta.dirname, '..')
const PARTS: readonly { name: string; files: string; workers: number }[] = [
  { name: 'house', files: 'test/*.test.ts', workers: 2 },
  { name: 'protocols', files: 'test/{protocols,bootstrap,simulations}/**/*.test.ts', workers: 2 },
  { name: 'node', files: 'test/node/**/*.test.ts', workers: 2 },
  { name: 'ui', files: 'test/ui/**/*.test.ts', workers: 1 },
  { name: 'interop', files: 'test/interop/**/*.test.ts', workers: 1 },
]

interface Totals {
  passed: number
  failed: number
  skipped: number
  /** The lines of each failure as they were printed, to be told again at the end. */
  failures: string[]
}

/** Runs ava over the files, shows failures whole and passes as one line each with what they measured, and counts. */
async function runFiles(files: readonly string[], workers: number, totals: Totals): Promise<void> {
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules/ava/entrypoints/cli.mjs'), '--tap', `--concurrency=${workers}`, ...files],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '--disable-warning=ExperimentalWarning', FORCE_COLOR: '0' },
    },
  )
  const exited = new Promise<number | null>((done) => void child.once('exit', done))
  const failedBefore = totals.failed
  let isShown = false
  for await (const line of createInterface({ input: child.stdout })) {
    const result = /^(not )?ok \d+ - (.*?)( # [A-Z]+.*)?$/.exec(line)
    const figure = /^#   (.*)$/.exec(line) // what a test measured and logged
    if (figure !== null) process.stdout.write(`      ${figure[1]}\n`)
    if (result === null) {
      if (isShown && !/^(1\.\.|# |TAP version)/.test(line)) {
        process.stdout.write(`${line}\n`)
        totals.failures.push(line)
      }
      continue
    }
    isShown = result[1] !== undefined
    if (result[3] !== undefined) totals.skipped += 1
    else if (isShown) totals.failed += 1
    else totals.passed += 1
    const told = `  ${result[3] !== undefined ? '-' : isShown ? '✘' : '✔'} ${result[2]}`
    process.stdout.write(`${told}\n`)
    if (isShown) totals.failures.push(told)
  }
  const code = await exited
  // A file that crashes or times out reports no test of its own.
  if (code !== 0 && totals.failed === failedBefore) {
    totals.failed += 1
    totals.failures.push(`  ✘ one of ${files.join(', ')} ended with code ${code} and reported no test`)
  }
}

const wanted = process.argv.slice(2)
const totals: Totals = { passed: 0, failed: 0, skipped: 0, failures: [] }
const times: string[] = []
await installPrograms()
for (const part of PARTS) {
  const all = globSync(part.files, { cwd: root })
  const files =
    wanted.length === 0 ? all : all.filter((file) => wanted.some((prefix) => file.startsWith(prefix)))
  if (files.length === 0) continue
  process.stdout.write(`${part.name}\n`)
  const started = performance.now()
  await runFiles(files.sort(), part.workers, totals)
  times.push(`${part.name} ${((performance.now() - started) / 1000).toFixed(1)} s`)
}
if (totals.failures.length > 0) process.stdout.write(`\nfailed\n${totals.failures.join('\n')}\n`)
process.stdout.write(`\ntime: ${times.join(', ')}\n`)
process.stdout.write(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`)
const nothingRan = totals.passed + totals.failed + totals.skipped === 0
process.exitCode = totals.failed > 0 || nothingRan ? 1 : 0
