import type { EventInput } from '../../protocols/common/ports.ts'
import type { Process, SimNode, Watcher } from '../world/node.ts'
import { FRAME_OVERHEAD_BYTES } from '../world/paths.ts'
import type { World } from '../world/world.ts'
import { findUnsettled, isCutFrom } from './liveness.ts'

/** Verdicts are looked at so often: the grain of every time that is measured. */
export const LOOK_MS = 100
/** Whether all is settled costs more to say: looked at so often, ever less often while it stays so. */
const SETTLED_LOOK_MS = 500
const SETTLED_LOOK_MAX_MS = 5_000
/** Links form in the first seconds: idle begins after. */
const IDLE_FROM_MS = 10_000

/** What a run measured. Bytes as on the wire, sent, a node; null where there was nothing to measure. */
export interface Measures {
  /** Bytes a node and second from the tenth second to the first fault. */
  readonly idleBytesPerSecond: number | null
  readonly peakBytesPerSecond: number
  readonly averageBytesPerSecond: number
  /** From an end to the first suspicion, and until everybody alive holds it dead; the slowest of all ends. */
  readonly firstSuspectMs: number | null
  readonly deadEverywhereMs: number | null
  /** From a revocation until no honest node has the revoked; the slowest. */
  readonly cutEverywhereMs: number | null
  /** From the end of the faults until everything is settled for good. */
  readonly healMs: number | null
  /** Ends that were not known everywhere before the node came back or the run was over. */
  readonly unnoticed: number
  /** Events of the machines, by kind and reason. */
  readonly events: Readonly<Record<string, number>>
}

interface Death {
  readonly node: SimNode
  readonly at: number
  suspectedAt: number | null
}

/** Counts bytes and takes times; looks only, changes nothing. */
export class Measurer implements Watcher {
  /** When processes ended that have not come back, ms. */
  readonly endedAt = new Map<SimNode, number>()
  readonly #idleUntilMs: number
  readonly #calmFromMs: number
  #world: World | null = null
  #deaths: Death[] = []
  readonly #firstSuspectMs: number[] = []
  readonly #deadEverywhereMs: number[] = []
  #revoked: { readonly node: SimNode; readonly at: number }[] = []
  readonly #cutEverywhereMs: number[] = []
  #unnoticed = 0
  #settledAt: number | null = null
  #idleBytes = 0
  #bytes = 0
  readonly #second: number[] = []
  readonly #secondBytes: number[] = []
  #peak = 0
  readonly #events = new Map<string, number>()

  /** `idleUntilMs`: the first fault; `calmFromMs`: the end of the last. */
  constructor(idleUntilMs: number, calmFromMs: number) {
    this.#idleUntilMs = idleUntilMs
    this.#calmFromMs = calmFromMs
  }

  /** Called once the world stands. */
  attach(world: World): void {
    this.#world = world
    const look = (): void => {
      this.#lookAtDeaths(world)
      this.#lookAtRevoked(world)
      world.scheduler.after(LOOK_MS, look)
    }
    world.scheduler.after(LOOK_MS, look)
    let nextMs = SETTLED_LOOK_MS
    const settled = (): void => {
      const isSettled = findUnsettled(world, this.endedAt) === null
      this.#settledAt = isSettled ? (this.#settledAt ?? world.now) : null
      nextMs = isSettled ? Math.min(nextMs + SETTLED_LOOK_MS, SETTLED_LOOK_MAX_MS) : SETTLED_LOOK_MS
      world.scheduler.after(nextMs, settled)
    }
    world.scheduler.at(this.#calmFromMs, settled)
  }

  started(node: SimNode): void {
    this.endedAt.delete(node)
    const pending = this.#deaths.length
    this.#deaths = this.#deaths.filter((death) => death.node !== node)
    this.#unnoticed += pending - this.#deaths.length
  }

  stopped(node: SimNode, _process: Process): void {
    const at = this.#world?.now ?? 0
    this.endedAt.set(node, at)
    if (node.isHonest && !node.isClone) this.#deaths.push({ node, at, suspectedAt: null })
  }

  revoked(node: SimNode): void {
    this.#revoked.push({ node, at: this.#world?.now ?? 0 })
  }

  sent(node: SimNode, frame: Uint8Array, at: number): void {
    const bytes = frame.length + FRAME_OVERHEAD_BYTES
    const { index } = node
    const second = Math.floor(at / 1000)
    this.#bytes += bytes
    if (at >= IDLE_FROM_MS && at < this.#idleUntilMs) this.#idleBytes += bytes
    const sum = (this.#second[index] === second ? (this.#secondBytes[index] ?? 0) : 0) + bytes
    this.#second[index] = second
    this.#secondBytes[index] = sum
    // The first seconds build the mesh: what counts is the peak of a mesh that stands.
    if (at >= IDLE_FROM_MS && sum > this.#peak && node.isHonest) this.#peak = sum
  }

  emitted(_node: SimNode, { kind, reason }: EventInput): void {
    const name = reason === undefined ? kind : `${kind} ${reason}`
    this.#events.set(name, (this.#events.get(name) ?? 0) + 1)
  }

  /** What there is to say once the run is over. */
  result(): Measures {
    const nodes = this.#world?.nodes.length ?? 1
    const endMs = this.#world?.now ?? 0
    const idleMs = Math.min(this.#idleUntilMs, endMs) - IDLE_FROM_MS
    const settledAt = this.#settledAt
    return {
      idleBytesPerSecond: idleMs < 1_000 ? null : Math.round((this.#idleBytes / nodes / idleMs) * 1000),
      peakBytesPerSecond: this.#peak,
      averageBytesPerSecond: endMs === 0 ? 0 : Math.round((this.#bytes / nodes / endMs) * 1000),
      firstSuspectMs: largest(this.#firstSuspectMs),
      cutEverywhereMs: this.#revoked.length > 0 ? null : largest(this.#cutEverywhereMs),
      deadEverywhereMs: largest(this.#deadEverywhereMs),
      healMs: settledAt === null ? null : settledAt - this.#calmFromMs,
      unnoticed: this.#unnoticed + this.#deaths.length,
      events: Object.fromEntries([...this.#events].sort(([a], [b]) => (a < b ? -1 : 1))),
    }
  }

  #lookAtRevoked(world: World): void {
    if (this.#revoked.length === 0) return
    const judges = world.live().filter(({ isHonest, isClone }) => isHonest && !isClone)
    this.#revoked = this.#revoked.filter(({ node, at }) => {
      if (!judges.every((judge) => isCutFrom(judge, node))) return true
      this.#cutEverywhereMs.push(world.now - at)
      return false
    })
  }

  #lookAtDeaths(world: World): void {
    if (this.#deaths.length === 0) return
    const judges = world.live().filter(({ isHonest, isClone }) => isHonest && !isClone)
    this.#deaths = this.#deaths.filter((death) => {
      let dead = 0
      for (const { process } of judges) {
        const held = process?.state.verdicts.get(death.node.id)?.state
        const isGone =
          process?.state.table.get(death.node.id) === undefined || held === 'left' || held === 'dead'
        if (isGone) dead++
        if ((isGone || held === 'suspect') && death.suspectedAt === null) {
          death.suspectedAt = world.now
          this.#firstSuspectMs.push(world.now - death.at)
        }
      }
      if (dead < judges.length) return true
      this.#deadEverywhereMs.push(world.now - death.at)
      return false
    })
  }
}

function largest(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((a, b) => Math.max(a, b))
}
