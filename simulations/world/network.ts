import { RTO_MS, type Paths } from './paths.ts'
import { farSideOf, makeConnection, sideOf } from './connection.ts'
import type { Connection, Message, Side } from './node.ts'
import type { SimNode } from './node.ts'
import type { Scheduler } from './scheduler.ts'

/** What a dial came to. */
export type DialOutcome = 'connected' | 'refused' | 'timeout'

/** What the network tells the world. */
export interface NetworkListener {
  up(node: SimNode, peer: SimNode, initiator: boolean): void
  frame(node: SimNode, peer: SimNode, bytes: Uint8Array): void
  down(node: SimNode, peer: SimNode): void
}

/** When an unanswered SYN is sent again (Linux), and when the dial gives up. */
const SYN_AT_MS = [0, 1_000, 3_000, 7_000]
const DIAL_TIMEOUT_MS = 10_000
/** Round trips until a dial is a link: TCP, the channel's handshake, the stream. */
const DIAL_ROUND_TRIPS = 3
/** A sender whose retransmissions have waited so long gives the connection up. */
const GIVE_UP_RTO_MS = 60_000

/**
 * Connections as TCP makes them: in order, late instead of lost, silent when the path is cut or the host is gone, ended by the
 * other's host when its process dies. Two nodes that dial each other at once have two, and the link lives until the last ends.
 */
export class Network {
  readonly #scheduler: Scheduler
  readonly #paths: Paths
  readonly #listener: NetworkListener
  readonly #relays: () => readonly SimNode[]

  constructor(
    scheduler: Scheduler,
    paths: Paths,
    relays: () => readonly SimNode[],
    listener: NetworkListener,
  ) {
    this.#scheduler = scheduler
    this.#paths = paths
    this.#relays = relays
    this.#listener = listener
  }

  /** Dials; `done` is called once, unless the dialler dies meanwhile. */
  dial(from: SimNode, to: SimNode, done: (outcome: DialOutcome) => void): void {
    const { lives } = from
    const finish = (outcome: DialOutcome) => {
      if (from.lives === lives && from.process !== null) done(outcome)
    }
    const startedAt = this.#scheduler.now
    const attempt = (n: number): void => {
      const atMs = SYN_AT_MS[n]
      if (atMs === undefined) return this.#scheduler.at(startedAt + DIAL_TIMEOUT_MS, () => finish('timeout'))
      this.#scheduler.at(startedAt + atMs, () => {
        if (from.lives !== lives || from.process === null) return
        const relay = this.#relayFor(from, to)
        if (relay === undefined || !this.#isThrough(from, to, relay)) return attempt(n + 1)
        this.#answerDial(from, to, relay, finish)
      })
    }
    attempt(0)
  }

  /** Null: none needed. Undefined: needed, and there is none. */
  #relayFor(from: SimNode, to: SimNode): SimNode | null | undefined {
    const way = this.#paths.way(from.index, to.index)
    if (way === 'direct') return null
    const relay = this.#relays().find(
      (node) =>
        node !== from &&
        node !== to &&
        node.process !== null &&
        this.#isThrough(from, node, null) &&
        this.#isThrough(node, to, null),
    )
    if (relay === undefined) return undefined
    return way === 'punched' ? null : relay
  }

  #isThrough(from: SimNode, to: SimNode, relay: SimNode | null): boolean {
    if (!to.isHostUp) return false
    return !this.#isPathBlocked(from, to, relay) && !this.#isPathBlocked(to, from, relay)
  }

  #isPathBlocked(from: SimNode, to: SimNode, relay: SimNode | null): boolean {
    if (relay === null) return this.#paths.isBlocked(from.index, to.index)
    return this.#paths.isBlocked(from.index, relay.index) || this.#paths.isBlocked(relay.index, to.index)
  }

  #delayMs(from: SimNode, to: SimNode, relay: SimNode | null, sizeBytes: number): number {
    const { now } = this.#scheduler
    if (relay === null) return this.#paths.delayMs(from.index, to.index, sizeBytes, now)
    return (
      this.#paths.delayMs(from.index, relay.index, sizeBytes, now) +
      this.#paths.delayMs(relay.index, to.index, sizeBytes, now)
    )
  }

  #answerDial(
    from: SimNode,
    to: SimNode,
    relay: SimNode | null,
    finish: (outcome: DialOutcome) => void,
  ): void {
    const roundTripMs = this.#delayMs(from, to, relay, 0) + this.#delayMs(to, from, relay, 0)
    const { lives } = from
    if (to.process === null)
      return this.#scheduler.after(roundTripMs, () => finish(relay === null ? 'refused' : 'timeout'))
    this.#scheduler.after(DIAL_ROUND_TRIPS * roundTripMs, () => {
      if (from.lives !== lives || from.process === null) return
      if (to.process === null || !this.#isThrough(from, to, relay)) {
        return finish(to.isHostUp && to.process === null ? 'refused' : 'timeout')
      }
      const connection = makeConnection(from, to, relay)
      this.#send(connection, connection.sides[0], { type: 'open' })
      this.#open(connection, connection.sides[0], true)
      finish('connected')
    })
  }

  #open(connection: Connection, side: Side, initiator: boolean): void {
    const peer = farSideOf(connection, side.node).node
    side.isOpen = true
    side.life = side.node.lives
    const open = side.node.connections.get(peer.id)
    if (open === undefined) side.node.connections.set(peer.id, [connection])
    else open.push(connection)
    if (open === undefined) this.#listener.up(side.node, peer, initiator)
  }

  /** Sends a frame by the newest connection; dropped when there is none. */
  send(node: SimNode, peerId: string, bytes: Uint8Array): void {
    const connection = node.connections.get(peerId)?.at(-1)
    if (connection !== undefined) this.#send(connection, sideOf(connection, node), { type: 'frame', bytes })
  }

  /** Ends every connection to a peer. */
  close(node: SimNode, peerId: string): void {
    for (const connection of node.connections.get(peerId) ?? []) this.#end(connection, node, true, false)
  }

  /** The process is gone: its host ends the connections, unless the host is gone too. */
  drop(node: SimNode, tellPeers: boolean): void {
    for (const connections of node.connections.values()) {
      for (const connection of connections) this.#end(connection, node, tellPeers, false)
    }
    node.connections.clear()
  }

  /** Everything a dead relay carried ends. */
  dropRelayed(relay: SimNode, nodes: readonly SimNode[]): void {
    for (const node of nodes) {
      const carried = [...node.connections.values()].flat().filter((connection) => connection.relay === relay)
      for (const connection of carried) this.#end(connection, node, false, true)
    }
  }

  /** Every connection of a node that leaves its site goes silent; all of them when the site's router is no longer its own. */
  forget(node: SimNode, isMoved: boolean): void {
    for (const connection of [...node.connections.values()].flat()) {
      const far = farSideOf(connection, node).node
      const leaves = this.#paths.siteOf(far.index) !== this.#paths.siteOf(node.index)
      if (leaves || isMoved) connection.isForgotten = true
    }
  }

  /** Whether bytes get from one to the other and back now, by whatever way there is. */
  canMeet(from: SimNode, to: SimNode): boolean {
    if (from.process === null || to.process === null) return false
    const isOpenOneWay = this.#paths.way(to.index, from.index) === 'direct'
    const relay = isOpenOneWay ? null : this.#relayFor(from, to)
    return relay !== undefined && this.#isThrough(from, to, relay)
  }

  #end(connection: Connection, node: SimNode, tellPeer: boolean, tellSelf: boolean): void {
    const side = sideOf(connection, node)
    if (!side.isOpen) return
    side.isOpen = false
    side.held.length = 0
    const peer = farSideOf(connection, node).node
    const rest = node.connections.get(peer.id)?.filter((other) => other !== connection) ?? []
    if (rest.length > 0) node.connections.set(peer.id, rest)
    else node.connections.delete(peer.id)
    if (tellPeer) this.#send(connection, side, { type: 'end' })
    if (tellSelf && rest.length === 0) this.#listener.down(node, peer)
  }

  #send(connection: Connection, side: Side, message: Message): void {
    if (side.held.length > 0) {
      side.held.push(message)
      return
    }
    const far = farSideOf(connection, side.node)
    const sizeBytes = message.type === 'frame' ? message.bytes.length : 0
    const delayMs = this.#delayMs(side.node, far.node, connection.relay, sizeBytes)
    side.nextAt = Math.max(side.nextAt, this.#scheduler.now + Math.floor(delayMs))
    this.#scheduler.at(side.nextAt, () => this.#arrive(connection, side, far, message))
  }

  #arrive(connection: Connection, from: Side, to: Side, message: Message): void {
    const waits = from.held.length > 0 || this.#isCutOff(connection, from, to) || this.#stallMs(to) > 0
    if (waits) this.#hold(connection, from, to, message)
    else this.#deliver(connection, from, to, message)
  }

  #isCutOff(connection: Connection, from: Side, to: Side): boolean {
    if (connection.isForgotten || !to.node.isHostUp) return true
    return this.#isPathBlocked(from.node, to.node, connection.relay)
  }

  #stallMs({ node }: Side): number {
    return node.process === null ? 0 : node.process.stalledUntil - this.#scheduler.now
  }

  /** Retransmits with TCP's back-off, or waits for a stalled event loop; what was sent later waits behind. */
  #hold(connection: Connection, from: Side, to: Side, message: Message): void {
    from.held.push(message)
    if (from.held.length > 1) return
    from.rtoMs = RTO_MS
    const again = (): void => {
      if (from.held.length === 0) return
      if (this.#isCutOff(connection, from, to)) {
        if (from.rtoMs > GIVE_UP_RTO_MS) return this.#end(connection, from.node, false, true)
        from.rtoMs *= 2
        return this.#scheduler.after(from.rtoMs, again)
      }
      const stallMs = this.#stallMs(to)
      if (stallMs > 0) return this.#scheduler.after(stallMs, again)
      for (const waiting of from.held.splice(0)) this.#deliver(connection, from, to, waiting)
    }
    this.#scheduler.after(Math.max(this.#stallMs(to), from.rtoMs), again)
  }

  #deliver(connection: Connection, from: Side, to: Side, message: Message): void {
    if (message.type === 'end') return this.#end(connection, to.node, false, true)
    const stands =
      to.node.process !== null && (message.type === 'open' || (to.isOpen && to.life === to.node.lives))
    if (!stands) return this.#reset(connection, from, to)
    if (message.type === 'open') {
      if (from.isOpen) this.#open(connection, to, false)
    } else this.#listener.frame(to.node, from.node, message.bytes)
  }

  /** The host of a process that knows nothing of the connection says so. */
  #reset(connection: Connection, from: Side, to: Side): void {
    if (!from.isOpen || this.#isCutOff(connection, to, from) || !to.node.isHostUp) return
    const delayMs = this.#delayMs(to.node, from.node, connection.relay, 0)
    this.#scheduler.after(delayMs, () => this.#end(connection, from.node, false, true))
  }
}
