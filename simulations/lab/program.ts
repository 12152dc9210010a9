import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const POLL_INTERVAL_MS = 50

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

/**
 * Starts a program with nothing of the developer's own settings in its environment.
 * @param home its HOME.
 * @param onClose called when it has ended and its output is complete.
 */
export function startProgram(
  command: readonly string[],
  home: string,
  options: RunOptions,
  onClose: (program: Program) => void,
): Program {
  const [file = '', ...rest] = command
  const child = spawn(file, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: environment(home, options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  // A program that ends without reading its input is the caller's business only through its exit code.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
  const program = watched(child, () => onClose(program))
  return program
}

function environment(home: string, extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return {
    PATH: `${process.env['PATH']}:/usr/sbin:/sbin`,
    HOME: home,
    LANG: 'C.UTF-8',
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
