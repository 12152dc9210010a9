import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { shrink } from './checkers/shrink.ts'
import { readReport } from './replay/read.ts'
import { replayReport } from './replay/show.ts'
import { SimulationError } from './scenarios/errors.ts'
import { LARGE, NAMED } from './scenarios/index.ts'
import {
  describeFailure,
  renderJunit,
  renderSummary,
  replayCommand,
  toJson,
  type Finished,
} from './scenarios/report.ts'
import { runScenario, type RunResult } from './scenarios/run.ts'
import { RANDOM, readReplayFile, selectJobs, type Job } from './scenarios/suite.ts'
import { traceTo, type TraceFile } from './scenarios/trace-file.ts'

const USAGE = `npm run sim -- [SCENARIO or FILE…] [options]
  --list           what there is
  --seed N         first seed (1)
  --seeds N        so many seeds of each
  --nodes N        another size
  --replay FILE    a failure's file again, or what \`kith bugreport\` wrote, step by step
  --until N        only the first N steps of a report
  --nightly        the large ones, and ${RANDOM} at 50 nodes from 500 seeds
  --no-shrink      leave a failure as it is
  --json           one document on standard output
  --junit FILE     JUnit's XML
  --trace FILE     every event of a single run, one JSON document a line`

/** Runs between two lines in a log that is no terminal, and what is worth a line of its own. */
const PROGRESS_EVERY = 25
const LONG_MS = 30_000

/** Failures made small in one go: enough to see a pattern. */
const SHRUNK_MAX = 5

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      allowNegative: true,
      options: {
        list: { type: 'boolean', default: false },
        seed: { type: 'string', default: '1' },
        seeds: { type: 'string' },
        nodes: { type: 'string' },
        replay: { type: 'string' },
        until: { type: 'string' },
        nightly: { type: 'boolean', default: false },
        shrink: { type: 'boolean', default: true },
        json: { type: 'boolean', default: false },
        junit: { type: 'string' },
        trace: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new SimulationError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new SimulationError(`--${name} takes a number from 1, not "${text}"`)
  return Number(text)
}

function runJob(job: Job, trace: TraceFile | null): { result: RunResult; cpuMs: number } {
  const before = process.cpuUsage()
  const scenario = job.make()
  trace?.begin(scenario, job.seed)
  const result = runScenario(scenario, {
    seed: job.seed,
    onTrace: trace?.onTrace,
    onFault: trace?.onFault,
    watcher: trace?.watcher,
  })
  const { user, system } = process.cpuUsage(before)
  return { result, cpuMs: (user + system) / 1000 }
}

/** Makes a failure small and leaves it in a file. */
function shrinkToFile({ result }: { result: RunResult }): NonNullable<Finished['shrunk']> {
  const small = shrink(result, (scenario) => runScenario(scenario, { seed: result.seed }))
  const directory = join(tmpdir(), 'kith-sim')
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `${result.scenario.name}-${result.seed}.json`)
  const { scenario, seed, hash, violation } = small.result
  writeFileSync(file, `${JSON.stringify({ seed, hash, violation, scenario }, null, 2)}\n`)
  return { ...small, file }
}

function list(asJson: boolean): string {
  const all = [
    ...NAMED.map((scenario) => ({ scenario, large: false })),
    ...LARGE.map((scenario) => ({ scenario, large: true })),
  ]
  const rows = all.map(({ scenario: { name, nodes, seconds, summary }, large }) => ({
    name,
    nodes,
    seconds,
    large,
    summary,
  }))
  if (asJson) return JSON.stringify(rows)
  const lines = rows.map(
    ({ name, nodes, seconds, large, summary }) =>
      `${name.padEnd(26)} ${String(nodes).padStart(5)} nodes ${String(seconds).padStart(6)} s  ${large ? '(nightly) ' : ''}${summary}`,
  )
  return [...lines, `${RANDOM.padEnd(26)} faults drawn from the seed`].join('\n')
}

function main(): number {
  const { values, positionals } = parse()
  const print = (text: string) => void process.stdout.write(`${text}\n`)
  if (values.help) return (print(USAGE), 0)
  if (values.list) return (print(list(values.json)), 0)
  const until = count('until', values.until)
  const report = values.replay === undefined ? null : readReport(values.replay)
  if (report !== null) {
    const { text, document, isSame } = replayReport(report, { until, trace: values.trace })
    print(values.json ? JSON.stringify(document) : text)
    return isSame ? 0 : 1
  }
  if (until !== undefined) throw new SimulationError('--until goes with --replay and a report')
  const [seed, seeds, nodes] = [
    count('seed', values.seed) ?? 1,
    count('seeds', values.seeds),
    count('nodes', values.nodes),
  ]
  const jobs =
    values.replay === undefined
      ? selectJobs({ names: positionals, seed, seeds, nodes, isNightly: values.nightly })
      : [readReplayFile(values.replay)]
  if (values.trace !== undefined && jobs.length !== 1)
    throw new SimulationError(`--trace takes a single run, these are ${jobs.length}`)
  const trace = values.trace === undefined ? null : traceTo(values.trace)
  const finished: Finished[] = []
  for (const [i, job] of jobs.entries()) {
    if (process.stderr.isTTY)
      process.stderr.write(`\r\x1b[K${i + 1} of ${jobs.length}: ${job.name}, seed ${job.seed}`)
    const done = runJob(job, trace)
    const failures = finished.filter(({ shrunk }) => shrunk !== null).length
    const isSmall = values.shrink && values.replay === undefined && failures < SHRUNK_MAX
    const shrunk = done.result.violation !== null && isSmall ? shrinkToFile(done) : null
    finished.push({ ...done, shrunk })
    if (
      !process.stderr.isTTY &&
      values.nightly &&
      (finished.length % PROGRESS_EVERY === 0 || done.cpuMs > LONG_MS)
    )
      process.stderr.write(`${progressOf(finished, jobs.length, job.name)}\n`)
    if (done.result.violation === null || values.json) continue
    const command =
      values.replay === undefined
        ? commandOf(done.result, positionals)
        : `npm run sim -- --replay ${values.replay}`
    print(`${process.stderr.isTTY ? '\r\x1b[K' : ''}${describeFailure({ ...done, shrunk }, command)}`)
  }
  trace?.close()
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  if (values.junit !== undefined) writeFileSync(values.junit, renderJunit(finished))
  print(values.json ? JSON.stringify(finished.map(toJson)) : summaryOf(finished))
  return finished.some(({ result }) => result.violation !== null) ? 1 : 0
}

/** A line for the log of a night: what is done so far. */
function progressOf(finished: readonly Finished[], jobs: number, last: string): string {
  const failed = finished.filter(({ result }) => result.violation !== null).length
  const { cpuMs = 0 } = finished.at(-1) ?? {}
  return `${finished.length} of ${jobs} done, ${failed} failed; last ${last} in ${(cpuMs / 1000).toFixed(1)} CPU-s`
}

/** A scenario from a file is named by its file. */
function commandOf(result: RunResult, positionals: readonly string[]): string {
  const file = positionals.find((name) => name.endsWith('.json'))
  const isKnown = [RANDOM, ...[...NAMED, ...LARGE].map(({ name }) => name)].includes(result.scenario.name)
  const command = replayCommand(result)
  return isKnown || file === undefined ? command : command.replace(result.scenario.name, file)
}

function summaryOf(finished: readonly Finished[]): string {
  const failed = finished.filter(({ result }) => result.violation !== null).length
  const cpuMs = finished.reduce((sum, each) => sum + each.cpuMs, 0)
  const events = finished.reduce((sum, { result }) => sum + result.events, 0)
  const one = finished.length === 1 ? `, trace hash ${finished[0]?.result.hash}` : ''
  const rate = Math.round(events / Math.max(cpuMs, 1))
  return [
    renderSummary(finished),
    '',
    `${finished.length - failed} held, ${failed} failed; ${events} events in ${(cpuMs / 1000).toFixed(1)} CPU-s, ${rate}k a CPU-s${one}`,
  ].join('\n')
}

try {
  process.exitCode = main()
} catch (error) {
  if (!(error instanceof SimulationError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
