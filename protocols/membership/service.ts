import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { Clock, EmitEvent, Random, Signer, Store, Timers } from '../common/ports.ts'
import type { Revoked } from '../admission/certificates.ts'
import type { RevocationSet } from '../admission/revocation.ts'
import { id8Of, type Root } from '../admission/root.ts'
import { signRegistration } from '../registry/entry.ts'
import { RegistryError } from '../registry/errors.ts'
import { PARTED_RETRY_MS, STREAM_RETRY_MS, REVOKED_TOLD_MS, TICK_MS } from './limits.ts'
import {
  createMembership,
  saveEntries,
  wantedNeighbours,
  type Announcement,
  type Archived,
  type Effect,
  type MembershipEvent,
  type MembershipState,
} from './machine.ts'
import { MembershipStore } from './membership-store.ts'
import { FlightRecorder, type Recording } from './recorder.ts'
import { ownRegistration } from './state.ts'
import { NeighbourStreams } from './streams.ts'
import { viewOf, type MemberView } from './view.ts'

/** Whose certificate ended early; `serial` null for all of the key. */
export interface RevokedCertificate {
  readonly key: Uint8Array
  readonly serial: Uint8Array | null
}

/** The part of libp2p the service needs. */
export type MembershipNetwork = Pick<
  Libp2p,
  'handle' | 'unhandle' | 'addEventListener' | 'removeEventListener' | 'getConnections'
>

/** What the service is built from. */
export interface MembershipInit {
  readonly network: MembershipNetwork
  readonly root: Root
  readonly signer: Signer
  /** This node's own credentials. */
  readonly credentials: Uint8Array
  readonly announcement: Announcement
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  /** Keys used: `m/<peer id>` and `membership/incarnation`. */
  readonly store: Store
  readonly emit: EmitEvent
  readonly authorityReachable: () => boolean
  readonly revoked?: Revoked
  /** Shared with whoever checks certificates. Filled from the store at the start (`rev/<hash>`), and by what is heard. */
  readonly revocations?: RevocationSet
}

/** For sizing an announcement: a number of full width. */
const WIDE = 2 ** 40
/** Addresses that services must leave room for. */
const ADDRESSES_LEAST = 2

/** Protocol id of a mesh. */
export function membershipProtocol(meshId: Uint8Array): string {
  return `/kith/${id8Of(meshId)}/mem/1`
}

/**
 * Membership on libp2p: one long-lived stream a neighbour, the machine behind it, the store below.
 * `start` before anything else; `members` and the like are empty until then.
 */
export class MembershipService {
  readonly #init: MembershipInit
  readonly #protocol: string
  readonly #streams: NeighbourStreams
  readonly #listeners = new Set<(ids: readonly string[]) => void>()
  readonly #revokedListeners = new Set<(revoked: RevokedCertificate) => void>()
  readonly #disk: MembershipStore
  readonly #opening = new Set<Connection>()
  /** Connections without a link because neither side needed it. */
  readonly #parted = new WeakSet<Connection>()
  /** What is to be announced, before addresses that do not fit are left out. */
  #wanted: Announcement
  readonly #recorder = new FlightRecorder()
  #state: MembershipState | null = null
  #stopTick: (() => void) | null = null
  #stopping = false

  constructor(init: MembershipInit) {
    this.#init = init
    this.#wanted = init.announcement
    this.#disk = new MembershipStore(init.store, init.emit)
    this.#protocol = membershipProtocol(init.root.meshId)
    this.#streams = new NeighbourStreams(
      {
        up: (peer, initiator) => this.#step({ type: 'link-up', peer, initiator }),
        frame: (peer, bytes) => this.#step({ type: 'frame', peer, bytes }),
        down: (peer) => this.#step({ type: 'link-down', peer }),
        broken: (peer, reason, text) =>
          this.#init.emit({ kind: 'membership.refused', severity: 'warning', peer, reason, text }),
      },
      init.timers,
    )
  }

  /**
   * Takes the next incarnation, on the disk before anybody hears it, loads what was known, and begins to speak.
   * @throws KithError when the node's own credentials do not hold, or `registration-too-big`.
   */
  async start(): Promise<void> {
    const { clock, network, timers, revocations } = this.#init
    const incarnation = await this.#disk.nextIncarnation(clock.now())
    if (revocations !== undefined) await this.#disk.loadRevocations(revocations)
    const entries = await this.#disk.entries()
    const announcement = fitted(this.#wanted, this.#init, 0)
    const ports = this.#recorder.listenTo(this.#init)
    const now = clock.now()
    this.#state = createMembership({ ...ports, announcement, incarnation, stored: entries }, now)
    this.#recorder.begin(this.#state, now)
    await network.handle(this.#protocol, this.#inbound, {
      runOnLimitedConnection: true,
      maxInboundStreams: 2,
      maxOutboundStreams: 2,
    })
    network.addEventListener('connection:open', this.#connected)
    for (const connection of network.getConnections()) this.#openStream(connection)
    this.#stopTick = timers.every(TICK_MS, () => this.#step({ type: 'tick' }))
  }

  /** Falls silent, with a farewell when `leave` is set, and writes what is unsaved. */
  async stop(options: { leave?: boolean } = {}): Promise<void> {
    if (this.#state === null || this.#stopping) return
    const { network, clock } = this.#init
    if (options.leave === true) this.#step({ type: 'leave' })
    this.#stopping = true
    this.#stopTick?.()
    network.removeEventListener('connection:open', this.#connected)
    await network.unhandle(this.#protocol)
    await this.#streams.closeAll()
    const out: Effect[] = []
    saveEntries({ state: this.#state, now: clock.now(), out })
    this.#perform(out)
    await this.#disk.settled()
  }

  /**
   * Changes what this node says of itself; unnamed parts stay. At once, or within a second of the announcement before.
   * Addresses, best first, are left out where they do not fit: a new network interface must not stop a node full of services.
   * @throws RegistryError `registration-too-big` for services that leave no room for two addresses.
   */
  announce(change: Partial<Announcement>): void {
    this.#started()
    const wanted = { ...this.#wanted, ...change }
    const least = change.services === undefined ? 0 : Math.min(ADDRESSES_LEAST, wanted.addresses.length)
    const announcement = fitted(wanted, this.#init, least)
    this.#wanted = wanted
    this.#step({ type: 'announce', announcement })
  }

  /** Takes renewed credentials of this node and spreads them. */
  renew(credentials: Uint8Array): void {
    this.#step({ type: 'credentials', credentials })
  }

  /** Takes a revocation made on this node: stores it, cuts whom it names, tells everybody. Refusals are events. */
  revoke(bytes: Uint8Array): void {
    this.#started()
    this.#step({ type: 'revoke', bytes })
  }

  /** Calls back for every certificate that is revoked from now on; returns the way to stop it. */
  onRevoked(listener: (revoked: RevokedCertificate) => void): () => void {
    this.#revokedListeners.add(listener)
    return () => this.#revokedListeners.delete(listener)
  }

  /** Tells the machine of a failed dial, by the reconnect loop. `refused`: the host is up, nothing listens. */
  dialFailed(peer: string, refused: boolean): void {
    this.#step({ type: 'dial-failed', peer, refused })
  }

  /** Everybody known, this node included. */
  members(): MemberView[] {
    const state = this.#state
    return state === null ? [] : [...state.table.rows()].map((row) => viewOf(state, row))
  }

  /** One member by peer id. */
  member(id: string): MemberView | undefined {
    const row = this.#state?.table.get(id)
    return row === undefined || this.#state === null ? undefined : viewOf(this.#state, row)
  }

  /** Peer ids this node should be connected to now. */
  wantedNeighbours(): string[] {
    return this.#state === null ? [] : wantedNeighbours(this.#state, this.#init.clock.now())
  }

  /** Peer ids with an open link whose introduction was accepted. */
  neighbours(): string[] {
    return [...(this.#state?.links.values() ?? [])].filter((link) => link.hello).map((link) => link.id)
  }

  /** Where a member said it is, also when its lease has ended since; empty when nobody knows. */
  addressesOf(id: string): readonly string[] {
    return this.member(id)?.registration?.addresses ?? this.#state?.archive.get(id)?.addresses ?? []
  }

  /** Members whose lease ended but whose certificate stands: dial them when nobody else answers. */
  archived(): Archived[] {
    return [...(this.#state?.archive.values() ?? [])].filter(({ entry }) => entry.kind === 'registration')
  }

  /** 8 bytes equal on nodes that know the same. */
  digest(): Uint8Array {
    return this.#started().table.digest()
  }

  /** The last minutes of the machine, to be stepped through again; null before `start`. */
  recording(): Recording | null {
    return this.#recorder.recording()
  }

  /** Calls back with the peer ids that changed; returns the way to stop it. */
  onChange(listener: (ids: readonly string[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly #connected = ({ detail }: CustomEvent<Connection>): void => this.#openStream(detail)

  readonly #inbound = (stream: Stream, connection: Connection): void => {
    if (this.#stopping) stream.abort(new Error('membership is stopping'))
    else this.#streams.add(stream, connection)
  }

  /** The side that opened the connection opens the stream, so that there is one. */
  #openStream(connection: Connection): void {
    if (connection.direction !== 'outbound' || connection.status !== 'open' || this.#stopping) return
    if (this.#opening.has(connection) || this.#streams.covers(connection)) return
    if (this.#parted.has(connection) && !this.wantedNeighbours().includes(connection.remotePeer.toString())) {
      this.#init.timers.after(PARTED_RETRY_MS, () => this.#openStream(connection))
      return
    }
    this.#parted.delete(connection)
    this.#opening.add(connection)
    void this.#tryOpen(connection)
  }

  async #tryOpen(connection: Connection): Promise<void> {
    try {
      await this.#streams.open(connection, this.#protocol)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      const peer = connection.remotePeer.toString()
      this.#init.emit({ kind: 'membership.stream-failed', severity: 'info', peer, text })
      this.#retry(connection)
    } finally {
      this.#opening.delete(connection)
    }
  }

  #retry(connection: Connection): void {
    this.#init.timers.after(STREAM_RETRY_MS, () => this.#openStream(connection))
  }

  #step(event: MembershipEvent): void {
    if (this.#stopping || this.#state === null) return
    this.#perform(this.#recorder.step(event, this.#init.clock.now()))
    if (event.type !== 'link-down') return
    for (const connection of this.#init.network.getConnections()) {
      if (connection.remotePeer.toString() === event.peer) this.#retry(connection)
    }
  }

  #perform(effects: readonly Effect[]): void {
    const changed = new Set<string>()
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.#streams.send(effect.peer, effect.frame)
          break
        case 'close':
          this.#close(effect)
          break
        case 'store-incarnation':
          this.#disk.keepIncarnation(effect.incarnation, () =>
            this.#step({ type: 'incarnation-stored', incarnation: effect.incarnation }),
          )
          break
        case 'store-entry':
        case 'delete-entry':
        case 'store-revocation':
        case 'delete-revocation':
          this.#disk.perform(effect)
          break
        case 'revoked':
          for (const listener of this.#revokedListeners) listener({ key: effect.key, serial: effect.serial })
          break
        case 'changed':
          changed.add(effect.id)
          break
        case 'emit':
          this.#init.emit(effect.event)
          break
      }
    }
    if (changed.size > 0) for (const listener of this.#listeners) listener([...changed])
  }

  #rememberParted(peer: string): void {
    for (const connection of this.#init.network.getConnections())
      if (connection.remotePeer.toString() === peer) this.#parted.add(connection)
  }

  /** Also those that carry no link of ours. */
  #close({ peer, code, text }: Extract<Effect, { type: 'close' }>): void {
    const reason = new Error(`${code}: ${text}`)
    if (code === 'revoked') {
      // The revocation itself is still on its way there, so that its owner learns why. Nothing it says is heard any more.
      this.#init.timers.after(REVOKED_TOLD_MS, () => this.#streams.close(peer, reason, true))
      return
    }
    // At the limit only the link goes: the connection may carry a service.
    this.#streams.close(peer, reason, code !== 'link-limit')
    if (code === 'link-limit') this.#rememberParted(peer)
  }

  #started(): MembershipState {
    if (this.#state === null) throw new Error('membership is not started')
    return this.#state
  }
}

/** With as many of the addresses as fit into one record. @throws RegistryError `registration-too-big` when not even `least` do. */
function fitted(
  wanted: Announcement,
  { root, signer }: Pick<MembershipInit, 'root' | 'signer'>,
  least: number,
): Announcement {
  for (let count = wanted.addresses.length; ; count--) {
    const announcement = { ...wanted, addresses: wanted.addresses.slice(0, count) }
    const from = { incarnation: WIDE, announcement }
    try {
      signRegistration(
        ownRegistration(signer.publicKey, from, WIDE, new Uint8Array(8), WIDE),
        root.meshId,
        signer,
      )
      return announcement
    } catch (error) {
      if (!(error instanceof RegistryError) || count <= least) throw error
    }
  }
}
