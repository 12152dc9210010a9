import { fraction } from '../../protocols/common/fraction.ts'
import type { Clock, EmitEvent, Random, Timers } from '../../protocols/common/ports.ts'
import type { ListedMuxer, MuxRegistry } from '../../protocols/mux/registry.ts'
import { askEcho, echoProtocol, serveEchoes } from './echo.ts'
import { viewOf, type PathView } from './path-view.ts'
import { isReplaced } from './replaced.ts'
import { Silence } from './silence.ts'
import type { TraversalCode } from '../../protocols/traversal/errors.ts'
import {
  createPath,
  nextPathWakeAt,
  step,
  type PathEffect,
  type PathEvent,
  type PathState,
} from '../../protocols/traversal/path.ts'

/** How often paths are looked at: for silence, and for relayed connections that are needed no more. */
const LOOK_MS = 1000
/** What paths are made of. */
export interface PathsInit {
  readonly selfId: string
  /** First 8 hex digits of the mesh id. */
  readonly id8: string
  readonly muxes: MuxRegistry
  /** Looks for a direct way by all candidates; resolves to null when one was made, otherwise to why not. */
  readonly tryDirect: (peerId: string, signal: AbortSignal) => Promise<TraversalCode | null>
  /** Whether the peer announces other addresses than the last try began with. */
  readonly hasNews: (peerId: string) => boolean
  /** Whether streams of a libp2p protocol move to another connection by themselves when theirs is closed. */
  readonly isMovable: (protocol: string) => boolean
  /** Never goes back. */
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly emit: EmitEvent
}

interface Peer {
  readonly state: PathState
  cancelWake: () => void
  trying: AbortController | null
  /** A relay carried data to it: from then on changes are told. Most peers are direct from the beginning. */
  isNews: boolean
}

/**
 * Keeps the best way to each peer: relay first, direct as soon as it has answered, back when it falls silent. Streams stay where
 * they began; only new ones move.
 */
export class Paths {
  readonly #init: PathsInit
  readonly #protocol: string
  readonly #peers = new Map<string, Peer>()
  readonly #silence: Silence
  readonly #stops: (() => void)[] = []
  /** Counts what was learned of the own NAT. */
  #knowledge = 0
  #isStopped = false

  constructor(init: PathsInit) {
    this.#init = init
    this.#protocol = echoProtocol(init.id8)
    serveEchoes(init.muxes, this.#protocol)
    this.#silence = new Silence({
      muxes: init.muxes,
      ask: (listed) => askEcho(listed, this.#protocol, init.random, () => undefined),
      silent: (listed) => this.#lost(listed),
      heard: (listed) => this.#gained(listed),
      clock: init.clock,
    })
    this.#stops.push(
      init.muxes.listen({
        added: (listed) => this.#added(listed),
        removed: (listed) => this.#removed(listed),
      }),
      init.timers.every(LOOK_MS, () => this.#look()),
    )
  }

  /** How new streams to the peer go, and why. */
  view(peerId: string): PathView {
    const [used] = this.#init.muxes.list(peerId)
    return viewOf(this.#peers.get(peerId)?.state, used, this.#init.clock.now())
  }

  /** Looks for a direct way to the peer now, whatever the pause since the last try. False when nothing leads there. */
  tryNow(peerId: string): boolean {
    const peer = this.#peers.get(peerId)
    if (peer === undefined || !peer.state.isRelayed || peer.state.direct !== null) return false
    if (peer.state.tryUntil === null) peer.state.tryAt = this.#init.clock.now()
    this.#step(peerId, { type: 'wake' })
    return true
  }

  /** What this node's NAT does is known better now: tries that failed, or go on, did not know it. */
  natChanged(): void {
    this.#knowledge++
    for (const [peerId, { state, trying }] of this.#peers)
      if (trying === null && state.tryAt !== null && state.lastFailure !== null) this.tryNow(peerId)
  }

  /** This machine has other addresses now: `own`, as texts. Connections from addresses that are gone lead nowhere. */
  networkChanged(own: ReadonlySet<string>): void {
    for (const listed of this.#init.muxes.list()) {
      const [local] = listed.local?.replace(/^::ffff:/, '').split('%') ?? []
      if (local !== undefined && !own.has(local)) listed.cut(new Error(`this machine no longer has ${local}`))
    }
    for (const peerId of this.#peers.keys()) this.#step(peerId, { type: 'network-changed' })
  }

  /** Ends all tries. */
  stop(): void {
    this.#isStopped = true
    for (const stop of this.#stops) stop()
    for (const { cancelWake, trying } of this.#peers.values()) {
      cancelWake()
      trying?.abort(new Error('the node is stopping'))
    }
    this.#peers.clear()
  }

  #added(listed: ListedMuxer): void {
    this.#silence.added(listed)
    this.#gained(listed)
  }

  #removed(listed: ListedMuxer): void {
    this.#silence.removed(listed)
    this.#lost(listed)
    if (this.#init.muxes.list(listed.peerId).length === 0 && !this.#isStopped) this.#forget(listed.peerId)
  }

  #gained({ peerId, via, id }: ListedMuxer): void {
    this.#step(peerId, via === null ? { type: 'direct-made', connection: id } : { type: 'relay-up' })
  }

  /** Another one that stands may take over: the machine knows of those in use and under test only. */
  #lost({ peerId, via, id }: ListedMuxer): void {
    const others = this.#init.muxes.list(peerId).filter((other) => other.id !== id && !other.isSilent)
    if (via === null) {
      this.#step(peerId, { type: 'direct-closed', connection: id })
      for (const other of others)
        if (other.via === null) this.#step(peerId, { type: 'direct-made', connection: other.id })
    } else if (others.every((other) => other.via === null)) this.#step(peerId, { type: 'relay-down' })
  }

  /** Nothing leads there any more; a try that goes on may still bring something. */
  #forget(peerId: string): void {
    const peer = this.#peers.get(peerId)
    if (peer === undefined || peer.trying !== null) return
    peer.cancelWake()
    this.#peers.delete(peerId)
  }

  #step(peerId: string, event: PathEvent): void {
    if (this.#isStopped) return
    const { clock } = this.#init
    const peer = this.#peers.get(peerId) ?? {
      state: createPath(this.#init.selfId < peerId, clock.now()),
      cancelWake: () => undefined,
      trying: null,
      isNews: false,
    }
    this.#peers.set(peerId, peer)
    for (const effect of step(peer.state, event, clock.now(), this.#fraction))
      this.#perform(peerId, peer, effect)
    peer.cancelWake()
    const wakeAt = nextPathWakeAt(peer.state)
    peer.cancelWake =
      wakeAt === null
        ? () => undefined
        : this.#init.timers.after(Math.max(0, wakeAt - clock.now()), () =>
            this.#step(peerId, { type: 'wake' }),
          )
  }

  readonly #fraction = (): number => fraction(this.#init.random)

  #perform(peerId: string, peer: Peer, effect: PathEffect): void {
    const { muxes } = this.#init
    const listed = (id: string): ListedMuxer | undefined => muxes.list(peerId).find((each) => each.id === id)
    switch (effect.type) {
      case 'try':
        return void this.#try(peerId, peer)
      case 'cancel':
        return peer.trying?.abort(new Error('this node moved to another network'))
      case 'probe': {
        const asked = listed(effect.connection)
        if (asked !== undefined)
          askEcho(asked, this.#protocol, this.#init.random, () =>
            this.#step(peerId, { type: 'probe-answered', connection: asked.id }),
          )
        return
      }
      case 'use': {
        const { use, reason } = effect
        const used =
          use.path === 'direct'
            ? listed(use.connection)
            : muxes.list(peerId).findLast(({ via, isSilent }) => via !== null && !isSilent)
        if (used !== undefined) muxes.prefer(used)
        const via = used?.via ?? null
        peer.isNews ||= use.path === 'relay'
        if (!peer.isNews) return
        const fields = { path: use.path, ...(via === null ? {} : { via }) }
        return this.#init.emit({ kind: 'path.changed', severity: 'info', peer: peerId, reason, fields })
      }
      case 'retire':
        // Its streams end by themselves; see `#look`.
        return
      case 'close':
        return listed(effect.connection)?.close()
    }
  }

  async #try(peerId: string, peer: Peer): Promise<void> {
    const trying = new AbortController()
    const knowledge = this.#knowledge
    peer.trying = trying
    const reason = await this.#init.tryDirect(peerId, trying.signal)
    if (peer.trying === trying) peer.trying = null
    if (reason !== null) {
      this.#step(peerId, { type: 'try-failed', reason })
      if (knowledge !== this.#knowledge || this.#init.hasNews(peerId)) this.tryNow(peerId)
    }
    if (this.#init.muxes.list(peerId).length === 0) this.#forget(peerId)
  }

  #look(): void {
    this.#silence.look()
    const now = this.#init.clock.now()
    for (const listed of this.#init.muxes.list()) {
      const state = this.#peers.get(listed.peerId)?.state
      if (state !== undefined && isReplaced(listed, state, now, this.#init.isMovable)) listed.close()
    }
  }
}
