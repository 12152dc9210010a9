import { connect, type Socket } from 'node:net'
import { equalBytes } from '../../protocols/common/bytes.ts'
import type { Clock, Random, Timers } from '../../protocols/common/ports.ts'
import {
  DIALLED_PORT_MIN,
  REACH_MS,
  REFLECTION_HELD_MS,
  REFLECTIONS_MAX,
  TICKET_BYTES,
} from '../../protocols/traversal/limits.ts'
import {
  beginReach,
  createReflectGate,
  endReach,
  keepTickets,
  takeTicket,
} from '../../protocols/traversal/reflect-gate.ts'
import {
  encodeRawOpening,
  encodeReflection,
  RAW_OPENING_BYTES,
  REFLECT_KIND,
  reflectAnswerFormat,
  reflectRequestFormat,
  type ReflectAnswer,
  type ReflectRequest,
} from '../../protocols/traversal/reflect-wire.ts'
import { ExtraPort } from './extra-port.ts'
import { takeFirstBytes } from './first-bytes.ts'
import { RawOpenings } from './raw-openings.ts'
import { ipText, remoteEndpoint } from './socket-endpoint.ts'

/** The one port below `DIALLED_PORT_MIN` that meshes listen on. */
const HTTPS_PORT = 443

/** What a reflector needs. */
export interface ReflectorInit {
  /** One that no correction sets back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  /** Whether a second port may be opened while somebody measures its NAT. */
  readonly hasExtraPort: boolean
  /** Where connections back are made from; left to the system where not given. */
  readonly localAddress?: string
}

/** Tells members from where it sees them, and connects back to them. */
export class Reflector {
  /** Raw connections to this node's own ports. */
  readonly raw: RawOpenings
  readonly #init: ReflectorInit
  readonly #gate = createReflectGate()
  readonly #held = new Set<Socket>()
  readonly #extra: ExtraPort | null

  constructor(init: ReflectorInit) {
    this.#init = init
    this.raw = new RawOpenings(init.timers, {
      reflection: (socket, ticket) => this.#reflect(socket, ticket),
    })
    this.#extra = init.hasExtraPort ? new ExtraPort(init.timers, (socket) => this.raw.accept(socket)) : null
  }

  /**
   * Answers a member's question. @param from the address its secured connection comes from; null when that is relayed.
   * @throws MalformedError for what is none.
   */
  async answer(
    peer: string,
    from: Uint8Array | null,
    request: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const asked = reflectRequestFormat.decode(request)
    const answer =
      asked.kind === REFLECT_KIND.tickets
        ? await this.#tickets(peer, asked)
        : await this.#reach(peer, from, asked, signal)
    return reflectAnswerFormat.encode(answer)
  }

  /** Closes all it holds. */
  async stop(): Promise<void> {
    this.raw.stop()
    for (const socket of this.#held) socket.destroy()
    await this.#extra?.close()
  }

  async #tickets(
    peer: string,
    { count, wantsExtraPort }: Extract<ReflectRequest, { kind: 1 }>,
  ): Promise<ReflectAnswer> {
    const { clock, random } = this.#init
    const extraPort = wantsExtraPort ? ((await this.#extra?.wanted()) ?? null) : null
    const tickets = Array.from({ length: count }, () => random.bytes(TICKET_BYTES))
    keepTickets(this.#gate, peer, tickets, clock.now())
    return { kind: REFLECT_KIND.tickets, tickets, extraPort }
  }

  /** Keeps the connection open after the answer, so that the NAT in front of the asker keeps its mapping. */
  #reflect(socket: Socket, ticket: Uint8Array): boolean {
    const { clock, timers } = this.#init
    const seen = remoteEndpoint(socket)
    if (!takeTicket(this.#gate, ticket, clock.now()) || seen === null) {
      this.raw.refused++
      socket.destroy()
      return false
    }
    this.#held.add(socket)
    for (const oldest of this.#held) {
      if (this.#held.size <= REFLECTIONS_MAX) break
      this.#held.delete(oldest)
      oldest.destroy()
    }
    const cancel = timers.after(REFLECTION_HELD_MS, () => socket.destroy())
    socket.once('close', () => {
      cancel()
      this.#held.delete(socket)
    })
    socket.resume() // to see its end
    socket.write(encodeReflection(seen))
    return true
  }

  async #reach(
    peer: string,
    from: Uint8Array | null,
    { port, nonce }: Extract<ReflectRequest, { kind: 2 }>,
    signal: AbortSignal,
  ): Promise<ReflectAnswer> {
    if (from === null) return { kind: REFLECT_KIND.refused, code: 'reflect-relayed' }
    if (port < DIALLED_PORT_MIN && port !== HTTPS_PORT)
      return { kind: REFLECT_KIND.refused, code: 'port-reserved' }
    const refused = beginReach(this.#gate, peer, this.#init.clock.now())
    if (refused !== null) return { kind: REFLECT_KIND.refused, code: refused }
    try {
      const opening = encodeRawOpening({ kind: 'reach', token: nonce })
      return { kind: REFLECT_KIND.reach, arrived: await this.#sayAndHear(from, port, opening, signal) }
    } finally {
      endReach(this.#gate)
    }
  }

  /** Whether what is said to a port from a port of nobody's comes back. */
  #sayAndHear(ip: Uint8Array, port: number, opening: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const { timers, localAddress } = this.#init
    return new Promise((resolve) => {
      const socket = connect({
        host: ipText(ip),
        port,
        noDelay: true,
        ...(localAddress === undefined ? {} : { localAddress }),
      })
      const end = (hasArrived: boolean): void => {
        cancel()
        signal.removeEventListener('abort', abort)
        socket.destroy()
        resolve(hasArrived)
      }
      const abort = (): void => end(false)
      const cancel = timers.after(REACH_MS, abort)
      signal.addEventListener('abort', abort)
      socket.on('error', abort)
      socket.on('close', abort)
      socket.on('connect', () => {
        socket.write(opening)
        takeFirstBytes(socket, RAW_OPENING_BYTES, (bytes) => end(equalBytes(bytes, opening)))
      })
      if (signal.aborted) abort()
    })
  }
}
