import { stream } from '../world/draws.ts'
import type { Choices } from '../channel/seed.ts'
import { Scheduler } from '../world/scheduler.ts'

/** What a packet meets on its way from one site to another. */
export interface PathSettings {
  /** One way. */
  readonly delayMs: number
  /** Up to so much more, drawn for each packet. Packets of a pair never overtake each other. */
  readonly jitterMs: number
  /** Chance of a packet being lost. */
  readonly lossRate: number
  /** Null for no bound. Packets that would wait longer than `QUEUE_MS` for their turn are dropped, as a router drops them. */
  readonly bytesPerSecond: number | null
  /** Nothing passes. */
  readonly isBlocked: boolean
}

/** A path nobody has changed. */
export const PLAIN_PATH: PathSettings = {
  delayMs: 0,
  jitterMs: 0,
  lossRate: 0,
  bytesPerSecond: null,
  isBlocked: false,
}

/** Waiting for a slow path's turn: what home routers hold, and not the seconds of a bloated one. */
export const QUEUE_MS = 200
/** Held at once by all paths together: a second of a gigabit. More is dropped, as by a full router. */
export const HELD_BYTES_MAX = 128 * 1024 * 1024

/** The head each packet has on a TUN device with offloading (`struct virtio_net_hdr` without `num_buffers`). */
export const OFFLOAD_HEAD_BYTES = 10

/** Packets of one path. */
export interface PathCounts {
  delivered: number
  lost: number
  blocked: number
  /** No room in a queue, or not taken by the site's device. */
  dropped: number
}

interface Path {
  settings: PathSettings
  readonly choices: Choices
  readonly counts: PathCounts
  /** When the last packet arrives, and when a bounded path is free again. */
  lastDueAt: number
  freeAt: number
}

/**
 * The lab's internet without its devices: gets packets, decides by a seed which arrive and when. Site `n` has all of `11.0.n.0/24`
 * and `2a11:0:0:n::/64`.
 * Time in ms with fractions, given by the caller.
 */
export class Wan {
  readonly #scheduler = new Scheduler()
  readonly #paths: readonly (readonly Path[])[]
  readonly #deliver: (to: number, packet: Uint8Array) => boolean
  #heldBytes = 0

  /** @param deliver called from `accept` or `run` with the packet, offload head and all, which it does not keep; false: not taken. */
  constructor(seed: string, sites: number, deliver: (to: number, packet: Uint8Array) => boolean) {
    this.#deliver = deliver
    const indices = Array.from({ length: sites }, (_, i) => i)
    this.#paths = indices.map((from) =>
      indices.map((to) => ({
        settings: PLAIN_PATH,
        choices: stream(seed, 'wan', `${from}>${to}`),
        counts: { delivered: 0, lost: 0, blocked: 0, dropped: 0 },
        lastDueAt: 0,
        freeAt: 0,
      })),
    )
  }

  /** Changes a path from now on; what is under way arrives as it would have. */
  set(from: number, to: number, settings: Partial<PathSettings>): void {
    const path = this.#path(from, to)
    path.settings = { ...path.settings, ...settings }
  }

  counts(from: number, to: number): PathCounts {
    return this.#path(from, to).counts
  }

  /** When something is to be delivered next; null when nothing is under way. */
  get dueAt(): number | null {
    return this.#scheduler.dueAt
  }

  /** Delivers what is due. */
  run(now: number): void {
    while (this.#scheduler.next(now));
  }

  /** A packet from a site. The bytes may be used again after the call. */
  accept(from: number, packet: Uint8Array, now: number): void {
    const to = siteOf(packet)
    const path = to === null ? undefined : this.#paths[from]?.[to]
    if (path === undefined || to === null) return // to nobody: the internet is silent about it, as a black hole is
    const { settings, counts, choices } = path
    if (settings.isBlocked) return void counts.blocked++
    if (settings.lossRate > 0 && choices.chance(settings.lossRate)) return void counts.lost++
    let sentAt = now
    if (settings.bytesPerSecond !== null) {
      const startAt = Math.max(now, path.freeAt)
      if (startAt - now > QUEUE_MS) return void counts.dropped++
      path.freeAt = startAt + ((packet.length - OFFLOAD_HEAD_BYTES) * 1000) / settings.bytesPerSecond
      sentAt = path.freeAt
    }
    const jitterMs = settings.jitterMs > 0 ? choices.fraction() * settings.jitterMs : 0
    const dueAt = Math.max(path.lastDueAt, sentAt + settings.delayMs + jitterMs)
    path.lastDueAt = dueAt
    if (dueAt > now) return this.#hold(to, packet, dueAt, counts)
    this.#arrive(to, packet, counts)
  }

  #hold(to: number, packet: Uint8Array, dueAt: number, counts: PathCounts): void {
    if (this.#heldBytes + packet.length > HELD_BYTES_MAX) return void counts.dropped++
    this.#heldBytes += packet.length
    const held = packet.slice()
    this.#scheduler.at(dueAt, () => {
      this.#heldBytes -= held.length
      this.#arrive(to, held, counts)
    })
  }

  #arrive(to: number, packet: Uint8Array, counts: PathCounts): void {
    if (this.#deliver(to, packet)) counts.delivered++
    else counts.dropped++
  }

  #path(from: number, to: number): Path {
    const path = this.#paths[from]?.[to]
    if (path === undefined) throw new Error(`no path from site ${from} to site ${to}`)
    return path
  }
}

/** What a destination in IPv6 begins with; the site's number follows. */
const NETWORK_V6 = [0x2a, 0x11, 0, 0, 0, 0, 0] as const

/** Number of the site a packet goes to; null for what is not of the lab's internet. */
function siteOf(packet: Uint8Array): number | null {
  const at = OFFLOAD_HEAD_BYTES
  const version = packet.length >= at + 20 ? (packet[at] as number) >> 4 : 0
  if (version === 4)
    return packet[at + 16] === 11 && packet[at + 17] === 0 ? (packet[at + 18] as number) : null
  const isKnown = version === 6 && NETWORK_V6.every((byte, i) => packet[at + 24 + i] === byte)
  return isKnown ? (packet[at + 24 + NETWORK_V6.length] ?? null) : null
}
