import { step } from '../../bootstrap/lan-discovery.ts'
import { nextDueAt } from '../../bootstrap/lan-speaking.ts'
import {
  createLanDiscovery,
  type LanEvent,
  type LanLink,
  type LanSource,
  type LanState,
} from '../../bootstrap/lan-state.ts'
import type { LanPeer } from '../../bootstrap/lan-tags.ts'
import { LAN_LOOK_MS } from '../../bootstrap/limits.ts'
import type { Clock, EmitEvent, Random, Timers } from '../../protocols/common/ports.ts'
import { endpointOn, lanInterfaces, listensOn, type LanInterface } from '../transport/lan-interfaces.ts'
import { LanSockets } from '../transport/lan-socket.ts'

/** What LAN discovery works with. */
export interface NearbyInit {
  readonly meshId: Uint8Array
  /** This node's key; null for a machine that only looks for others. */
  readonly selfKey: Uint8Array | null
  /** Multiaddrs at which the mesh listens, wildcards included; other interfaces are left alone. */
  readonly listening: () => readonly string[]
  /** Whom to recognise. Asked again after `peersChanged`. */
  readonly peers: () => readonly LanPeer[]
  /** Peer ids with an open connection. */
  readonly connected: () => Iterable<string>
  /** A peer that is not connected was seen: to be dialled now. */
  readonly found: (peer: string, addresses: readonly string[]) => void
  /** Hours are of the clock on the wall; all else of one that nobody sets. */
  readonly wallClock: Clock
  readonly steadyClock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly emit: EmitEvent
  /** On the loopback interface and nowhere else, for tests. */
  readonly loopback?: boolean
}

/** Finds members on the same network, and is found by them: the LAN discovery machine with sockets and a timer. */
export class Nearby {
  readonly #init: NearbyInit
  readonly #state: LanState
  readonly #sockets: LanSockets
  #stopLooking: (() => void) | null = null
  #cancelTick: () => void = () => undefined
  #isChanged = true

  constructor(init: NearbyInit) {
    this.#init = init
    this.#state = createLanDiscovery(init.meshId, init.selfKey, init.wallClock.now())
    this.#sockets = new LanSockets({
      onPacket: (link, bytes, from) => this.#packet(link, bytes, from),
      onReady: () => this.#look(),
      emit: init.emit,
      clock: init.steadyClock,
    })
  }

  /** Begins with a look at once. */
  start(): void {
    this.#stopLooking ??= this.#init.timers.every(LAN_LOOK_MS, () => this.#look())
    this.#look()
  }

  /** Says farewell and closes the sockets. */
  async stop(): Promise<void> {
    if (this.#stopLooking === null) return
    this.#step({ type: 'stop' })
    this.#stopLooking()
    this.#stopLooking = null
    this.#cancelTick()
    await this.#sockets.close()
  }

  /** `peers` has others to tell; they are asked for at the next look. */
  peersChanged(): void {
    this.#isChanged = true
  }

  /** Where a peer was seen lately: full multiaddrs. Never written down: they end with the records' time to live. */
  addressesOf(peer: string): string[] {
    return this.#state.candidates
      .addressesOf(peer, this.#init.steadyClock.now())
      .map((address) => `${address}/p2p/${peer}`)
  }

  /** Peers seen lately. */
  peers(): string[] {
    return this.#state.candidates.peers(this.#init.steadyClock.now())
  }

  readonly #look = (): void => {
    if (this.#stopLooking === null) return
    const { wallClock, connected, listening, peers, loopback = false } = this.#init
    if (this.#isChanged) {
      this.#isChanged = false
      this.#step({ type: 'peers', peers: peers() })
    }
    // Whoever does not listen on an interface has been told to keep off it.
    const interfaces = lanInterfaces({ loopback }).filter((each) => listensOn(each, listening()))
    const ready = this.#sockets.update(interfaces)
    const links = [...ready].map(([id, each]) => this.#linkOf(id, each))
    this.#step({ type: 'look', wallMs: wallClock.now(), links, connected: new Set(connected()) })
  }

  #linkOf(id: string, each: LanInterface): LanLink {
    return { id, subnets: each.subnets, endpoint: endpointOn(each, this.#init.listening()) }
  }

  #packet(link: string, bytes: Uint8Array, from: LanSource): void {
    if (this.#stopLooking !== null) this.#step({ type: 'packet', link, bytes, from })
  }

  #step(event: LanEvent): void {
    const { steadyClock, timers, emit, found } = this.#init
    for (const effect of step(this.#state, event, steadyClock.now(), this.#fraction)) {
      if (effect.type === 'send') this.#sockets.send(effect.link, effect.bytes, effect.to)
      else {
        const { peer, addresses, link } = effect
        const text = `seen at ${addresses.join(', ')}`
        emit({ kind: 'lan.found', severity: 'info', peer, text, fields: { link } })
        found(peer, this.addressesOf(peer))
      }
    }
    this.#cancelTick()
    const waitMs = nextDueAt(this.#state) - steadyClock.now()
    // Beyond the next look, that one does.
    if (waitMs < LAN_LOOK_MS)
      this.#cancelTick = timers.after(Math.max(1, waitMs), () => this.#step({ type: 'tick' }))
  }

  readonly #fraction = (): number => {
    const bytes = this.#init.random.bytes(4)
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) / 2 ** 32
  }
}
