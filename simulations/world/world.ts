import { RECONNECT_TICK_MS } from '../../bootstrap/limits.ts'
import { RevocationSet } from '../../protocols/admission/revocation.ts'
import { toHex } from '../../protocols/common/bytes.ts'
import { KithError } from '../../protocols/common/errors.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import { sha256 } from '../../protocols/common/signing.ts'
import { TICK_MS } from '../../protocols/membership/limits.ts'
import {
  createMembership,
  saveEntries,
  step,
  wantedNeighbours,
  type Effect,
  type MembershipEvent,
} from '../../protocols/membership/machine.ts'
import { ownRow } from '../../protocols/membership/state.ts'
import type { MemberEntry } from '../../protocols/registry/wire.ts'
import { fakeCrypto, realCrypto, type CryptoPort } from './crypto.ts'
import { MemoryDisk, type Disk } from './disk.ts'
import { stream } from './draws.ts'
import { makeMesh, type Mesh } from './mesh.ts'
import { Network } from './network.ts'
import type { Process, SimNode, Watcher } from './node.ts'
import { Paths } from './paths.ts'
import { addressOf, Reconnecting } from './reconnecting.ts'
import { Scheduler } from './scheduler.ts'
import { topologySchema, type Topology } from './topology.ts'
import { Trace, TRACE, type TraceEvent } from './trace.ts'

/** Wall-clock time of the world's zero, ms since the epoch. */
export const EPOCH_MS = 1_800_000_000_000
/** The mesh is a week old: a clock an hour behind finds its certificate valid. */
const MESH_AGE_MS = 7 * 86_400_000
/** A synchronous write takes so long. */
const SYNC_WRITE_MS = 3

/** The code under test; a test of the simulator wraps it to plant a bug. */
export interface Machine {
  readonly createMembership: typeof createMembership
  readonly step: typeof step
  readonly wantedNeighbours: typeof wantedNeighbours
  readonly saveEntries: typeof saveEntries
}
/** The very code the node runs. */
export const MACHINE: Machine = { createMembership, step, wantedNeighbours, saveEntries }

/** What a world is made from. */
export interface WorldInit {
  readonly seed: string
  readonly nodes: number
  readonly topology?: Topology
  /** `formed`: everybody knows everybody already. `cold`: the first boot, only bootstrap addresses are known. */
  readonly start?: 'formed' | 'cold'
  readonly crypto?: 'fake' | 'real'
  readonly watchers?: readonly Watcher[]
  readonly onTrace?: ((event: TraceEvent) => void) | undefined
  readonly machine?: Machine
  readonly makeDisk?: () => Disk
}

/** Hosts, processes, network and time. Everything follows from the seed. */
export class World {
  readonly seed: string
  readonly nodes: SimNode[] = []
  readonly mesh: Mesh
  readonly paths: Paths
  readonly trace: Trace
  readonly scheduler = new Scheduler()
  readonly #network: Network
  readonly #reconnecting: Reconnecting
  readonly #crypto: CryptoPort
  readonly #machine: Machine
  readonly #watchers: readonly Watcher[]
  readonly #makeDisk: () => Disk
  #running = true

  constructor(init: WorldInit) {
    this.seed = init.seed
    this.trace = new Trace(init.onTrace)
    this.#crypto = init.crypto === 'real' ? realCrypto : fakeCrypto
    this.#machine = init.machine ?? MACHINE
    this.#watchers = init.watchers ?? []
    this.#makeDisk = init.makeDisk ?? (() => new MemoryDisk())
    const topology = init.topology ?? topologySchema.parse({})
    this.paths = new Paths(init.seed, init.nodes * 2, topology)
    const relays = () =>
      this.nodes.filter(({ index }) => this.paths.natOf(index) === 'open').slice(0, topology.relays)
    this.#network = new Network(this.scheduler, this.paths, relays, {
      up: (node, peer, initiator) => {
        this.trace.fold(TRACE.linkUp, peer.index, node.index, this.now, 0)
        this.event(node, { type: 'link-up', peer: peer.id, initiator })
      },
      frame: (node, peer, bytes) => {
        this.trace.fold(TRACE.frame, peer.index, node.index, this.now, bytes.length)
        this.event(node, { type: 'frame', peer: peer.id, bytes })
      },
      down: (node, peer) => {
        this.trace.fold(TRACE.linkDown, peer.index, node.index, this.now, 0)
        this.event(node, { type: 'link-down', peer: peer.id })
      },
    })
    this.#reconnecting = new Reconnecting({
      nodes: this.nodes,
      now: () => this.now,
      clockOf: (node) => this.clockOf(node),
      wantedNeighbours: this.#machine.wantedNeighbours,
      dial: (from, to, done) => this.#network.dial(from, to, done),
      fail: (run) => this.scheduler.after(1, run),
      failed: (node, peer, refused) => {
        this.trace.fold(TRACE.dialFailed, -1, node.index, this.now, refused ? 1 : 0)
        this.event(node, { type: 'dial-failed', peer, refused })
      },
    })
    this.mesh = makeMesh(init.seed, this.#crypto, EPOCH_MS - MESH_AGE_MS)
    for (let index = 0; index < init.nodes; index++) this.#addNode(index)
    if (init.start === 'cold') for (const node of this.nodes) this.start(node)
    else this.#startFormed()
  }

  /** ms since the world began. */
  get now(): number {
    return this.scheduler.now
  }

  /** The node's own wall clock, ms since the epoch. */
  clockOf({ clock }: SimNode): number {
    return EPOCH_MS + this.now + Math.floor((this.now * clock.driftPpm) / 1e6) + clock.skewMs
  }

  node(index: number): SimNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`no node ${index}`)
    return node
  }

  /** Nodes with a process. */
  live(): SimNode[] {
    return this.nodes.filter(({ process }) => process !== null)
  }

  /** Runs until `endMs` of the world's time, or until `stop`. */
  run(endMs: number): void {
    while (this.#running && this.scheduler.next(endMs));
  }

  /** Ends the run after this event. */
  stop(): void {
    this.#running = false
  }

  /** Starts a process by the restart rule: the incarnation is on the disk before anybody hears of it. */
  start(node: SimNode): void {
    if (node.process !== null) return
    node.isHostUp = true
    const stored = (node.disk.get('incarnation') as number | undefined) ?? 0
    const incarnation = Math.max(stored + 1, this.clockOf(node))
    node.disk.put('incarnation', incarnation, this.now, { sync: true })
    try {
      this.#boot(node, incarnation, node.disk.values('m/') as MemberEntry[])
    } catch (error) {
      // Its own certificate does not hold, it was revoked perhaps: such a node does not come up.
      if (!(error instanceof KithError)) throw error
      return
    }
    for (const watcher of this.#watchers) watcher.started?.(node)
  }

  /** kill -9. The host says so to whoever is connected. */
  kill(node: SimNode): void {
    this.#end(node, true)
    node.disk.crash(this.now)
  }

  /** The host is gone, cable and all. */
  vanish(node: SimNode): void {
    node.isHostUp = false
    this.#end(node, false)
    node.disk.crash(this.now)
  }

  /** A clean stop, with a farewell or without. */
  shutDown(node: SimNode, leave: boolean): void {
    if (leave) this.event(node, { type: 'leave' })
    this.scheduler.after(100, () => {
      if (node.process === null) return
      const out: Effect[] = []
      this.#machine.saveEntries({ state: node.process.state, now: this.clockOf(node), out })
      this.#perform(node, out)
      this.#end(node, true)
      node.disk.flush()
    })
  }

  /** The router before the node forgets what it translates: connections that leave the site go silent. */
  forget(node: SimNode): void {
    this.#network.forget(node, false)
  }

  /** The node goes to another site, and every connection it had goes silent. */
  move(node: SimNode, site: number): void {
    this.#network.forget(node, true)
    this.paths.move(node.index, site)
  }

  /** Whether bytes get from one node to the other and back now. */
  canMeet(from: SimNode, to: SimNode): boolean {
    return this.#network.canMeet(from, to)
  }

  /** The event loop does nothing for a while. */
  stall(node: SimNode, stallMs: number): void {
    if (node.process !== null) node.process.stalledUntil = this.now + stallMs
  }

  /** A second host with the identity and the disk of `node`. */
  clone(node: SimNode): SimNode {
    const index = this.nodes.length
    const copy = this.#makeNode(index, node.id, node.signer, node.credentials, true)
    copy.disk.restore(node.disk.snapshot())
    this.start(copy)
    return copy
  }

  /** Revokes a node's certificate at another node. */
  revoke(at: SimNode, node: SimNode): void {
    node.isHonest = false
    node.isRevoked = true
    for (const watcher of this.#watchers) watcher.revoked?.(node)
    const bytes = this.mesh.revoke(node.signer.publicKey, EPOCH_MS + this.now)
    this.event(at, { type: 'revoke', bytes })
  }

  /** Gives an event to the node's machine and does what it says. */
  event(node: SimNode, event: MembershipEvent): void {
    const { process } = node
    if (process === null) return
    node.role?.input?.(event)
    const effects = this.#machine.step(process.state, event, this.clockOf(node))
    this.#perform(node, node.role?.output?.(effects) ?? effects)
    for (const watcher of this.#watchers) watcher.stepped?.(node, process, event, effects)
  }

  /** Sends a frame that no machine made: for byzantine roles. */
  send(node: SimNode, peer: string, frame: Uint8Array): void {
    for (const watcher of this.#watchers) watcher.sent?.(node, frame, this.now)
    this.#network.send(node, peer, frame)
  }

  #addNode(index: number): void {
    const signer = this.#crypto.signer(stream(this.seed, 'identity', index))
    const credentials = this.mesh.admit(signer.publicKey, `node-${index}`)
    this.#makeNode(index, peerIdFromKey(signer.publicKey), signer, credentials, false)
  }

  #makeNode(
    index: number,
    id: string,
    signer: SimNode['signer'],
    credentials: Uint8Array,
    isClone: boolean,
  ): SimNode {
    const node: SimNode = {
      index,
      id,
      signer,
      credentials,
      clock: { skewMs: 0, driftPpm: 0 },
      disk: this.#makeDisk(),
      connections: new Map(),
      isHostUp: true,
      process: null,
      lives: 0,
      role: null,
      isHonest: true,
      isRevoked: false,
      isRolledBack: false,
      isClone,
    }
    this.nodes.push(node)
    return node
  }

  /** As after weeks together: every table holds every member, every disk too. Saves the cost of N joins. */
  #startFormed(): void {
    for (const node of this.nodes) {
      const incarnation = this.clockOf(node)
      node.disk.put('incarnation', incarnation, this.now, { sync: true })
      this.#boot(node, incarnation, [])
    }
    const rows = this.nodes.map(({ process }) => ownRow((process as Process).state))
    const entries = new Map(rows.map((row) => [`m/${row.id}`, row.verified.entry]))
    for (const node of this.nodes) {
      const { state } = node.process as Process
      for (const row of rows) if (row.id !== node.id) state.table.put(row.verified)
      node.disk.restore(new Map<string, unknown>([...entries, ['incarnation', node.disk.get('incarnation')]]))
      for (const watcher of this.#watchers) watcher.started?.(node)
    }
  }

  #boot(node: SimNode, incarnation: number, stored: readonly MemberEntry[]): void {
    node.lives++
    const random = stream(this.seed, 'process', `${node.index}/${node.lives}`)
    const revocations = new RevocationSet({ root: this.mesh.root, verify: this.#crypto.verify })
    for (const bytes of node.disk.values('rev/')) revocations.add(bytes as Uint8Array, this.clockOf(node))
    const state = this.#machine.createMembership(
      {
        root: this.mesh.root,
        signer: node.signer,
        credentials: node.credentials,
        random,
        incarnation,
        announcement: { addresses: [addressOf(node.index)], relays: [], services: [] },
        stored,
        authorityReachable: () => true,
        verify: this.#crypto.verify,
        revocations,
      },
      this.clockOf(node),
    )
    node.process = {
      state,
      random,
      startedAt: this.now,
      stalledUntil: 0,
      lookedAt: -Infinity,
      wanted: null,
    }
    this.trace.fold(TRACE.start, -1, node.index, this.now, stored.length)
    this.#every(node, node.process, TICK_MS, () => {
      this.trace.fold(TRACE.tick, -1, node.index, this.now, 0)
      this.event(node, { type: 'tick' })
    })
    this.#every(node, node.process, RECONNECT_TICK_MS, () => this.#reconnecting.look(node))
    this.#every(node, node.process, 1_000, () => node.role?.act?.())
  }

  /** A timer of a process: silent while it stalls, gone with it. */
  #every(node: SimNode, process: Process, intervalMs: number, run: () => void): void {
    const again = (): void => {
      if (node.process !== process) return
      if (process.stalledUntil > this.now) return this.scheduler.at(process.stalledUntil, again)
      run()
      this.scheduler.after(intervalMs, again)
    }
    this.scheduler.after(process.random.fraction() * intervalMs, again)
  }

  #end(node: SimNode, tellPeers: boolean): void {
    const { process } = node
    if (process === null) return
    this.trace.fold(TRACE.stop, -1, node.index, this.now, 0)
    node.process = null
    node.lives++
    this.#network.drop(node, tellPeers)
    this.#network.dropRelayed(node, this.nodes)
    for (const watcher of this.#watchers) watcher.stopped?.(node, process)
  }

  #perform(node: SimNode, effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.send(node, effect.peer, effect.frame)
          break
        case 'close':
          this.#network.close(node, effect.peer)
          break
        case 'store-entry':
          node.disk.put(`m/${effect.id}`, effect.entry, this.now)
          break
        case 'delete-entry':
          node.disk.put(`m/${effect.id}`, undefined, this.now)
          break
        case 'store-revocation':
          node.disk.put(revocationKey(effect.bytes), effect.bytes, this.now)
          break
        case 'delete-revocation':
          node.disk.put(revocationKey(effect.bytes), undefined, this.now)
          break
        case 'revoked':
          break // the machine closes the links itself
        case 'store-incarnation':
          this.#storeIncarnation(node, effect.incarnation)
          break
        case 'changed':
          this.#changed(node, effect.id)
          break
        case 'emit':
          for (const watcher of this.#watchers) watcher.emitted?.(node, effect.event, this.now)
          break
      }
    }
  }

  #storeIncarnation(node: SimNode, incarnation: number): void {
    const { process } = node
    node.disk.put('incarnation', incarnation, this.now, { sync: true })
    this.scheduler.after(SYNC_WRITE_MS, () => {
      if (node.process !== process) return
      this.trace.fold(TRACE.stored, -1, node.index, this.now, 0)
      this.event(node, { type: 'incarnation-stored', incarnation })
    })
  }

  /** The table changed: neighbours are chosen anew, and one that came back is dialled at once. */
  #changed(node: SimNode, id: string): void {
    const { process } = node
    if (process === null) return
    process.wanted = null
    if (process.state.verdicts.get(id)?.state === 'alive') this.#reconnecting.hint(node, id)
  }
}

function revocationKey(bytes: Uint8Array): string {
  return `rev/${toHex(sha256(bytes).subarray(0, 8))}`
}
