import type { Clock, EmitEvent, Timers } from '../../protocols/common/ports.ts'
import type { MuxRegistry } from '../../protocols/mux/registry.ts'
import { holdReservation } from '../../protocols/relay/client.ts'
import {
  createReservations,
  heldRelays,
  step,
  type RelayCandidate,
  type ReservationEvent,
} from '../../protocols/relay/reservations.ts'

/** How often the reservations are compared with what there is: a relay that restarted is back within two of these. */
const LOOK_MS = 1000

/** What keeping reservations needs. */
export interface ReservationsInit {
  readonly muxes: MuxRegistry
  /** Protocol of channels to a relay. */
  readonly protocol: string
  /** Members that can be dialled from the internet and are connected directly. */
  readonly candidates: () => readonly RelayCandidate[]
  /** Whether this node needs relays: it cannot be dialled itself, or does not know. */
  readonly isNeeded: () => boolean
  /** Told of the relays that keep this node reachable whenever they change. */
  readonly changed: (relays: readonly string[]) => void
  /** Never goes back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Keeps this node reachable through relays. */
export class Reservations {
  readonly #init: ReservationsInit
  readonly #state = createReservations()
  /** Ways to give up what is held or asked for. */
  readonly #releases = new Map<string, () => void>()
  #announced = ''
  readonly #stopTimer: () => void

  constructor(init: ReservationsInit) {
    this.#init = init
    this.#stopTimer = init.timers.every(LOOK_MS, () => this.#look())
    this.#look()
  }

  /** Peer ids of the relays that keep this node reachable. */
  held(): string[] {
    return heldRelays(this.#state)
  }

  /** Looks at once: something changed. */
  look(): void {
    this.#look()
  }

  /** Gives up all of them. */
  stop(): void {
    this.#stopTimer()
    for (const release of this.#releases.values()) release()
    this.#releases.clear()
  }

  #look(): void {
    const { candidates, isNeeded } = this.#init
    this.#step({ type: 'look', candidates: candidates(), isNeeded: isNeeded() })
  }

  #step(event: ReservationEvent): void {
    for (const { type, relay } of step(this.#state, event, this.#init.clock.now())) {
      this.#releases.get(relay)?.()
      this.#releases.delete(relay)
      if (type === 'reserve') this.#reserve(relay)
    }
    const held = this.held()
    const announced = held.toSorted().join(' ')
    if (announced === this.#announced) return
    this.#announced = announced
    this.#init.changed(held)
  }

  #reserve(relay: string): void {
    const { muxes, protocol, timers, emit } = this.#init
    try {
      const channel = muxes.openDirect(relay, protocol)
      const release = holdReservation(channel, timers, {
        reserved: ({ circuits }) => {
          emit({ kind: 'relay.held', severity: 'info', peer: relay })
          this.#step({ type: 'reserved', relay, circuits })
        },
        load: ({ circuits }) => this.#step({ type: 'load', relay, circuits }),
        lost: (code, text) => {
          this.#releases.delete(relay)
          emit({ kind: 'relay.lost', severity: 'info', peer: relay, reason: code, text })
          this.#step({ type: 'lost', relay, code })
        },
      })
      this.#releases.set(relay, release)
    } catch {
      // Its connection ended since the look; the next one sees it.
      this.#step({ type: 'lost', relay, code: 'relay-lost' })
    }
  }
}
