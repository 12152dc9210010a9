import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { SimulationError } from '../scenarios/errors.ts'
import { LONG_STORIES, STORIES } from '../scenarios/stories.ts'
import { askedFor, differences, predict } from '../scenarios/story-outcome.ts'
import { checksOf, nodesOf, readStory, type Story } from '../scenarios/story.ts'
import { Lab } from './lab.ts'
import { missingForLab } from './programs.ts'
import { printMatrix, runPunchMatrix, type PunchRow } from './punch-matrix.ts'
import { play, type Played } from './story-play.ts'
import { renderPlayed } from './story-report.ts'

const USAGE = `npm run lab -- [STORY or FILE…] [options]
  --list       what there is
  --full       the long ones too, and at the end the matrix with 20 tries a pair
  --seed N     of the lab's internet and of the simulator (1)
  --jobs N     stories at the same time (3)
  --matrix     every pair of NAT kinds punches, instead of stories: 3 tries, with --full 20
  --json       one document on standard output`

/** Stories wait most of the time: three share two cores without being late. */
const JOBS = '3'
/** Of each ordered pair of the matrix. */
const MATRIX_TRIES = { some: 3, full: 20 } as const
/** Tries between two lines of progress. */
const MATRIX_PROGRESS = 50
/** A story whose program says nothing by then is over. */
const STORY_TIMEOUT_MS = 20 * 60_000

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        list: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        seed: { type: 'string', default: '1' },
        jobs: { type: 'string', default: JOBS },
        matrix: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        /** Plays in this process: each story has one, and so namespaces of its own. */
        here: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new SimulationError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

function find(name: string): Story {
  const known = [...STORIES, ...LONG_STORIES].find((story) => story.name === name)
  if (known !== undefined) return known
  if (!name.endsWith('.json'))
    throw new SimulationError(`there is no story "${name}"; --list shows them, a file ends in .json`)
  try {
    return readStory(JSON.parse(readFileSync(name, 'utf8')))
  } catch (error) {
    const said =
      error instanceof z.ZodError
        ? error.issues.map(({ path, message }) => `${path.join('.')} ${message}`.trim()).join('; ')
        : String(error)
    throw new SimulationError(`${name} is no story: ${said}`, { cause: error })
  }
}

/** Plays one story here: the simulator first, whose outcome must be what the story asks for, then the lab. */
async function playHere(story: Story, seed: string, onProgress: (line: string) => void): Promise<Played> {
  const prediction = predict(story, seed)
  const wrong = prediction.checks.flatMap((check, i) => {
    const asked = checksOf(story)[i]
    return asked === undefined ? [] : differences(check.outcome, askedFor(story, asked))
  })
  const broken = prediction.run.violation?.text
  if (broken !== undefined || wrong.length > 0)
    throw new Error(`the simulator does not play ${story.name} as it should: ${broken ?? wrong.join('; ')}`)
  return play(story, prediction, { seed, onProgress })
}

/** Plays one story, given by name or file, in a process of its own, whose progress goes to this one's standard error. */
async function playBeside(story: Story, given: string, seed: string): Promise<Played> {
  const child = spawn(
    process.execPath,
    [...process.execArgv, import.meta.filename, given, '--here', '--json', '--seed', seed],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const end = (): void => void child.kill('SIGTERM')
  process.once('exit', end)
  const late = setTimeout(end, STORY_TIMEOUT_MS)
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number]>])
  clearTimeout(late)
  process.off('exit', end)
  const [played] = stdout === '' ? [] : (JSON.parse(stdout) as Played[])
  const { name } = story
  const logs = `${name} could not be played (exit ${code})`
  return played ?? { story: name, nodes: 0, ok: false, formedMs: 0, tookMs: 0, checks: [], logs }
}

/** Several at the same time, the longest first; the outcomes in the order given. */
async function playAll(
  stories: readonly { story: Story; given: string }[],
  seed: string,
  jobs: number,
): Promise<Played[]> {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))
  const waiting = stories.toSorted((a, b) => secondsOf(b.story) - secondsOf(a.story))
  const played = new Map<Story, Played>()
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      played.set(next.story, await playBeside(next.story, next.given, seed))
  }
  await Promise.all(Array.from({ length: Math.min(jobs, stories.length) }, work))
  return stories.flatMap(({ story }) => played.get(story) ?? [])
}

/** When a story's last step is. */
function secondsOf({ steps }: Story): number {
  return Math.max(...steps.map(({ at }) => at))
}

async function matrix(seed: string, tries: number): Promise<PunchRow[]> {
  const lab = new Lab()
  try {
    const onProgress = (done: number, all: number): void =>
      void (done % MATRIX_PROGRESS === 0 && process.stderr.write(`${done} of ${all} tries\n`))
    return await runPunchMatrix(lab, { tries, seed, onProgress })
  } finally {
    await lab.close()
  }
}

function list(asJson: boolean): string {
  const rows = [...STORIES, ...LONG_STORIES].map((story) => ({
    name: story.name,
    nodes: nodesOf(story).length,
    seconds: secondsOf(story),
    full: LONG_STORIES.includes(story),
    summary: story.summary,
  }))
  if (asJson) return JSON.stringify(rows)
  return rows
    .map(
      ({ name, nodes, seconds, full, summary }) =>
        `${name.padEnd(18)} ${String(nodes).padStart(2)} nodes ${String(seconds).padStart(4)} s  ${full ? '(full) ' : ''}${summary}`,
    )
    .join('\n')
}

async function main(): Promise<number> {
  const { values, positionals } = parse()
  const print = (said: string): void => void process.stdout.write(`${said}\n`)
  if (values.help) return (print(USAGE), 0)
  if (values.list) return (print(list(values.json)), 0)
  for (const name of ['seed', 'jobs'] as const)
    if (!/^[1-9]\d{0,8}$/.test(values[name]))
      throw new SimulationError(`--${name} takes a number from 1, not "${values[name]}"`)
  const all = values.full ? [...STORIES, ...LONG_STORIES] : STORIES
  const names = positionals.length > 0 ? positionals : all.map(({ name }) => name)
  const stories = names.map((given) => ({ story: find(given), given }))
  const missing = missingForLab()
  if (missing !== undefined) throw new SimulationError(`the lab needs ${missing}`)
  const isRight = (rows: readonly PunchRow[]): boolean => rows.every(({ wrong }) => wrong.length === 0)
  if (values.matrix) {
    const rows = await matrix(values.seed, values.full ? MATRIX_TRIES.full : MATRIX_TRIES.some)
    print(values.json ? JSON.stringify(rows) : printMatrix(rows))
    return isRight(rows) ? 0 : 1
  }
  const said = (name: string) => (line: string) => void process.stderr.write(`${name}: ${line}\n`)
  const played = values.here
    ? await Array.fromAsync(stories, ({ story }) => playHere(story, values.seed, said(story.name)))
    : await playAll(stories, values.seed, Number(values.jobs))
  if (!values.json) print(renderPlayed(played))
  if (!values.json) for (const { logs } of played) if (logs !== null) print(logs)
  const isWhole = values.full && positionals.length === 0
  const rows = isWhole ? await matrix(values.seed, MATRIX_TRIES.full) : []
  if (values.json) print(JSON.stringify(isWhole ? { stories: played, matrix: rows } : played))
  else if (isWhole) print(printMatrix(rows))
  return played.every(({ ok }) => ok) && isRight(rows) ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof SimulationError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
