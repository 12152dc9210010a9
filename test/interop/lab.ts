import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createClient, type Client } from '../../node/cli/client.ts'
import type { Peer, Status } from '../../node/api/schemas.ts'
import type { Ready } from '../../node/compose.ts'
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from '../../node/launcher.cjs'
import { canMakeNamespaces, daemon, hasCommand } from '../programs.ts'

/*
 * Machines for tests: network namespaces joined by veth pairs, with real nodes and real programs in them. Everything lies in
 * one temporary directory; processes are ended by pid, namespaces and directory removed when the lab closes or the test dies.
 */

const root = join(import.meta.dirname, '..', '..')
/** What `kith` runs: the launcher, by which `npm test` starts too, has built it. */
const MAIN = join(root, '.build', 'main.mjs')
const POLL_INTERVAL_MS = 50
/** A node that starts on a busy two-core machine. */
const START_TIMEOUT_MS = 30_000
const RUN_TIMEOUT_MS = 60_000

/** Why namespace tests cannot run here; undefined when they can. With `CI=true` they must, and fail instead of being skipped. */
export function reasonToSkip(
  commands: readonly string[],
  daemons: readonly string[] = [],
): string | undefined {
  if (process.env['CI'] === 'true') return undefined
  if (!canMakeNamespaces()) return 'needs root and `ip` on Linux to make network namespaces'
  const missing = [
    ...commands.filter((command) => !hasCommand(command)),
    ...daemons.filter((name) => daemon(name) === undefined),
  ]
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`
}

/** What a finished program left. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly tookMs: number
}

/** How a program is run. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
  readonly cwd?: string
}

/** A program that goes on until it is stopped. */
export interface Program {
  readonly pid: number
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** The next line of stdout that has not been taken yet. */
  line(): Promise<string>
  isRunning(): boolean
  /** Sends the signal and waits for the end; the exit code, null after a signal. */
  end(signal?: NodeJS.Signals): Promise<number | null>
}

/** Polls until `condition` gives something other than undefined or false; an error inside counts as "not yet". */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value !== undefined && value !== false) return value
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      const detail = last instanceof Error ? last.message : String(last)
      throw new Error(`waited ${timeoutMs} ms for ${what}; last: ${detail}`)
    }
    await new Promise((resolve) => void setTimeout(resolve, POLL_INTERVAL_MS))
  }
}

/** One lab: a temporary directory, namespaces by short name, and all processes started in them. */
export class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'kith-lab-'))
  readonly #namespaces = new Map<string, string>()
  readonly #programs = new Set<Program>()
  readonly #onExit = (): void => this.#destroy()

  constructor() {
    process.once('exit', this.#onExit)
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))
  }

  /** A fresh folder in the lab's directory. */
  folder(name: string): string {
    const path = join(this.directory, name)
    mkdirSync(path, { recursive: true })
    return path
  }

  /** Writes a file into the lab's directory and gives its path. */
  file(name: string, content: string | Uint8Array, mode = 0o600): string {
    const path = join(this.directory, name)
    writeFileSync(path, content, { mode })
    return path
  }

  /** Makes machines without any network but their own loopback. */
  machines(...names: readonly string[]): void {
    for (const name of names) {
      const namespace = `kith-${process.pid}-${name}`
      ip(['netns', 'add', namespace])
      this.#namespaces.set(name, namespace)
      ip(['-n', namespace, 'link', 'set', 'lo', 'up'])
    }
  }

  /** A cable between two machines; addresses such as `10.77.1.1`, one /24 for both ends. */
  cable(one: string, oneAddress: string, other: string, otherAddress: string): void {
    const [oneEnd, otherEnd] = [`to-${other}`, `to-${one}`]
    const [oneNs, otherNs] = [this.#namespace(one), this.#namespace(other)]
    ip(['link', 'add', oneEnd, 'netns', oneNs, 'type', 'veth', 'peer', 'name', otherEnd, 'netns', otherNs])
    for (const [namespace, device, address] of [
      [oneNs, oneEnd, oneAddress],
      [otherNs, otherEnd, otherAddress],
    ] as const) {
      ip(['-n', namespace, 'addr', 'add', `${address}/24`, 'dev', device])
      ip(['-n', namespace, 'link', 'set', device, 'up'])
    }
  }

  /** A node that keeps its data in a folder of the lab; on `machine`, or on this one when undefined. */
  node(name: string, machine?: string): LabNode {
    return new LabNode(this, name, machine)
  }

  /** Starts a program that goes on. */
  start(
    machine: string | undefined,
    command: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Program {
    const [file = '', ...rest] = this.#commandLine(machine, [command, ...args])
    const child = spawn(file, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: environment(this.directory, options.env),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    // A program that ends without reading its input is the test's business only through its exit code.
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input)
    const program = watched(child, () => this.#programs.delete(program))
    this.#programs.add(program)
    return program
  }

  /** Runs a program to its end. Never throws for an exit code. */
  async run(
    machine: string | undefined,
    command: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<Finished> {
    const started = performance.now()
    const program = this.start(machine, command, args, options)
    const timer = setTimeout(() => program.child.kill('SIGKILL'), options.timeoutMs ?? RUN_TIMEOUT_MS)
    const [code] = (await once(program.child, 'close')) as [number | null]
    clearTimeout(timer)
    return {
      code,
      stdout: program.stdout(),
      stderr: program.stderr(),
      tookMs: performance.now() - started,
    }
  }

  /** Starts one of the TypeScript programs beside this file. */
  startScript(machine: string | undefined, script: string, args: readonly string[] = []): Program {
    return this.start(machine, process.execPath, scriptArguments(script, args))
  }

  /** Runs one of the TypeScript programs beside this file to its end. */
  runScript(
    machine: string | undefined,
    script: string,
    args: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<Finished> {
    return this.run(machine, process.execPath, scriptArguments(script, args), options)
  }

  /** Ends every process, removes namespaces and directory. */
  async close(): Promise<void> {
    await Promise.all([...this.#programs].map((program) => program.end('SIGKILL')))
    process.off('exit', this.#onExit)
    this.#destroy()
  }

  #destroy(): void {
    for (const program of this.#programs) program.child.kill('SIGKILL')
    for (const namespace of this.#namespaces.values()) spawnSync('ip', ['netns', 'delete', namespace])
    this.#namespaces.clear()
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }

  #namespace(machine: string): string {
    const namespace = this.#namespaces.get(machine)
    if (namespace === undefined) throw new Error(`there is no machine "${machine}"`)
    return namespace
  }

  /** `ip netns exec` becomes the program, so that the child's pid is the program's. */
  #commandLine(machine: string | undefined, command: readonly string[]): string[] {
    return machine === undefined
      ? [...command]
      : ['ip', 'netns', 'exec', this.#namespace(machine), ...command]
  }
}

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

  constructor(lab: Lab, name: string, machine: string | undefined) {
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

function scriptArguments(script: string, args: readonly string[]): string[] {
  return ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, script), ...args]
}

/** Nothing of the developer's own settings reaches the programs under test. */
function environment(home: string, extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return {
    PATH: `${process.env['PATH']}:/usr/sbin:/sbin`,
    HOME: home,
    LANG: 'C.UTF-8',
    ...RUNTIME_ENVIRONMENT,
    ...extra,
  }
}

function watched(child: ChildProcess, onClose: () => void): Program {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const lines = child.stdout === null ? undefined : createInterface({ input: child.stdout })
  const waiting: string[] = []
  lines?.on('line', (line) => waiting.push(line))
  const closed = once(child, 'close').then(([code]) => {
    onClose()
    return code as number | null
  })
  let isClosed = false
  void closed.then(() => (isClosed = true))
  return {
    pid: child.pid ?? -1,
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    isRunning: () => !isClosed,
    async line() {
      const line = await until(
        'a line of output',
        () => waiting.shift() ?? (isClosed ? new Error('ended') : undefined),
        60_000,
      )
      if (line instanceof Error) throw new Error(`the program ended without a line: ${stderr}`)
      return line
    },
    end(signal = 'SIGTERM') {
      child.kill(signal)
      return closed
    },
  }
}

function ip(args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
}
