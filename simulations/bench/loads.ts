import type { Forwarder } from './forwarders.ts'
import { SERVICE_PORTS } from './forwarders.ts'
import type { Lab } from '../lab/lab.ts'
import { nodeArguments } from './machines.ts'
import { cpuSeconds } from './process-tree.ts'
import { median, quantile } from './statistics.ts'
import { daemon } from '../lab/programs.ts'

/* What is done over each way, from the near machine, and what it costs the processes of the way. */

/** Figures of one load, by metric. */
export type Figures = Readonly<Record<string, number>>

const CONNECTIONS = 16
const ECHO_COUNT = 400
const ECHO_BYTES = 64
/** A way that hangs must not hang the run. */
const SPARE_MS = 20_000

/** Starts the services on the far machine: iperf3, nginx and an echo. */
export async function startServices(machines: Lab): Promise<void> {
  const nginx = daemon('nginx')
  const { directory } = machines
  machines.start('far', 'iperf3', ['-s', '-p', String(SERVICE_PORTS.bulk)])
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/nginx-${name};`)
    .join(' ')
  const config = machines.file(
    'nginx.conf',
    `daemon off; master_process off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr crit; user root;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 1000000; ${paths}
  server { listen ${SERVICE_PORTS.web} backlog=4096; location / { return 200 "ok\\n"; } } }
`,
  )
  machines.start('far', nginx?.path ?? 'nginx', ['-p', directory, '-e', 'stderr', '-c', config], {
    env: nginx?.env ?? {},
  })
  await machines
    .start('far', process.execPath, nodeArguments('echo-server.ts', [], [String(SERVICE_PORTS.echo)]))
    .line()
}

/** Waits until the way carries a byte there and back. */
export async function probe(machines: Lab, way: Forwarder): Promise<void> {
  const { host, port } = way.target('echo')
  const answer = await machines.run(
    'near',
    process.execPath,
    nodeArguments('echo-client.ts', [], [host, String(port), 'probe', '20000']),
  )
  if (answer.code !== 0) throw new Error(`${way.name} does not carry anything: ${answer.stderr}`)
}

/** CPU seconds of all processes of the way so far. */
export function cpuOf(way: Forwarder): number {
  return cpuSeconds(Object.values(way.processes).flat())
}

interface IperfResult {
  readonly end?: { readonly sum_received?: { readonly bytes: number; readonly bits_per_second: number } }
}

/** One TCP stream from near to far, as fast as it goes. */
export async function bulk(machines: Lab, way: Forwarder, seconds: number): Promise<Figures> {
  const { host, port } = way.target('bulk')
  const before = cpuOf(way)
  const args = ['-c', host, '-p', String(port), '-t', String(seconds), '-J']
  const { stdout, stderr } = await machines.run('near', 'iperf3', args, {
    timeoutMs: seconds * 3000 + SPARE_MS,
  })
  const cpu = cpuOf(way) - before
  const received = (JSON.parse(stdout === '' ? '{}' : stdout) as IperfResult).end?.sum_received
  if (received === undefined || received.bytes === 0)
    throw new Error(`iperf3 over ${way.name}: ${stdout.slice(-500)}${stderr}`)
  return { bulkGbps: received.bits_per_second / 1e9, bulkCpuSecondsPerGb: cpu / (received.bytes / 1e9) }
}

/** HTTP requests over 16 connections: each on a fresh one, or all on the same. `cpuUs` is of the way's processes per request. */
export async function web(
  machines: Lab,
  way: Forwarder,
  seconds: number,
  kind: 'fresh' | 'kept',
): Promise<{ readonly perSecond: number; readonly cpuUs: number; readonly failed: number }> {
  const { host, port } = way.target('web')
  const header = kind === 'fresh' ? ['-H', 'Connection: close'] : []
  const before = cpuOf(way)
  const { stdout, stderr } = await machines.run(
    'near',
    'wrk',
    ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '5s', ...header, `http://${host}:${port}/`],
    { timeoutMs: seconds * 1000 + SPARE_MS },
  )
  const cpu = cpuOf(way) - before
  const count = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0)
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0)
  if (count === 0) throw new Error(`wrk over ${way.name}: ${stdout}${stderr}`)
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)
  const failed = errors === null ? 0 : errors.slice(1).reduce((sum, text) => sum + Number(text), 0)
  return { perSecond, cpuUs: (cpu * 1e6) / count, failed }
}

/** Round trips of 64 bytes on one open connection. */
export async function echo(machines: Lab, way: Forwarder): Promise<Figures> {
  const { host, port } = way.target('echo')
  const { code, stdout, stderr } = await machines.run(
    'near',
    process.execPath,
    nodeArguments('echo-client.ts', [], [host, String(port), 'rtt', String(ECHO_COUNT), String(ECHO_BYTES)]),
  )
  if (code !== 0) throw new Error(`echo over ${way.name}: ${stderr}`)
  const times = JSON.parse(stdout) as number[]
  return { echoMedianUs: median(times), echoP99Us: quantile(times, 0.99) }
}
