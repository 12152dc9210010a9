import { fraction } from '../protocols/common/fraction.ts'
import type { Clock, EmitEvent, Random, Timers } from '../protocols/common/ports.ts'
import type { BootstrapCode } from './errors.ts'
import { DIAL_TIMEOUT_MS, RECONNECT_TICK_MS } from './limits.ts'
import {
  createReconnect,
  lastFailure,
  step,
  type DialEffect,
  type DialFailure,
  type ReconnectEvent,
  type Target,
} from './reconnect.ts'

/** What the loop works with. */
export interface ReconnectInit {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly emit: EmitEvent
  /** Peers we want a connection to, with full multiaddrs. */
  readonly wanted: () => readonly Target[]
  /** Peers to try while nobody is connected. */
  readonly fallback: () => readonly Target[]
  /** Peer ids with an open connection. */
  readonly connected: () => Iterable<string>
  /** Resolves when the peer is connected. */
  readonly dial: (target: Target, signal: AbortSignal) => Promise<unknown>
  /** Told of each failed dial; membership learns here that a host refuses. */
  readonly failed?: (peer: string, failure: DialFailure) => void
}

/** Why a dial was given up for a better one; no failure anybody is told of. */
const SEEN_ELSEWHERE = new Error('the peer was seen at another address')

/** Keeps this node connected: drives the reconnect machine by a timer and dials what it says. */
export class ReconnectLoop {
  readonly #init: ReconnectInit
  readonly #state = createReconnect()
  readonly #dials = new Map<
    string,
    { addresses: readonly string[]; abort: AbortController; done: Promise<void> }
  >()
  #stopTimer: (() => void) | null = null

  constructor(init: ReconnectInit) {
    this.#init = init
  }

  /** Begins, with a first look at once. */
  start(): void {
    this.#stopTimer ??= this.#init.timers.every(RECONNECT_TICK_MS, () => this.#look())
    this.#look()
  }

  /** Stops and waits for dials under way to end. */
  async stop(): Promise<void> {
    this.#stopTimer?.()
    this.#stopTimer = null
    const dials = [...this.#dials.values()]
    for (const { abort } of dials) abort.abort(new Error('reconnect loop stopped'))
    await Promise.all(dials.map(({ done }) => done))
  }

  /** Somebody says this peer is alive: its back-off starts over. */
  hint(peer: string): void {
    this.#step({ type: 'hint', peer })
  }

  /**
   * The peer was seen at these addresses, by something that proves nothing: it is dialled once, now, and its back-off goes on.
   * A dial under way that tries other addresses gives way: they may swallow packets for seconds.
   */
  sighted(peer: string, addresses: readonly string[]): void {
    const dial = this.#dials.get(peer)
    if (dial === undefined) this.#step({ type: 'sighted', peer })
    else if (addresses.some((address) => !dial.addresses.includes(address))) dial.abort.abort(SEEN_ELSEWHERE)
  }

  /** Why this peer was not reached last, null when it was, or was never dialled. */
  lastFailure(peer: string): DialFailure | null {
    return lastFailure(this.#state, peer)
  }

  #look(): void {
    const { wanted, fallback, connected } = this.#init
    this.#step({ type: 'look', wanted: wanted(), fallback: fallback(), connected: new Set(connected()) })
  }

  #step(event: ReconnectEvent): void {
    for (const effect of step(this.#state, event, this.#init.clock.now(), this.#fraction)) this.#start(effect)
  }

  readonly #fraction = (): number => fraction(this.#init.random)

  #start({ peer, addresses }: DialEffect): void {
    const abort = new AbortController()
    this.#dials.set(peer, { addresses, abort, done: this.#dial({ peer, addresses }, abort) })
  }

  async #dial(target: Target, abort: AbortController): Promise<void> {
    const { timers, emit, failed } = this.#init
    const { peer } = target
    const cancel = timers.after(DIAL_TIMEOUT_MS, () =>
      abort.abort(new DOMException('dial timed out', 'TimeoutError')),
    )
    let failure: { code: BootstrapCode; text: string } | null = null
    try {
      if (target.addresses.length === 0) failure = { code: 'dial-no-address', text: 'no address known' }
      else await this.#init.dial(target, abort.signal)
    } catch (error) {
      failure = classifyDialError(error)
    } finally {
      cancel()
      this.#dials.delete(peer)
    }
    if (this.#stopTimer === null) return
    this.#step({ type: 'dialled', peer, failure })
    if (failure !== null && abort.signal.reason === SEEN_ELSEWHERE) {
      this.#step({ type: 'sighted', peer })
      return
    }
    const last = this.lastFailure(peer)
    if (failure === null || last === null) return
    // The first of a row is news; the rest is in `lastFailure`.
    if (last.count === 1)
      emit({ kind: 'dial.failed', severity: 'info', peer, reason: last.code, text: last.text })
    failed?.(peer, last)
  }
}

const CODES: Readonly<Record<string, BootstrapCode>> = {
  ECONNREFUSED: 'dial-refused',
  ETIMEDOUT: 'dial-timeout',
  EHOSTUNREACH: 'dial-unreachable',
  ENETUNREACH: 'dial-unreachable',
  ENETDOWN: 'dial-unreachable',
}

/** The reason behind what a dial threw; of several addresses, a refusal says most: the host is up. */
export function classifyDialError(error: unknown): { code: BootstrapCode; text: string } {
  const found = new Set<BootstrapCode>()
  collect(error, found, 0)
  const text =
    error instanceof Error ? (error.message.split('\n')[0] ?? '').slice(0, 300) : String(error).slice(0, 300)
  for (const code of ['dial-refused', 'dial-unreachable', 'dial-timeout'] as const)
    if (found.has(code)) return { code, text }
  return { code: 'dial-failed', text }
}

function collect(error: unknown, found: Set<BootstrapCode>, depth: number): void {
  if (!(error instanceof Error) || depth > 4) return
  const code = CODES[String((error as { code?: unknown }).code)]
  if (code !== undefined) found.add(code)
  if (error.name === 'TimeoutError') found.add('dial-timeout')
  collect(error.cause, found, depth + 1)
  const inner = (error as { errors?: unknown }).errors
  if (Array.isArray(inner)) for (const each of inner) collect(each, found, depth + 1)
}
