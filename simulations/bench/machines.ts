import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/*
 * Two machines (network namespaces) joined by one cable, and the processes started in them. Everything is ended and removed when
 * the pair closes, and when this process is interrupted or exits for any other reason.
 */

/** Which machine: `near` is where users connect, `far` where the services are. */
export type Place = 'near' | 'far'
/** Addresses on the cable, and whatever else is bound: nothing of it is visible outside the namespaces. */
export const ADDRESSES: Readonly<Record<Place, string>> = { near: '10.99.0.1', far: '10.99.0.2' }
/** After SIGTERM, before SIGKILL. */
const STOP_TIMEOUT_MS = 5000
const RUN_TIMEOUT_MS = 60_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const OUTPUT_BYTES_MAX = 1 << 20
/** Short connections by the thousand: ports of closed ones are used again, and none of the ports we listen on is taken. */
const SETTINGS = [
  'echo "20000 65000" > /proc/sys/net/ipv4/ip_local_port_range',
  'echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse',
  'echo 8192 > /proc/sys/net/core/somaxconn',
].join('; ')

/** What a finished program left. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A program that goes on until the machines close. */
export interface Running {
  readonly pid: number
  readonly isRunning: () => boolean
  /** First line of its standard output. @throws Error with its stderr when it ends before. */
  readonly firstLine: Promise<string>
  /** The end of what it wrote to stderr. */
  readonly stderr: () => string
}

/** How a program is run. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

/** Both machines; needs root. */
export class Machines {
  readonly directory = mkdtempSync(join(tmpdir(), 'kith-bench-'))
  readonly #children = new Map<ChildProcess, Place>()
  readonly #namespaces: string[] = []
  readonly #onExit = (): void => this.#destroy()
  readonly #onSignal = (): void => void this.close().then(() => process.exit(130))
  #closing: Promise<void> | undefined

  constructor() {
    process.once('exit', this.#onExit)
    for (const signal of SIGNALS) process.on(signal, this.#onSignal)
    try {
      this.#connect()
    } catch (error) {
      this.#destroy()
      throw error
    }
  }

  /** Writes a file into the directory of this run and gives its path. */
  file(name: string, content: string, mode = 0o600): string {
    const path = join(this.directory, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content, { mode })
    return path
  }

  /** Starts a program that goes on. */
  start(place: Place, command: readonly string[], options: RunOptions = {}): Running {
    const child = this.#spawn(place, command, options)
    let [stdout, stderr] = ['', '']
    const line = Promise.withResolvers<string>()
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(0, OUTPUT_BYTES_MAX)
      if (stdout.includes('\n')) line.resolve(stdout.slice(0, stdout.indexOf('\n')))
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4000)))
    child.once('close', () => line.reject(new Error(`${command.join(' ')} ended: ${stdout}${stderr}`)))
    line.promise.catch(() => undefined) // most callers do not wait for a line
    return {
      pid: child.pid ?? -1,
      isRunning: () => child.exitCode === null && child.signalCode === null,
      firstLine: line.promise,
      stderr: () => stderr,
    }
  }

  /** Runs a program to its end. Never throws for an exit code. */
  async run(place: Place, command: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const child = this.#spawn(place, command, options)
    let [stdout, stderr] = ['', '']
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? RUN_TIMEOUT_MS)
    const [code] = (await once(child, 'close')) as [number | null]
    clearTimeout(timer)
    return { code, stdout, stderr }
  }

  /** Ends every process, the near machine's first as a user would, then removes namespaces and directory. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    for (const place of ['near', 'far'] as const) {
      const children = (): ChildProcess[] =>
        [...this.#children].filter(([, where]) => where === place).map(([child]) => child)
      const deadline = performance.now() + STOP_TIMEOUT_MS
      for (const child of children()) signalGroup(child, 'SIGTERM')
      while (children().length > 0 && performance.now() < deadline) await sleep(20)
    }
    process.off('exit', this.#onExit)
    this.#destroy()
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
  }

  #connect(): void {
    const names: Record<Place, string> = {
      near: `kith-bench-${process.pid}-a`,
      far: `kith-bench-${process.pid}-b`,
    }
    for (const place of ['near', 'far'] as const) {
      ip(['netns', 'add', names[place]])
      this.#namespaces.push(names[place])
      ip(['-n', names[place], 'link', 'set', 'lo', 'up'])
      run('ip', ['netns', 'exec', names[place], 'sh', '-c', SETTINGS])
    }
    ip([
      'link',
      'add',
      'eth0',
      'netns',
      names.near,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      names.far,
    ])
    for (const place of ['near', 'far'] as const) {
      ip(['-n', names[place], 'addr', 'add', `${ADDRESSES[place]}/24`, 'dev', 'eth0'])
      ip(['-n', names[place], 'link', 'set', 'eth0', 'up'])
    }
  }

  /** `ip netns exec` becomes the program, so that the pid is the program's; a process group of its own, to end it whole. */
  #spawn(place: Place, command: readonly string[], { env }: RunOptions): ChildProcess {
    const namespace = this.#namespaces[place === 'near' ? 0 : 1] ?? ''
    const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { PATH: process.env['PATH'], HOME: this.directory, LANG: 'C.UTF-8', ...env },
    })
    this.#children.set(child, place)
    child.once('close', () => this.#children.delete(child))
    return child
  }

  #destroy(): void {
    for (const child of this.#children.keys()) signalGroup(child, 'SIGKILL')
    for (const namespace of this.#namespaces.splice(0)) {
      const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
      for (const pid of stdout.split('\n').filter((line) => line !== '')) kill(Number(pid), 'SIGKILL')
      spawnSync('ip', ['netns', 'delete', namespace])
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Asks until the answer is other than undefined. @throws Error with `what` after the time. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`)
    await sleep(50)
  }
}

/** Sends a signal to the group a process leads. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid !== undefined) kill(-pid, signal)
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it has ended
  }
}

function ip(args: readonly string[]): void {
  run('ip', args)
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
}

/** Flags `./kith` starts the runtime with, for Node programs of the bench that are to be compared with it. */
export function nodeCommand(script: string, flags: readonly string[], args: readonly string[]): string[] {
  return [process.execPath, ...flags, join(import.meta.dirname, script), ...args]
}

/** A file another process writes under another name and then renames; undefined until it is there. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
