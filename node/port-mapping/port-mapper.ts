import { fraction } from '../../protocols/common/fraction.ts'
import type { Clock, EmitEvent, Random, Timers } from '../../protocols/common/ports.ts'
import type { MappingClient } from './client.ts'
import { PortMappingError, type PortMappingCode } from './errors.ts'
import { findGateway } from './gateway.ts'
import { ASK_MS, STOP_MS } from './limits.ts'
import {
  createMapping,
  type Grant,
  type Mapping,
  type MappingEffect,
  type MappingEvent,
  type MappingFailure,
  type MappingMethod,
  type MappingState,
} from './mapping-state.ts'
import { step } from './mapping.ts'
import { NatPmpClient, PcpClient } from './pmp-client.ts'
import { UpnpClient } from './upnp-client.ts'

/** What a `PortMapper` needs. */
export interface PortMapperOptions {
  /** The mesh's TCP port on this host. */
  readonly port: number
  readonly clients: readonly MappingClient[]
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly emit: EmitEvent
  /** The outside endpoint is another than before, or gone. */
  readonly changed: (mapping: Mapping | null) => void
  /** The default gateway's IPv4 address; by default from the kernel's routing table. */
  readonly gateway?: () => Promise<string | null>
  /** How often the router is asked whether it still knows. */
  readonly checkMs?: number
}

/** Where the mapping stands, for people. Times in ms. */
export interface PortMappingReport {
  readonly phase: MappingState['phase']['name']
  readonly gateway: string | null
  readonly mapping: Mapping | null
  readonly failure: { readonly code: MappingFailure; readonly at: number } | null
}

/** All three protocols. */
export function mappingClients(random: Random): MappingClient[] {
  return [new PcpClient(random), new NatPmpClient(), new UpnpClient()]
}

/** Keeps one port of the router mapped to the mesh's port while the node runs. */
export class PortMapper {
  readonly #options: PortMapperOptions
  readonly #state: MappingState
  readonly #stopped = Promise.withResolvers<void>()
  #gateway: string | null = null
  #questions = new Map<number, AbortController>()
  #cancelWake = (): void => undefined
  #reported: MappingFailure | null = null
  #isHalted = false

  constructor(options: PortMapperOptions) {
    this.#options = options
    this.#state = createMapping(options.port, options.checkMs)
  }

  /** Begins to ask. */
  start(): void {
    this.#step({ type: 'start' })
  }

  /** This host is in another network, or its address is another. */
  networkChanged(): void {
    this.#step({ type: 'network-changed' })
  }

  /** Takes the mapping back; resolves when the router confirmed it, at the latest after `STOP_MS`. */
  async stop(): Promise<void> {
    this.#step({ type: 'stop' })
    const cancel = this.#options.timers.after(STOP_MS, () => this.#stopped.resolve())
    await this.#stopped.promise
    cancel()
    this.#isHalted = true
    this.#cancelWake()
    for (const question of this.#questions.values()) question.abort()
  }

  /** Where it stands. */
  state(): PortMappingReport {
    const { phase, mapping, failure } = this.#state
    return { phase: phase.name, gateway: this.#gateway, mapping, failure }
  }

  #step(event: MappingEvent): void {
    if (this.#isHalted) return
    const { clock, random } = this.#options
    const effects = step(this.#state, event, clock.now(), () => fraction(random))
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: MappingEffect): void {
    const { clock, timers, changed } = this.#options
    switch (effect.type) {
      case 'ask':
        void this.#question(effect.id, async (signal) => {
          const event = await this.#ask(effect.method, effect.externalPort, signal)
          this.#step({ ...event, id: effect.id })
        })
        return
      case 'remove':
        void this.#question(effect.id, async (signal) => {
          await this.#remove(effect.method, effect.externalPort, signal)
          this.#step({ type: 'removed', id: effect.id })
        })
        return
      case 'cancel':
        this.#questions.get(effect.id)?.abort()
        return
      case 'wake':
        this.#cancelWake()
        this.#cancelWake = timers.after(Math.max(0, effect.at - clock.now()), () =>
          this.#step({ type: 'wake' }),
        )
        return
      case 'changed':
        this.#tell(effect.mapping)
        changed(effect.mapping)
        return
      case 'report':
        this.#report(effect.code)
        return
      case 'stopped':
        this.#stopped.resolve()
    }
  }

  async #question(id: number, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const question = new AbortController()
    this.#questions.set(id, question)
    const cancel = this.#options.timers.after(ASK_MS, () => question.abort())
    await run(question.signal)
    cancel()
    this.#questions.delete(id)
  }

  async #ask(
    method: MappingMethod,
    externalPort: number,
    signal: AbortSignal,
  ): Promise<{ type: 'granted'; grant: Grant } | { type: 'failed'; code: PortMappingCode }> {
    const client = this.#client(method)
    try {
      this.#gateway = await (this.#options.gateway ?? findGateway)()
      if (this.#gateway === null) return { type: 'failed', code: 'mapping-no-gateway' }
      if (client === undefined) return { type: 'failed', code: 'mapping-none' }
      const request = { gateway: this.#gateway, port: this.#options.port, externalPort }
      return { type: 'granted', grant: await whileWanted(client.map(request, signal), signal) }
    } catch (error) {
      if (error instanceof PortMappingError) return { type: 'failed', code: error.code }
      if (signal.aborted) return { type: 'failed', code: 'mapping-none' }
      throw error
    }
  }

  async #remove(method: MappingMethod, externalPort: number, signal: AbortSignal): Promise<void> {
    if (this.#gateway === null) return
    try {
      const request = { gateway: this.#gateway, port: this.#options.port, externalPort }
      const client = this.#client(method)
      if (client !== undefined) await whileWanted(client.unmap(request, signal), signal)
    } catch (error) {
      // The router is gone or keeps it; its lease ends it.
      if (!(error instanceof PortMappingError) && !signal.aborted) throw error
    }
  }

  #client(method: MappingMethod): MappingClient | undefined {
    return this.#options.clients.find((each) => each.method === method)
  }

  #tell(mapping: Mapping | null): void {
    if (mapping === null) return
    this.#reported = null
    const { method, externalAddress, externalPort } = mapping
    const endpoint = `${externalAddress.join('.')}:${externalPort}`
    this.#options.emit({
      kind: 'port.mapped',
      severity: 'info',
      text: `The router leads ${endpoint} to the mesh port.`,
      fields: { method, endpoint },
    })
  }

  /** Once until something else is the case: a router without any of it says so once, not every hour. */
  #report(code: MappingFailure): void {
    if (code === this.#reported) return
    this.#reported = code
    const severity = code === 'mapping-none' || code === 'mapping-no-gateway' ? 'info' : 'notice'
    this.#options.emit({ kind: 'port.mapping-failed', severity, reason: code })
  }
}

/** Ends with the signal, whatever the client does: one that is stuck would hold the mapping up for good. */
function whileWanted<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Error('it took too long, or is no longer wanted'))
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    asked.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
