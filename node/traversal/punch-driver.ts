import type { Socket } from 'node:net'
import type { Clock, EmitEvent, Random, Timers } from '../../protocols/common/ports.ts'
import { fraction } from '../../protocols/common/fraction.ts'
import { describeEndpoint, type Endpoint } from '../../protocols/traversal/endpoint.ts'
import type { TraversalCode } from '../../protocols/traversal/errors.ts'
import type {
  PunchEffect,
  PunchEvent,
  PunchOutcome,
  PunchRole,
  SocketId,
} from '../../protocols/traversal/punch-events.ts'
import { answerPunch, startPunch, step } from '../../protocols/traversal/punch.ts'
import { nextWakeAt, type PunchOptions, type PunchState } from '../../protocols/traversal/punch-state.ts'
import { NOMINATION_BYTES, type Offer } from '../../protocols/traversal/wire.ts'
import { takeFirstBytes } from './first-bytes.ts'
import { FreshPort } from './fresh-port.ts'
import { remoteEndpoint } from './socket-endpoint.ts'

/** The relayed streams of one attempt: one, or two when both sides offer at once. */
export interface PunchExchange {
  /** Writes to the stream whose OFFER bore this nonce. */
  send(nonce: Uint8Array, bytes: Uint8Array): void
  /** Who hears of messages, and of the end of the stream whose OFFER bore a nonce. Called once, before anything is sent. */
  use(user: { onFrame(bytes: Uint8Array): void; onClose(nonce: Uint8Array): void }): void
}

/** What one attempt needs. */
export interface PunchRun {
  readonly options: PunchOptions
  /** The OFFER that is answered, let in by `admitOffer`; null to make one. */
  readonly offer: Offer | null
  readonly exchange: PunchExchange
  /** From where others see the port; rejects when nobody says it. */
  readonly reflect: (port: FreshPort, signal: AbortSignal) => Promise<readonly Endpoint[]>
  /** One that no correction sets back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly emit: EmitEvent
  /** Ends the attempt, with `punch-cancelled`. */
  readonly signal: AbortSignal
}

/** How an attempt ended. The socket is paused, what came behind the nomination still in it; nobody listens but for errors. */
export type Punched =
  | {
      readonly path: 'direct'
      readonly socket: Socket
      readonly role: PunchRole
      readonly remote: Endpoint
      /** RTT over the relay, as the initiator measured it. */
      readonly rttMs: number | null
      /** From the first OFFER. */
      readonly tookMs: number
    }
  | { readonly path: 'relay'; readonly reason: TraversalCode; readonly text: string }

/** Runs one attempt to its end; what it opened and does not hand over is closed then. Never rejects. */
export async function runPunch(run: PunchRun): Promise<Punched> {
  let port: FreshPort
  try {
    port = await FreshPort.open()
  } catch (error) {
    // As when descriptors run out.
    return { path: 'relay', reason: 'reflector-unreachable', text: `No port: ${(error as Error).message}` }
  }
  return new PunchDriver(run, port).run()
}

class PunchDriver {
  readonly #run: PunchRun
  readonly #port: FreshPort
  readonly #sockets = new Map<SocketId, Socket>()
  readonly #released = new AbortController()
  readonly #done = Promise.withResolvers<Punched>()
  /** Told while another is being carried out. */
  readonly #events: PunchEvent[] = []
  #state: PunchState | null = null
  #isStepping = false
  #cancelWake: () => void = () => undefined
  #accepted = 0

  constructor(run: PunchRun, port: FreshPort) {
    this.#run = run
    this.#port = port
  }

  async run(): Promise<Punched> {
    const { options, offer, exchange, clock, signal } = this.#run
    exchange.use({
      onFrame: (bytes) => this.#tell({ type: 'frame', bytes }),
      onClose: (nonce) => {
        const isCurrent = this.#state !== null && Buffer.compare(nonce, this.#state.nonce) === 0
        if (isCurrent) this.#tell({ type: 'exchange-closed' })
      },
    })
    const [state, effects] =
      offer === null ? startPunch(options, clock.now()) : answerPunch(options, offer, clock.now())
    this.#state = state
    this.#carryOut(() => effects)
    const cancel = (): void => this.#tell({ type: 'cancel' })
    signal.addEventListener('abort', cancel)
    if (signal.aborted) cancel()
    try {
      return await this.#done.promise
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  #tell(event: PunchEvent): void {
    const state = this.#state
    if (state === null || this.#isStepping) return void this.#events.push(event)
    const { clock, random } = this.#run
    this.#carryOut(() => step(state, event, clock.now(), () => fraction(random)))
  }

  #carryOut(effects: () => readonly PunchEffect[]): void {
    this.#isStepping = true
    for (const effect of effects()) this.#do(effect)
    this.#isStepping = false
    this.#cancelWake()
    const next = this.#events.shift()
    if (next !== undefined) return this.#tell(next)
    const wakeAt = this.#state === null ? null : nextWakeAt(this.#state)
    if (wakeAt === null) return
    const { clock, timers } = this.#run
    this.#cancelWake = timers.after(Math.max(0, wakeAt - clock.now()), () => this.#tell({ type: 'wake' }))
  }

  #do(effect: PunchEffect): void {
    switch (effect.type) {
      case 'reflect':
        return void this.#reflect()
      case 'send':
        return this.#run.exchange.send(effect.nonce, effect.bytes)
      case 'connect':
        return this.#connect(effect.socket, effect.endpoint)
      case 'listen':
        return this.#port.listen(
          (socket) => this.#accept(socket),
          () => this.#tell({ type: 'listen-failed' }),
        )
      case 'unlisten':
        return this.#port.unlisten()
      case 'write':
        return void this.#sockets.get(effect.socket)?.write(effect.bytes)
      case 'close':
        return this.#close(effect.socket)
      case 'report':
        return this.#report(effect)
      case 'release':
        return this.#released.abort(new Error('the attempt has ended'))
      case 'done':
        return this.#end(effect.outcome)
    }
  }

  async #reflect(): Promise<void> {
    try {
      const endpoints = await this.#run.reflect(this.#port, this.#released.signal)
      this.#tell({ type: 'reflected', endpoints })
    } catch (error) {
      this.#tell({ type: 'reflect-failed', text: error instanceof Error ? error.message : String(error) })
    }
  }

  #connect(id: SocketId, endpoint: Endpoint): void {
    const socket = this.#port.connect(endpoint)
    this.#watch(id, socket)
    socket.once('connect', () => this.#tell({ type: 'connected', socket: id }))
  }

  #accept(socket: Socket): void {
    const from = remoteEndpoint(socket)
    if (from === null) return void socket.destroy()
    const id = `in${++this.#accepted}`
    this.#watch(id, socket)
    this.#tell({ type: 'accepted', socket: id, from })
  }

  #watch(id: SocketId, socket: Socket): void {
    this.#sockets.set(id, socket)
    takeFirstBytes(socket, NOMINATION_BYTES, (bytes) => this.#tell({ type: 'received', socket: id, bytes }))
    let wasOpen = !socket.connecting
    socket.once('connect', () => (wasOpen = true))
    socket.once('close', () => {
      if (this.#sockets.get(id) !== socket) return
      this.#sockets.delete(id)
      this.#tell({ type: wasOpen ? 'closed' : 'connect-failed', socket: id })
    })
  }

  #close(id: SocketId): void {
    const socket = this.#sockets.get(id)
    this.#sockets.delete(id)
    socket?.destroy()
  }

  #report({ code, endpoint }: Extract<PunchEffect, { type: 'report' }>): void {
    this.#run.emit({
      kind: 'punch.stranger',
      severity: 'notice',
      peer: this.#run.options.peerId,
      reason: code,
      ...(endpoint === null ? {} : { fields: { endpoint: describeEndpoint(endpoint) } }),
    })
  }

  #end(outcome: PunchOutcome): void {
    const kept = outcome.path === 'direct' ? (this.#sockets.get(outcome.socket) ?? null) : null
    const remote = kept === null ? null : remoteEndpoint(kept)
    this.#port.close(kept)
    this.#sockets.clear()
    if (outcome.path === 'relay') return this.#done.resolve(outcome)
    if (kept === null || remote === null) {
      kept?.destroy()
      const text = 'The connection that was made is gone already'
      return this.#done.resolve({ path: 'relay', reason: 'path-direct-lost', text })
    }
    kept.removeAllListeners('readable').removeAllListeners('connect')
    const tookMs = this.#run.clock.now() - (this.#state?.offeredAt ?? 0)
    const { role, rttMs } = outcome
    this.#done.resolve({ path: 'direct', socket: kept, role, remote, rttMs, tookMs })
  }
}
