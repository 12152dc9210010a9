import { connect, type Socket } from 'node:net'
import type { Random, Timers } from '../../protocols/common/ports.ts'
import {
  classify,
  type Arrival,
  type Classified,
  type Observations,
  type View,
} from '../../protocols/traversal/classify.ts'
import { sameIp, type Endpoint } from '../../protocols/traversal/endpoint.ts'
import { DIALLED_PORT_MIN, PUNCH_NONCE_BYTES } from '../../protocols/traversal/limits.ts'
import type { ReflectorPlace } from '../../protocols/traversal/public-places.ts'
import { encodeRawOpening, REFLECT_KIND } from '../../protocols/traversal/reflect-wire.ts'
import { FreshPort } from './fresh-port.ts'
import { HAIRPIN_MS, NETCHECK_MS, VIEWS_MS } from './limits.ts'
import { RawOpenings, refuseTicket } from './raw-openings.ts'
import {
  askReflector,
  askTickets,
  differentAddresses,
  reflect,
  type AskReflector,
  type Tickets,
} from './reflecting.ts'
import { ipText, localEndpoint, remoteEndpoint } from './socket-endpoint.ts'

/** What measuring the own NAT needs. */
export interface NetcheckInit {
  /** Members that can be dialled, the nearest first; two at different addresses are asked. */
  readonly places: readonly ReflectorPlace[]
  readonly ask: AskReflector
  /** The mesh port as others would dial it, and who answers there; null when the node does not listen. */
  readonly meshPort: { readonly port: number; readonly openings: RawOpenings } | null
  /** Outside address of the router, where UPnP or NAT-PMP says it. */
  readonly routerOutside: Uint8Array | null
  readonly timers: Timers
  readonly random: Random
  readonly signal: AbortSignal
}

/** What was seen, and what it tells. */
export interface Netcheck {
  readonly observations: Observations
  readonly classified: Classified
  /** Members that were asked and gave no view, and why, as text. */
  readonly silent: readonly { readonly peer: string; readonly text: string }[]
}

interface Asked {
  readonly place: ReflectorPlace
  readonly tickets: Tickets
}

/** Reflectors that are asked. */
const REFLECTORS = 2
/** One for the mesh port, one for the extra port, two for the port that is connected back to. */
const TICKETS = 4

/**
 * Measures the NAT before this node: from where two members see one port of it at two ports each, who gets in to another port
 * that has sent to one endpoint only, whether the mesh port is reached, whether the router hairpins. At most `NETCHECK_MS`; what
 * is not there by then is not known.
 */
export async function netcheck(init: NetcheckInit): Promise<Netcheck> {
  const ended = new AbortController()
  const end = (): void => ended.abort(new Error('measured long enough'))
  const cancel = init.timers.after(NETCHECK_MS, end)
  const check = new Check({ ...init, signal: AbortSignal.any([init.signal, ended.signal]) })
  try {
    return await check.run()
  } finally {
    cancel()
    end()
  }
}

class Check {
  readonly #init: NetcheckInit
  readonly #silent: { peer: string; text: string }[] = []

  constructor(init: NetcheckInit) {
    this.#init = init
  }

  async run(): Promise<Netcheck> {
    const { places, routerOutside } = this.#init
    const chosen = differentAddresses(places, REFLECTORS)
    const reached = this.#reached(chosen)
    const asked = await this.#tickets(chosen)
    const { local, views } = await this.#views(asked)
    // Not at the same time: a NAT may have one outside port for all that goes to the same host.
    const { arrivals, hairpin } = await this.#arrivals(asked, views)
    const observations: Observations = {
      local,
      views,
      arrivals,
      hairpin,
      reached: await reached,
      routerOutside,
    }
    return { observations, classified: classify(observations), silent: this.#silent }
  }

  async #tickets(chosen: readonly ReflectorPlace[]): Promise<readonly Asked[]> {
    const signal = this.#within(VIEWS_MS)
    const all = chosen.map(async (place) => {
      const tickets = await this.#heard(
        place.peer,
        askTickets(this.#init.ask, place.peer, TICKETS, true, signal),
      )
      return tickets === null ? [] : [{ place, tickets }]
    })
    return (await Promise.all(all)).flat()
  }

  /** What each port of each reflector sees of one port. */
  async #views(asked: readonly Asked[]): Promise<{ local: Endpoint; views: readonly View[] }> {
    const port = await FreshPort.open()
    const signal = this.#within(VIEWS_MS)
    let local: Endpoint = { ip: new Uint8Array(4), port: port.number }
    const all = asked.flatMap(({ place: { peer, endpoint }, tickets: { tickets, extraPort } }) =>
      [endpoint.port, extraPort].map(async (at, index) => {
        const ticket = tickets[index]
        if (at === null || ticket === undefined) return []
        const seen = reflect(
          port,
          { ip: endpoint.ip, port: at },
          Promise.resolve(ticket),
          signal,
          (socket) => {
            local = localEndpoint(socket) ?? local
          },
        )
        const view = await this.#heard(peer, seen)
        return view === null ? [] : [view]
      }),
    )
    try {
      return { views: (await Promise.all(all)).flat(), local }
    } finally {
      port.close()
    }
  }

  /** Who gets in to a port that has sent to one endpoint only: that member from another port, another member, this node itself. */
  async #arrivals(
    asked: readonly Asked[],
    views: readonly View[],
  ): Promise<Pick<Observations, 'arrivals' | 'hairpin'>> {
    const [first] = asked
    const ticket = first?.tickets.tickets[2]
    if (first === undefined || ticket === undefined) return { arrivals: [], hairpin: null }
    const port = await FreshPort.open()
    const openings = new RawOpenings(this.#init.timers, { reflection: refuseTicket })
    try {
      const sent = reflect(port, first.place.endpoint, Promise.resolve(ticket), this.#within(VIEWS_MS))
      const view = await this.#heard(first.place.peer, sent)
      if (view === null || !(await listening(port, openings))) return { arrivals: [], hairpin: null }
      const [hairpin, ...arrivals] = await Promise.all([
        isConfirmed(view, views) ? this.#hairpins(view.outside, openings) : null,
        ...asked.map(({ place }) => this.#arrival(place, view, openings)),
      ])
      return { hairpin, arrivals: arrivals.flat() }
    } finally {
      openings.stop()
      port.close()
    }
  }

  async #arrival(
    { peer, endpoint }: ReflectorPlace,
    { reflector, outside }: View,
    openings: RawOpenings,
  ): Promise<readonly Arrival[]> {
    const reach = await this.#reach(peer, outside.port, openings)
    if (reach === null) return []
    // From a port nobody has sent to; which one is known only where it got in.
    const from = reach.from ?? { ip: endpoint.ip, port: 0 }
    return [{ sentTo: [reflector], from, arrived: reach.from !== null }]
  }

  /** Whether the mesh port is reached by somebody it was never sent from to; null when nobody could be asked. */
  async #reached(chosen: readonly ReflectorPlace[]): Promise<boolean | null> {
    const { meshPort } = this.#init
    if (meshPort === null) return null
    const all = await Promise.all(
      chosen.map(({ peer }) => this.#reach(peer, meshPort.port, meshPort.openings)),
    )
    const told = all.filter((each) => each !== null)
    return told.length === 0 ? null : told.some(({ from }) => from !== null)
  }

  /** Asks a member to connect to a port; from where it came, or null when it did not. Null in all when it was not tried. */
  async #reach(
    peer: string,
    port: number,
    openings: RawOpenings,
  ): Promise<{ readonly from: Endpoint | null } | null> {
    const { ask, random, signal } = this.#init
    const nonce = random.bytes(PUNCH_NONCE_BYTES)
    let from: Endpoint | null = null
    const forget = openings.expect(nonce, (socket) => (from = remoteEndpoint(socket)))
    try {
      const request = { kind: REFLECT_KIND.reach, port, nonce }
      const answer = await this.#heard(peer, askReflector(ask, peer, request, signal))
      if (answer?.kind === REFLECT_KIND.reach) return { from }
      if (answer?.kind === REFLECT_KIND.refused) this.#silent.push({ peer, text: answer.code })
      return from === null ? null : { from }
    } finally {
      forget()
    }
  }

  /** Whether a connection to the own outside endpoint comes in. */
  #hairpins({ ip, port }: Endpoint, openings: RawOpenings): Promise<boolean> {
    const { timers, random } = this.#init
    const nonce = random.bytes(PUNCH_NONCE_BYTES)
    return new Promise((resolve) => {
      const socket = connect({ host: ipText(ip), port, noDelay: true })
      const end = (isReached: boolean): void => {
        cancel()
        forget()
        socket.destroy()
        resolve(isReached)
      }
      const forget = openings.expect(nonce, () => end(true))
      const cancel = timers.after(HAIRPIN_MS, () => end(false))
      socket.on('error', () => end(false))
      socket.on('connect', () => socket.write(encodeRawOpening({ kind: 'reach', token: nonce })))
    })
  }

  /** The value, or null and a note of why there is none. */
  async #heard<T>(peer: string, value: Promise<T>): Promise<T | null> {
    try {
      return await value
    } catch (error) {
      this.#silent.push({ peer, text: error instanceof Error ? error.message : String(error) })
      return null
    }
  }

  #within(ms: number): AbortSignal {
    const limit = new AbortController()
    this.#init.timers.after(ms, () => limit.abort(new Error('no answer in time')))
    return AbortSignal.any([this.#init.signal, limit.signal])
  }
}

/** A reflector that lies would have a victim dialled: so another one must see the same address, and no system service's port is. */
function isConfirmed({ reflector, outside }: View, views: readonly View[]): boolean {
  const isSeen = views.some(
    (other) => !sameIp(other.reflector.ip, reflector.ip) && sameIp(other.outside.ip, outside.ip),
  )
  return isSeen && outside.port >= DIALLED_PORT_MIN
}

/** Listens on a port that has connected; whether it does. */
function listening(port: FreshPort, openings: RawOpenings): Promise<boolean> {
  return new Promise((resolve) => {
    port.listen(
      (socket: Socket) => openings.accept(socket),
      () => resolve(false),
      () => resolve(true),
    )
  })
}
