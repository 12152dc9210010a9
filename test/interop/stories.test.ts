import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'ava'
import type { Played } from '../../simulations/lab/story-play.ts'
import { STORIES } from '../../simulations/scenarios/stories.ts'
import { reasonToSkip } from './lab.ts'

/*
 * The lab's stories as `npm run lab` plays them: what real processes behind real NAT come to, and how long it takes them, against
 * the simulator's word.
 */

const skip = reasonToSkip(['nft', 'conntrack', 'curl'])
if (skip !== undefined) process.stderr.write(`stories: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

const COMMAND = join(import.meta.dirname, '..', '..', 'simulations', 'lab', 'run.ts')

story('every story ends in the lab as it does in the simulator', async (t) => {
  t.timeout(600_000)
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', COMMAND, '--json'])
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>,
  ])
  const played = code === 0 || code === 1 ? (JSON.parse(stdout) as Played[]) : []
  t.deepEqual(
    played.map((each) => each.story),
    STORIES.map(({ name }) => name),
    stderr,
  )
  for (const { story: name, ok, checks, tookMs, logs } of played) {
    const said = checks.map(
      (check) => `${check.name} ${check.settledMs} ms, simulator ${check.predictedMs} ms`,
    )
    t.log(`${name}: ${said.join('; ')} (${Math.round(tookMs / 1000)} s)`)
    if (!ok) t.log(`${checks.flatMap(({ differences }) => differences).join('; ')}\n${logs ?? ''}`)
  }
  t.deepEqual(
    played.filter(({ ok }) => !ok).map((each) => each.story),
    [],
  )
})
