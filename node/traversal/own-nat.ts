import type { Clock, EmitEvent, Timers } from '../../protocols/common/ports.ts'
import type { PartialStanding } from '../../protocols/traversal/nat.ts'
import type { Netcheck } from './netcheck.ts'

/** How often it is looked whether measuring is due. */
const LOOK_MS = 1000
/** Once in a while anyway: routers are replaced and ports forwarded without any address of this machine changing. */
const AGAIN_MS = 1_800_000
/** Between two measurements that nobody asked for. */
const PAUSE_MS = 5_000
/** Reflectors at different addresses that tell all there is to tell. */
const REFLECTORS_ENOUGH = 2

/** What knowing the own NAT needs. */
export interface OwnNatInit {
  /** Measures; see `netcheck`. */
  readonly measure: (signal: AbortSignal) => Promise<Netcheck>
  /** At how many different addresses members can be asked. */
  readonly reflectors: () => number
  /** Whether a member has dialled this node from the internet, unasked. */
  readonly wasDialled: () => boolean
  /** Told after each measurement; `isNews`: it found something else than the one before. */
  readonly changed: (isNews: boolean) => void
  /** Never goes back. */
  readonly clock: Clock
  readonly timers: Timers
  readonly emit: EmitEvent
}

/** Measures the NAT before this node when there is somebody to ask, and again when that may tell more. */
export class OwnNat {
  readonly #init: OwnNatInit
  readonly #stopping = new AbortController()
  readonly #stopTimer: () => void
  #latest: Netcheck | null = null
  #measuredAt = Number.NEGATIVE_INFINITY
  /** Reflectors of the last measurement; it is repeated when there are more. */
  #askedOf = 0
  #running: Promise<Netcheck> | null = null
  /** Counts networks: what was measured in another one does not hold. */
  #network = 0

  constructor(init: OwnNatInit) {
    this.#init = init
    this.#stopTimer = init.timers.every(LOOK_MS, () => this.#look())
  }

  /** What was found last; null before the first measurement, and after this machine moved. */
  get latest(): Netcheck | null {
    return this.#latest
  }

  /** When it was found, by the steady clock. */
  get measuredAt(): number | null {
    return this.#latest === null ? null : this.#measuredAt
  }

  /** At how many different addresses members could be asked then, as far as that matters. */
  get askedOf(): number {
    return this.#askedOf
  }

  /** As much as decides whether two nodes can meet; null when it is not known. */
  standing(): PartialStanding | null {
    return this.#latest?.classified.towards ?? null
  }

  /** Whether members reach the mesh port unasked; null when nobody said. */
  isReached(): boolean | null {
    if (this.#latest?.classified.towards === 'dialable') return true
    // What was measured says more: a connection outlives the forwarded port it came through.
    return this.#latest?.observations.reached ?? (this.#init.wasDialled() || null)
  }

  /** This machine moved to another network: nothing of what was found holds. */
  forget(): void {
    this.#network++
    this.#latest = null
    this.#askedOf = 0
    this.#measuredAt = Number.NEGATIVE_INFINITY
  }

  /**
   * Measures now, or joins a measurement that goes on; where that asks fewer members than there are by now, another one follows.
   * @throws Error when the node stops meanwhile.
   */
  async measure(): Promise<Netcheck> {
    const isJoined = this.#running !== null
    const found = await this.#begin()
    return isJoined && this.#count() > this.#askedOf ? this.#begin() : found
  }

  #begin(): Promise<Netcheck> {
    this.#running ??= this.#measure().finally(() => (this.#running = null))
    return this.#running
  }

  /** Ends a measurement that goes on, and waits for it. */
  async stop(): Promise<void> {
    this.#stopTimer()
    this.#stopping.abort(new Error('the node is stopping'))
    await this.#running?.catch(() => undefined) // it was told to end
  }

  #look(): void {
    const { clock } = this.#init
    const sinceMs = clock.now() - this.#measuredAt
    if (this.#running !== null || sinceMs < PAUSE_MS) return
    const count = this.#count()
    if (count === 0 || (count <= this.#askedOf && sinceMs < AGAIN_MS)) return
    this.#begin().catch((error: Error) => {
      if (this.#stopping.signal.aborted) return
      this.#init.emit({ kind: 'netcheck.failed', severity: 'warning', text: error.message })
    })
  }

  #count(): number {
    return Math.min(this.#init.reflectors(), REFLECTORS_ENOUGH)
  }

  async #measure(): Promise<Netcheck> {
    const { measure, clock, changed, emit } = this.#init
    this.#measuredAt = clock.now()
    this.#askedOf = this.#count()
    const before = this.#latest?.classified
    const wasReached = this.isReached()
    const network = this.#network
    const found = await measure(this.#stopping.signal)
    if (network !== this.#network) return found // this machine moved meanwhile: it is measured anew
    this.#latest = found
    const { mapping, filtering, towards } = found.classified
    const isOther =
      before === undefined ||
      before.mapping.value !== mapping.value ||
      before.filtering.value !== filtering.value
    if (isOther)
      emit({
        kind: 'netcheck.done',
        severity: 'info',
        fields: {
          mapping: mapping.value ?? 'unknown',
          filtering: filtering.value ?? 'unknown',
          isDialable: towards === 'dialable',
        },
      })
    changed(isOther || wasReached !== this.isReached())
    return found
  }
}
