import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { PathCounts, PathSettings } from './wan.ts'
import type { Done, Order } from './wan-process.ts'

const PROGRAM = join(import.meta.dirname, 'wan-process.ts')
/** The process starts, or obeys, on a busy machine. */
const ORDER_TIMEOUT_MS = 20_000

/** An order without its number. */
type Request = Order extends infer Each ? (Each extends Order ? Omit<Each, 'n'> : never) : never

/** The process that is the lab's internet, seen from the lab. It ends when this process does, however that ends. */
export class WanLink {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (done: Done) => void>()
  #n = 0

  constructor() {
    this.#child = fork(PROGRAM, { execArgv: ['--disable-warning=ExperimentalWarning'] })
    this.#child.on('message', (message) => {
      const done = message as Done
      this.#waiting.get(done.n)?.(done)
    })
    this.#child.once('exit', (code, signal) => {
      const error = `the lab's internet ended (${signal ?? code})`
      for (const [n, answer] of this.#waiting) answer({ n, error, counts: null })
    })
  }

  /** Makes one TUN device a site, named `${prefix}0` and so on. */
  async open(seed: string, sites: number, prefix: string, offload: boolean): Promise<void> {
    await this.#ask({ order: 'open', seed, sites, prefix, offload })
  }

  /** Changes paths, all between the same two packets. */
  async set(paths: readonly { from: number; to: number; settings: Partial<PathSettings> }[]): Promise<void> {
    await this.#ask({
      order: 'set',
      paths: paths.map((path) => ({ ...path, settings: { ...path.settings } })),
    })
  }

  async counts(from: number, to: number): Promise<PathCounts> {
    const { counts } = await this.#ask({ order: 'count', from, to })
    if (counts === null) throw new Error("the lab's internet counted nothing")
    return counts
  }

  /** Ends the process; its devices go with it. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }

  async #ask(request: Request): Promise<Done> {
    if (!this.#child.connected) throw new Error("the lab's internet has ended")
    const n = ++this.#n
    const { promise, resolve, reject } = Promise.withResolvers<Done>()
    const timer = setTimeout(
      () => reject(new Error(`the lab's internet did not answer "${request.order}"`)),
      ORDER_TIMEOUT_MS,
    )
    this.#waiting.set(n, resolve)
    try {
      this.#child.send({ n, ...request })
      const done = await promise
      if (done.error !== null) throw new Error(done.error)
      return done
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(n)
    }
  }
}
