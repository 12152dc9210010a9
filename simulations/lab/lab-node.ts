import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient, type Client } from '../../node/cli/client.ts'
import type { Peer, Status } from '../../node/api/schemas.ts'
import type { Ready } from '../../node/compose.ts'
import { RUNTIME_FLAGS } from '../../node/launcher.cjs'
import type { Lab } from './lab.ts'
import { until, type Finished, type Program, type RunOptions } from './program.ts'

/** What `kith` runs: the launcher, by which tests and lab start too, has built it. */
const MAIN = join(import.meta.dirname, '..', '..', '.build', 'main.mjs')
/** A node that starts on a busy two-core machine. */
const START_TIMEOUT_MS = 30_000

/** A real node: its data directory, its process while it runs, its command line. */
export class LabNode {
  readonly name: string
  readonly machine: string | undefined
  readonly data: string
  /** The node's own API over its socket: what tests poll. */
  readonly client: Client
  readonly #lab: Lab
  #program: Program | undefined
  #ready: Ready | undefined

  /** @param name also the folder its data lies in. @param machine this one, outside all namespaces, when left out. */
  constructor(lab: Lab, name: string, machine?: string) {
    this.#lab = lab
    this.name = name
    this.machine = machine
    this.data = join(lab.folder('nodes'), name)
    this.client = createClient(this.data)
  }

  get pid(): number {
    return this.#running.pid
  }

  /** What `up --json` printed last. */
  get ready(): Ready {
    if (this.#ready === undefined) throw new Error(`${this.name} was never ready`)
    return this.#ready
  }

  /** The node's log. */
  log(): string {
    return this.#program?.stderr() ?? ''
  }

  /** `kith up` with these flags; resolves with what it prints when ready, rejects with its stderr when it ends before. */
  async up(...flags: readonly string[]): Promise<Ready> {
    const args = ['up', '--data', this.data, '--json', ...flags]
    const program = this.#lab.start(this.machine, process.execPath, kithArguments(args))
    this.#program = program
    const late = setTimeout(() => program.child.kill('SIGKILL'), START_TIMEOUT_MS)
    try {
      const ready = JSON.parse(await program.line()) as Partial<Ready>
      if (ready.ready !== true) await program.end()
      else return (this.#ready = ready as Ready)
    } catch (cause) {
      throw new Error(`${this.name} did not start: ${program.stdout()}${program.stderr()}`, { cause })
    } finally {
      clearTimeout(late)
    }
    throw new Error(`${this.name} did not start: ${program.stderr()}`)
  }

  /** Sends SIGTERM; the exit code and how long it took. */
  async stop(): Promise<{ code: number | null; tookMs: number }> {
    const started = performance.now()
    const code = await this.#running.end('SIGTERM')
    return { code, tookMs: performance.now() - started }
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#running.end('SIGKILL')
  }

  /** Runs a verb of the real command on this node's data directory. */
  cli(...args: readonly string[]): Promise<Finished> {
    return runKith(this.#lab, [...args, '--data', this.data], {}, this.machine)
  }

  /** Runs a verb with `--json` and gives what it printed. @throws Error when it fails. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.cli(...args, '--json')
    if (code !== 0) throw new Error(`kith ${args.join(' ')}: exit ${code}: ${stderr}`)
    return JSON.parse(stdout) as T
  }

  /** Starts a verb that goes on, such as `forward`. */
  startCli(...args: readonly string[]): Program {
    return this.#lab.start(
      this.machine,
      process.execPath,
      kithArguments([...args, '--data', this.data, '--json']),
    )
  }

  status(): Promise<Status> {
    return this.client.get<Status>('/status')
  }

  async peer(name: string): Promise<Peer | undefined> {
    return (await this.client.get<Peer[]>('/peers')).find((peer) => peer.name === name)
  }

  /** Waits until this node sees `count` other members alive. */
  async untilAlive(count: number, timeoutMs?: number): Promise<void> {
    const enough = async (): Promise<boolean> => (await this.status()).peers.alive >= count
    await until(`${this.name} to see ${count} alive`, enough, timeoutMs)
  }

  /** Resident memory now, in bytes. */
  residentBytes(): number {
    return this.#procBytes('VmRSS')
  }

  /** Highest resident memory since the last `resetPeak`, in bytes. */
  peakBytes(): number {
    return this.#procBytes('VmHWM')
  }

  /** Starts `peakBytes` over (proc(5), clear_refs). */
  resetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5')
  }

  get #running(): Program {
    if (this.#program === undefined) throw new Error(`${this.name} does not run`)
    return this.#program
  }

  #procBytes(field: string): number {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(
      readFileSync(`/proc/${this.pid}/status`, 'utf8'),
    )
    return Number(line?.[1]) * 1024
  }
}

/** Runs the real command with exactly these arguments. */
export function runKith(
  lab: Lab,
  args: readonly string[],
  options: RunOptions = {},
  machine?: string,
): Promise<Finished> {
  return lab.run(machine, process.execPath, kithArguments(args), options)
}

/** What Node is started with for a verb of the real command. */
export function kithArguments(args: readonly string[]): string[] {
  return [...RUNTIME_FLAGS, MAIN, ...args]
}
