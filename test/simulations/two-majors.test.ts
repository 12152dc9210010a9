import test from 'ava'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { rolldown } from 'rolldown'
import { temporaryFolder } from '../temporary-folder.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'simulations', 'main.ts')
const RUNS: readonly (readonly string[])[] = [
  ['kill-one', '--nodes', '40'],
  ['partition', '--nodes', '40', '--seed', '3'],
  ['kill-one-real-crypto'],
  ['random', '--seed', '11', '--nodes', '30'],
]

/** A Node in the search path of another major than this one; the machine's own, beside the one the project pins. */
function otherNode(): string | undefined {
  const major = (version: string): string => version.split('.')[0] ?? ''
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'node'))
    .filter(existsSync)
    .find((node) => {
      const { stdout, status } = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' })
      return status === 0 && major(stdout) !== major(process.versions.node)
    })
}

const other = otherNode()
const story = other === undefined ? test.skip : test

story('another major of Node does the very same runs', async (t) => {
  t.timeout(120_000)
  // As one plain file: an older Node does not run TypeScript.
  const directory = temporaryFolder()
  const file = join(directory, 'sim.mjs')
  const bundle = await rolldown({ input: MAIN, platform: 'node', logLevel: 'silent' })
  await bundle.write({ file, format: 'esm', codeSplitting: false })
  for (const run of RUNS) {
    const [ours, theirs] = [process.execPath, other ?? ''].map((node) => {
      const { stdout, stderr, status } = spawnSync(node, [file, ...run, '--json'], { encoding: 'utf8' })
      t.is(status, 0, stderr)
      const [result] = JSON.parse(stdout) as [{ hash: string; events: number; measures: object }]
      return { hash: result.hash, events: result.events, measures: result.measures }
    })
    t.deepEqual(theirs, ours)
    t.log(`${run.join(' ')}: ${ours?.hash}, ${ours?.events} events`)
  }
})
