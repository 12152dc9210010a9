import type { Endpoint } from '../../../protocols/traversal/endpoint.ts'
import { answerPunch, startPunch, step } from '../../../protocols/traversal/punch.ts'
import type { PunchEffect, PunchEvent, PunchOutcome } from '../../../protocols/traversal/punch-events.ts'
import { nextWakeAt, type PunchOptions, type PunchState } from '../../../protocols/traversal/punch-state.ts'
import { PUNCH_KIND, punchFormat } from '../../../protocols/traversal/wire.ts'
import type { ModelHost, ModelNetwork, ModelSocket, SocketHandlers } from './model-network.ts'

/** Answers everybody who connects with where it sees him. */
export function serveReflector(host: ModelHost, endpoint: Endpoint): void {
  host.listen(endpoint.port, (socket, from) => ({
    opened: () => socket.write(Uint8Array.of(...from.ip, from.port >> 8, from.port & 255)),
    received: () => undefined,
    gone: () => undefined,
  }))
}

/** The machine over a host of the model network. */
export class ModelPeer {
  state: PunchState | null = null
  outcome: PunchOutcome | null = null
  endedAt = 0
  /** When the first OFFER left. */
  offeredAt: number | null = null
  readonly reports: string[] = []
  /** Puts a message on the relayed stream. */
  deliver: (bytes: Uint8Array) => void = () => undefined
  readonly sockets = new Map<string, ModelSocket>()
  readonly #net: ModelNetwork
  readonly #host: ModelHost
  readonly #reflector: Endpoint
  readonly #options: PunchOptions
  readonly #random: () => number
  readonly #port: number
  #reflection: ModelSocket | null = null
  #accepted = 0

  constructor(
    net: ModelNetwork,
    host: ModelHost,
    reflector: Endpoint,
    options: PunchOptions,
    random: () => number,
  ) {
    this.#net = net
    this.#host = host
    this.#reflector = reflector
    this.#options = options
    this.#random = random
    this.#port = 33_000 + Math.floor(random() * 20_000)
  }

  start(): void {
    const [state, effects] = startPunch(this.#options, this.#net.time.now)
    this.#begin(state, effects)
  }

  /** A message of the other peer. */
  frame(bytes: Uint8Array): void {
    if (this.state !== null) return this.#tell({ type: 'frame', bytes })
    const offer = punchFormat.decode(bytes)
    if (offer.kind !== PUNCH_KIND.offer) return
    const [state, effects] = answerPunch(this.#options, offer, this.#net.time.now)
    this.#begin(state, effects)
  }

  #begin(state: PunchState, effects: readonly PunchEffect[]): void {
    this.state = state
    this.#apply(effects)
  }

  #tell(event: PunchEvent): void {
    if (this.state !== null) this.#apply(step(this.state, event, this.#net.time.now, this.#random))
  }

  #apply(effects: readonly PunchEffect[]): void {
    for (const effect of effects) this.#do(effect)
    const wakeAt = this.state === null ? null : nextWakeAt(this.state)
    if (wakeAt === null) return
    // Timers are late, by up to 2 ms here.
    const delayMs = Math.max(0, wakeAt - this.#net.time.now) + this.#random() * 2
    this.#net.time.after(delayMs, () => this.#tell({ type: 'wake' }))
  }

  #do(effect: PunchEffect): void {
    switch (effect.type) {
      case 'reflect':
        this.#reflection = this.#host.connect(this.#port, this.#reflector, {
          opened: () => undefined,
          received: (bytes) => {
            const port = ((bytes[4] ?? 0) << 8) | (bytes[5] ?? 0)
            this.#tell({ type: 'reflected', endpoints: [{ ip: bytes.slice(0, 4), port }] })
          },
          gone: () => this.#tell({ type: 'reflect-failed', text: 'refused' }),
        })
        return
      case 'send':
        if (punchFormat.decode(effect.bytes).kind === PUNCH_KIND.offer) this.offeredAt ??= this.#net.time.now
        return this.deliver(effect.bytes)
      case 'connect':
        return this.#connect(effect.socket, effect.endpoint)
      case 'listen':
        return this.#host.listen(this.#port, (socket, from) => {
          const name = `in${++this.#accepted}`
          this.sockets.set(name, socket)
          return {
            ...this.#handlers(name),
            opened: () => this.#tell({ type: 'accepted', socket: name, from }),
          }
        })
      case 'unlisten':
        return this.#host.unlisten(this.#port)
      case 'write':
        return this.sockets.get(effect.socket)?.write(effect.bytes)
      case 'close':
        this.sockets.get(effect.socket)?.close()
        return void this.sockets.delete(effect.socket)
      case 'report':
        return void this.reports.push(effect.code)
      case 'release':
        this.#reflection?.close()
        return this.#host.unlisten(this.#port)
      case 'done':
        this.outcome = effect.outcome
        this.endedAt = this.#net.time.now
    }
  }

  /** A connect to where an accepted socket leads already fails at once, as with Node. */
  #connect(socket: string, endpoint: Endpoint): void {
    const made = this.#host.connect(this.#port, endpoint, this.#handlers(socket))
    if (made !== null) this.sockets.set(socket, made)
    else this.#net.time.after(0, () => this.#tell({ type: 'connect-failed', socket }))
  }

  #handlers(socket: string): SocketHandlers {
    return {
      opened: () => this.#tell({ type: 'connected', socket }),
      received: (bytes) => this.#tell({ type: 'received', socket, bytes }),
      gone: (wasOpen) => {
        this.sockets.delete(socket)
        this.#tell({ type: wasOpen ? 'closed' : 'connect-failed', socket })
      },
    }
  }
}
