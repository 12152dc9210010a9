import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RUNTIME_ENVIRONMENT } from '../../node/launcher.cjs'
import { startProgram, type Finished, type Program, type RunOptions } from './program.ts'
import { canMakeNamespaces, daemon, hasCommand } from './programs.ts'

/*
 * Machines: network namespaces with real nodes and real programs in them. Everything lies in one temporary directory; processes
 * are ended by pid, namespaces and directory removed when the lab closes or its process dies.
 */

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

/** One lab: a temporary directory, namespaces by short name, and all processes started in them. */
export class Lab {
  readonly directory = mkdtempSync(join(tmpdir(), 'kith-lab-'))
  readonly #namespaces = new Map<string, string>()
  readonly #programs = new Set<Program>()
  readonly #environment: Readonly<Record<string, string>>
  readonly #onExit = (): void => this.#destroy()

  /** @param environment of all its programs: what our nodes run with, unless others are to be compared with them. */
  constructor(environment: Readonly<Record<string, string>> = RUNTIME_ENVIRONMENT) {
    this.#environment = environment
    process.once('exit', this.#onExit)
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
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

  /** The namespace of a machine, as `ip netns` lists it. */
  namespace(machine: string): string {
    const namespace = this.#namespaces.get(machine)
    if (namespace === undefined) throw new Error(`there is no machine "${machine}"`)
    return namespace
  }

  /** A cable between two machines; addresses such as `10.77.1.1`, one /24 for both ends. */
  cable(one: string, oneAddress: string, other: string, otherAddress: string): void {
    const [oneEnd, otherEnd] = [`to-${other}`, `to-${one}`]
    const [oneNs, otherNs] = [this.namespace(one), this.namespace(other)]
    ip(['link', 'add', oneEnd, 'netns', oneNs, 'type', 'veth', 'peer', 'name', otherEnd, 'netns', otherNs])
    for (const [namespace, device, address] of [
      [oneNs, oneEnd, oneAddress],
      [otherNs, otherEnd, otherAddress],
    ] as const) {
      ip(['-n', namespace, 'addr', 'add', `${address}/24`, 'dev', device])
      ip(['-n', namespace, 'link', 'set', device, 'up'])
    }
  }

  /** Starts a program that goes on. */
  start(
    machine: string | undefined,
    command: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Program {
    // Outside all namespaces there may be a real router, whose ports are none of ours.
    const quiet = machine === undefined ? { KITH_PORTMAP: 'false' } : {}
    const program = startProgram(
      this.#commandLine(machine, [command, ...args]),
      this.directory,
      { ...options, env: { ...this.#environment, ...quiet, ...options.env } },
      (ended) => this.#programs.delete(ended),
    )
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

  /** Starts a TypeScript program, given by its path. */
  startScript(machine: string | undefined, script: string, args: readonly string[] = []): Program {
    return this.start(machine, process.execPath, scriptArguments(script, args))
  }

  /** Runs a TypeScript program, given by its path, to its end. */
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
    const ended = [...this.#programs].map((program) => program.end('SIGKILL'))
    // Before waiting: what a program has started holds its output open.
    for (const namespace of this.#namespaces.values()) killAllIn(namespace)
    await Promise.all(ended)
    process.off('exit', this.#onExit)
    this.#destroy()
  }

  #destroy(): void {
    for (const program of this.#programs) program.child.kill('SIGKILL')
    for (const namespace of this.#namespaces.values()) {
      killAllIn(namespace)
      spawnSync('ip', ['netns', 'delete', namespace])
    }
    this.#namespaces.clear()
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }

  /** `ip netns exec` becomes the program, so that the child's pid is the program's. */
  #commandLine(machine: string | undefined, command: readonly string[]): string[] {
    return machine === undefined ? [...command] : ['ip', 'netns', 'exec', this.namespace(machine), ...command]
  }
}

function scriptArguments(script: string, args: readonly string[]): string[] {
  return ['--disable-warning=ExperimentalWarning', script, ...args]
}

/** What programs have started of their own, as nginx its workers, outlives them. */
function killAllIn(namespace: string): void {
  const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
  for (const pid of stdout.split('\n').filter((line) => line !== '')) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it has ended
    }
  }
}

function ip(args: readonly string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
}
