import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { RUNTIME_FLAGS } from '../../node/launcher.cjs'
import { MESSAGE_BYTES, STACK_NAMES, type Answer, type Load, type Question } from './channel-protocol.ts'
import { checkStacks, type BenchOptions, type BenchResult } from './options.ts'
import { ProfiledProcesses } from './profile.ts'
import { Recorder, renderFooter, renderTable, type Column } from './report.ts'
import { median, quantile } from './statistics.ts'

/* The secure channel, compared with what is below and beside it: two processes a stack, over loopback. */

const ROUNDS = 10
const SLICES_MS: Readonly<Record<Load, number>> = { bulk: 400, messages: 250, echo: 250 }
/** The first round compiles: it is longer and not counted. */
const WARM_UP_FACTOR = 4
const PROFILE_MS = 3000
const ANSWER_TIMEOUT_MS = 60_000

const REFERENCES = ['raw', 'noise-xx']
const ratios = (metric: string): Column[] =>
  REFERENCES.map((name) => ({ title: `x ${name}`, metric, show: { ratioTo: name } }))
const COLUMNS: readonly Column[] = [
  { title: 'MB/s', metric: 'bulkMbPerSecond' },
  { title: 'best', metric: 'bulkMbPerSecond', show: 'best' },
  ...ratios('bulkMbPerSecond'),
  { title: 'CPU s/GB', metric: 'bulkCpuSecondsPerGb' },
  { title: 'best', metric: 'bulkCpuSecondsPerGb', show: 'best' },
  ...ratios('bulkCpuSecondsPerGb'),
]
const MESSAGE_COLUMNS: readonly Column[] = [
  { title: 'µs/128 B', metric: 'messageCpuUs' },
  { title: 'best', metric: 'messageCpuUs', show: 'best' },
  ...ratios('messageCpuUs'),
  { title: 'echo µs', metric: 'echoMedianUs' },
  { title: 'best', metric: 'echoMedianUs', show: 'best' },
  ...ratios('echoMedianUs'),
  { title: 'p99', metric: 'echoP99Us' },
]

/** One process of a stack. */
class End {
  readonly #child: ChildProcess
  readonly #name: string

  constructor(stack: string, env: Readonly<Record<string, string>>) {
    this.#name = stack
    this.#child = fork(join(import.meta.dirname, 'channel-end.ts'), [stack], {
      execArgv: [...RUNTIME_FLAGS],
      env: { ...process.env, ...env },
    })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Asks one question; one at a time. */
  async ask(question: Question): Promise<Answer> {
    const ended = new AbortController()
    const onExit = (): void => ended.abort(new Error(`${this.#name}: its process ended`))
    this.#child.once('exit', onExit)
    this.#child.send(question)
    const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)])
    const [answer] = (await once(this.#child, 'message', { signal })) as [Answer]
    this.#child.off('exit', onExit)
    if (answer.error !== undefined) throw new Error(`${this.#name}: ${answer.error}`)
    return answer
  }

  /** Ends the process. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }
}

/** The two processes of a stack, connected. */
interface Pair {
  readonly name: string
  readonly sender: End
  readonly receiver: End
}

/** Runs the benchmark. */
export async function channel(options: BenchOptions): Promise<BenchResult> {
  const names = checkStacks('channel', STACK_NAMES, options.stacks)
  const profiler = options.isProfiled ? new ProfiledProcesses('channel') : undefined
  const pairs: Pair[] = []
  try {
    for (const name of names) {
      const env = name === 'kith' ? (profiler?.env ?? {}) : {}
      const pair = { name, sender: new End(name, env), receiver: new End(name, env) }
      pairs.push(pair)
      const { address = '' } = await pair.receiver.ask({ verb: 'listen' })
      await pair.sender.ask({ verb: 'dial', address })
    }
    const recorder = new Recorder('channel', names, { bulkMbPerSecond: 'higher' }, REFERENCES)
    const rounds = options.rounds ?? ROUNDS
    for (let round = 0; round <= rounds; round++) {
      options.progress(`channel: ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}`)
      // There and back, so that what drifts falls on all of them.
      for (const pair of round % 2 === 0 ? pairs : pairs.toReversed()) {
        const figures = await measure(pair, round === 0 ? WARM_UP_FACTOR : 1)
        if (round > 0) recorder.add(pair.name, figures)
      }
    }
    const report = recorder.report(rounds)
    const ours = pairs.find(({ name }) => name === 'kith')
    if (profiler !== undefined && ours !== undefined) await profile(ours, profiler, options.progress)
    const tables = [renderTable(report, COLUMNS), renderTable(report, MESSAGE_COLUMNS), renderFooter(report)]
    return { report, text: [...tables, ...(profiler?.summaries ?? [])].join('\n\n') }
  } finally {
    await Promise.all(pairs.flatMap(({ sender, receiver }) => [sender.close(), receiver.close()]))
  }
}

async function measure(pair: Pair, factor: number): Promise<Record<string, number>> {
  const bulk = await runOneWay(pair, 'bulk', SLICES_MS.bulk * factor)
  const messages = await runOneWay(pair, 'messages', SLICES_MS.messages * factor)
  const times = await runEcho(pair, SLICES_MS.echo * factor)
  return {
    bulkMbPerSecond: bulk.sizeBytes / 1e6 / (bulk.tookMs / 1000),
    bulkCpuSecondsPerGb: bulk.cpuUs / 1e6 / (bulk.sizeBytes / 1e9),
    bulkSenderCpuSecondsPerGb: bulk.senderCpuUs / 1e6 / (bulk.sizeBytes / 1e9),
    messageCpuUs: messages.cpuUs / (messages.sizeBytes / MESSAGE_BYTES),
    messagesPerSecond: messages.sizeBytes / MESSAGE_BYTES / (messages.tookMs / 1000),
    echoMedianUs: median(times),
    echoP99Us: quantile(times, 0.99),
  }
}

interface OneWay {
  readonly sizeBytes: number
  readonly tookMs: number
  /** Of both processes. */
  readonly cpuUs: number
  readonly senderCpuUs: number
}

/** Sends for a while and waits until all of it has arrived. */
async function runOneWay(
  { sender, receiver }: Pair,
  load: 'bulk' | 'messages',
  forMs: number,
): Promise<OneWay> {
  await receiver.ask({ verb: 'begin', load })
  await sender.ask({ verb: 'begin', load })
  const { sentBytes: sizeBytes = 0 } = await sender.ask({ verb: 'send', load, forMs })
  const { receivedInMs: tookMs = Number.NaN } = await receiver.ask({ verb: 'receive', sizeBytes })
  const { cpuUs: senderCpuUs = Number.NaN } = await sender.ask({ verb: 'end' })
  const { cpuUs: receiverCpuUs = Number.NaN } = await receiver.ask({ verb: 'end' })
  return { sizeBytes, tookMs, cpuUs: senderCpuUs + receiverCpuUs, senderCpuUs }
}

async function runEcho({ sender, receiver }: Pair, forMs: number): Promise<readonly number[]> {
  await receiver.ask({ verb: 'begin', load: 'echo' })
  await sender.ask({ verb: 'begin', load: 'echo' })
  const { times = [] } = await sender.ask({ verb: 'send', load: 'echo', forMs })
  return times
}

/** One more pass over our own stack with the profiler on; its figures are not counted. */
async function profile(
  pair: Pair,
  profiler: ProfiledProcesses,
  progress: (line: string) => void,
): Promise<void> {
  const processes = { sender: pair.sender.pid, receiver: pair.receiver.pid }
  for (const load of ['bulk', 'messages', 'echo'] as const) {
    progress(`channel: profiling ${load}`)
    await profiler.profile(load, processes, () =>
      load === 'echo' ? runEcho(pair, PROFILE_MS) : runOneWay(pair, load, PROFILE_MS),
    )
  }
}
