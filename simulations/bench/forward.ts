import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../lab/lab.ts'
import { canMakeNamespaces, daemon, hasCommand } from '../lab/programs.ts'
import { BenchError } from './errors.ts'
import { FORWARDERS, type Forwarder } from './forwarders.ts'
import { bulk, cpuOf, echo, probe, startServices, web } from './loads.ts'
import { twoMachines } from './machines.ts'
import { checkStacks, type BenchOptions, type BenchResult } from './options.ts'
import { memory } from './process-tree.ts'
import { ProfiledProcesses } from './profile.ts'
import { figure, Recorder, renderFooter, renderTable, type Column } from './report.ts'

/* A forward between two machines, compared with what a user would take instead. */

const ROUNDS = 3
const BULK_SECONDS = 3
const WEB_SECONDS = 2
const IDLE_SECONDS = 5
const SETTLE_MS = 1000

const HIGHER = ['bulkGbps', 'connectionsPerSecond', 'requestsPerSecond']
const COLUMNS: readonly Column[] = [
  { title: 'Gbit/s', metric: 'bulkGbps' },
  { title: 'x ssh', metric: 'bulkGbps', show: { ratioTo: 'ssh' } },
  { title: 'CPU s/GB', metric: 'bulkCpuSecondsPerGb' },
  { title: 'x ssh', metric: 'bulkCpuSecondsPerGb', show: { ratioTo: 'ssh' } },
  { title: 'conn/s', metric: 'connectionsPerSecond' },
  { title: 'µs/conn', metric: 'connectionCpuUs' },
  { title: 'x ssh', metric: 'connectionCpuUs', show: { ratioTo: 'ssh' } },
  { title: 'req/s', metric: 'requestsPerSecond' },
  { title: 'µs/req', metric: 'requestCpuUs' },
  { title: 'x ssh', metric: 'requestCpuUs', show: { ratioTo: 'ssh' } },
  { title: 'echo µs', metric: 'echoMedianUs' },
  { title: 'p99', metric: 'echoP99Us' },
]
const REST_COLUMNS: readonly Column[] = [
  { title: 'near RSS MB', metric: 'nearResidentMb' },
  { title: 'PSS', metric: 'nearProportionalMb' },
  { title: 'far RSS MB', metric: 'farResidentMb' },
  { title: 'PSS', metric: 'farProportionalMb' },
  { title: 'commands RSS MB', metric: 'commandResidentMb' },
  { title: 'PSS', metric: 'commandProportionalMb' },
  { title: 'idle CPU %', metric: 'idleCpuPercent' },
  { title: 'failed requests', metric: 'failedRequests' },
]

/** Why this machine cannot run it, with what to type. @throws BenchError */
function requireMachine(): void {
  if (!canMakeNamespaces())
    throw new BenchError('forward: needs root and `ip` (iproute2) on Linux to make network namespaces')
  const missing = ['wrk', 'iperf3', 'ssh', 'ssh-keygen', 'ssh-keyscan'].filter((name) => !hasCommand(name))
  const packages = [...new Set(missing.map((name) => (name.startsWith('ssh') ? 'openssh-client' : name)))]
  if (packages.length > 0)
    throw new BenchError(`forward: needs ${missing.join(', ')}: apt-get install ${packages.join(' ')}`)
  const daemons = ['nginx', 'sshd'].filter(
    (name) => daemon(name) === undefined && !existsSync(`/usr/sbin/${name}`),
  )
  if (daemons.length > 0)
    throw new BenchError(
      `forward: needs ${daemons.join(', ')}: \`npm test\` unpacks them beside the project, or apt-get install nginx openssh-server`,
    )
}

/** Runs the benchmark. @throws BenchError when something it needs is missing. */
export async function forward(options: BenchOptions): Promise<BenchResult> {
  const names = checkStacks('forward', Object.keys(FORWARDERS), options.stacks)
  requireMachine()
  const { progress } = options
  const machines = await twoMachines()
  const profiler = options.isProfiled ? new ProfiledProcesses('forward') : undefined
  try {
    await startServices(machines)
    const ways: Forwarder[] = []
    for (const name of names) {
      const started = performance.now()
      const way = await FORWARDERS[name]?.(machines, { kithEnv: profiler?.env ?? {} })
      if (way === undefined) continue
      await probe(machines, way)
      progress(`forward: ${name} is up in ${Math.round(performance.now() - started)} ms`)
      ways.push(way)
    }
    const recorder = new Recorder(
      'forward',
      names,
      Object.fromEntries(HIGHER.map((metric) => [metric, 'higher'])),
      ['raw', 'ssh'],
    )
    const rounds = options.rounds ?? ROUNDS
    for (let round = 0; round <= rounds; round++) {
      // There and back, so that what drifts falls on all of them.
      for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
        const figures = await measure(machines, way, round === 0)
        progress(`forward: ${round === 0 ? 'warm-up' : `round ${round}`}: ${way.name}: ${text(figures)}`)
        if (round > 0) recorder.add(way.name, figures)
      }
    }
    await measureRest(ways, recorder)
    const report = recorder.report(rounds)
    const ours = ways.find(({ name }) => name === 'kith')
    if (profiler !== undefined && ours !== undefined) await profile(machines, ours, profiler, progress)
    const tables = [renderTable(report, COLUMNS), renderTable(report, REST_COLUMNS), renderFooter(report)]
    return { report, text: [...tables, ...(profiler?.summaries ?? [])].join('\n\n') }
  } finally {
    await machines.close()
  }
}

async function measure(machines: Lab, way: Forwarder, isWarmUp: boolean): Promise<Record<string, number>> {
  const share = isWarmUp ? 1 : 0
  const transfer = await bulk(machines, way, BULK_SECONDS - share)
  const fresh = await web(machines, way, WEB_SECONDS, 'fresh')
  const kept = await web(machines, way, WEB_SECONDS - share, 'kept')
  return {
    ...transfer,
    connectionsPerSecond: fresh.perSecond,
    connectionCpuUs: fresh.cpuUs,
    requestsPerSecond: kept.perSecond,
    requestCpuUs: kept.cpuUs,
    failedRequests: fresh.failed + kept.failed,
    ...(await echo(machines, way)),
  }
}

/** Memory after the load, then CPU while nothing is asked. */
async function measureRest(ways: readonly Forwarder[], recorder: Recorder): Promise<void> {
  await sleep(SETTLE_MS)
  const before = ways.map(cpuOf)
  const started = performance.now()
  await sleep(IDLE_SECONDS * 1000)
  const elapsedSeconds = (performance.now() - started) / 1000
  for (const [index, way] of ways.entries()) {
    if (Object.keys(way.processes).length === 0) continue
    const figures: Record<string, number> = {
      idleCpuPercent: ((cpuOf(way) - (before[index] ?? 0)) / elapsedSeconds) * 100,
    }
    for (const [part, pids] of Object.entries(way.processes)) {
      const { residentBytes, proportionalBytes } = memory(pids)
      figures[`${part}ResidentMb`] = residentBytes / 1e6
      figures[`${part}ProportionalMb`] = proportionalBytes / 1e6
    }
    recorder.add(way.name, figures)
  }
}

/** One more pass over our own way with the profiler on, a profile per load; its figures are not counted. */
async function profile(
  machines: Lab,
  way: Forwarder,
  profiler: ProfiledProcesses,
  progress: (line: string) => void,
): Promise<void> {
  const ends = { near: way.processes['near']?.[0] ?? -1, far: way.processes['far']?.[0] ?? -1 }
  for (const [load, run] of Object.entries({
    bulk: () => bulk(machines, way, BULK_SECONDS),
    connections: () => web(machines, way, WEB_SECONDS, 'fresh'),
    requests: () => web(machines, way, WEB_SECONDS, 'kept'),
  })) {
    progress(`forward: profiling ${load}`)
    await profiler.profile(load, ends, run)
  }
}

function text(figures: Readonly<Record<string, number>>): string {
  const shown = COLUMNS.filter(({ show }) => show === undefined)
  return shown.map(({ title, metric }) => `${title} ${figure(figures[metric] ?? Number.NaN)}`).join(', ')
}
