import type { Choices } from '../channel/seed.ts'
import { stream } from './draws.ts'
import { wayBetween, type SimulatedKind, type Topology, type Way } from './topology.ts'

/** A cut: nothing of `from` reaches `to` while it stands. */
export interface Cut {
  readonly from: ReadonlySet<number>
  readonly to: ReadonlySet<number>
}

/** TCP's first retransmission, doubled each time (RFC 6298 §2 with Linux' minimum). */
export const RTO_MS = 200
/** Losses of one frame in a row that are drawn. */
const LOSSES_MAX = 6
/** What the layers below add to a frame: length 2, multiplexer 12, AEAD tag and length 18, TCP and IP 40. */
export const FRAME_OVERHEAD_BYTES = 72

/** How long bytes take between two nodes, and whether they get there. */
export class Paths {
  readonly topology: Topology
  readonly #seed: string
  readonly #count: number
  readonly #cuts = new Set<Cut>()
  readonly #chances = new Map<number, Choices>()
  readonly #uplinkFreeAt: number[] = []
  readonly #lossRate: (number | null)[] = []
  readonly #extraMs: number[] = []
  readonly #bytesPerSecond: (number | null)[] = []
  /** Where those stand who do not stand at the site of their own number. */
  readonly #sites: number[]
  readonly #links = new Map<string, Topology['links'][number]>()

  constructor(seed: string, count: number, topology: Topology) {
    this.#seed = seed
    this.#count = count
    this.topology = topology
    this.#sites = [...topology.sites]
    for (const link of topology.links) {
      this.#links.set(`${link.one}/${link.other}`, link)
      this.#links.set(`${link.other}/${link.one}`, link)
    }
  }

  /** Begins a cut; the returned function ends it. */
  cut(cut: Cut): () => void {
    this.#cuts.add(cut)
    return () => void this.#cuts.delete(cut)
  }

  /** Loses `rate` of what the node sends, instead of the topology's share; null takes it back. */
  setLoss(node: number, rate: number | null): void {
    this.#lossRate[node] = rate
  }

  /** Makes everything the node sends late by `extraMs` more. */
  setExtraDelay(node: number, extraMs: number): void {
    this.#extraMs[node] = extraMs
  }

  /** Narrows the node's upstream; null takes it back. */
  setBandwidth(node: number, bytesPerSecond: number | null): void {
    this.#bytesPerSecond[node] = bytesPerSecond ?? this.topology.bytesPerSecond
  }

  isBlocked(from: number, to: number): boolean {
    for (const cut of this.#cuts) if (cut.from.has(from) && cut.to.has(to)) return true
    return false
  }

  /** Number of the site a node stands at. */
  siteOf(node: number): number {
    return this.#sites[node] ?? node
  }

  /** The node stands at another site from now on. */
  move(node: number, site: number): void {
    this.#sites[node] = site
  }

  natOf(node: number): SimulatedKind {
    const { nat } = this.topology
    return nat[this.siteOf(node) % nat.length] ?? 'open'
  }

  way(from: number, to: number): Way {
    if (this.siteOf(from) === this.siteOf(to)) return 'direct'
    return wayBetween(this.natOf(from), this.natOf(to))
  }

  /** One way in ms for a frame sent at `now`, losses and the queue of the upstream included. */
  delayMs(from: number, to: number, sizeBytes: number, now: number): number {
    const { regions, nearMs, farMs, ...usual } = this.topology
    const link = this.#links.get(`${this.siteOf(from)}/${this.siteOf(to)}`)
    const { jitterMs } = link ?? usual
    const chance = this.#chanceOf(from, to)
    let delayMs = link?.delayMs ?? (from % regions === to % regions ? nearMs : farMs)
    delayMs += Math.floor(chance.fraction() * jitterMs) + (this.#extraMs[from] ?? 0)
    const lossRate = this.#lossRate[from] ?? (link ?? usual).lossRate
    if (lossRate > 0) {
      for (let i = 0, rtoMs = RTO_MS; i < LOSSES_MAX && chance.chance(lossRate); i++, rtoMs *= 2)
        delayMs += rtoMs
    }
    const bytesPerSecond = this.#bytesPerSecond[from] ?? this.topology.bytesPerSecond
    if (bytesPerSecond === null) return delayMs
    const freeAt = Math.max(now, this.#uplinkFreeAt[from] ?? 0)
    const sentAt = freeAt + ((sizeBytes + FRAME_OVERHEAD_BYTES) / bytesPerSecond) * 1000
    this.#uplinkFreeAt[from] = sentAt
    return delayMs + sentAt - now
  }

  /** Each direction of each pair draws from a stream of its own. */
  #chanceOf(from: number, to: number): Choices {
    const key = from * this.#count + to
    let chance = this.#chances.get(key)
    if (chance === undefined) {
      chance = stream(this.#seed, 'path', key)
      this.#chances.set(key, chance)
    }
    return chance
  }
}
