import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { cborFormat, row, uint } from '../common/format.ts'
import type { Clock, EmitEvent, Random, Signer, Store, Timers } from '../common/ports.ts'
import { sha256 } from '../common/signing.ts'
import type { Revoked } from '../admission/certificates.ts'
import type { RevocationSet } from '../admission/revocation.ts'
import { id8Of, type Root } from '../admission/root.ts'
import type { MemberRole } from '../admission/wire.ts'
import { signRegistration } from '../registry/entry.ts'
import { RegistryError } from '../registry/errors.ts'
import { MEMBERS_MAX } from '../registry/limits.ts'
import type { TableRow } from '../registry/table.ts'
import { entryFormat, type MemberEntry, type Registration } from '../registry/wire.ts'
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
import { FlightRecorder, type Recording } from './recorder.ts'
import { ownRegistration } from './state.ts'
import { NeighbourStreams } from './streams.ts'

/** A member as the rest of the node sees it. Times in ms. */
export interface MemberView {
  readonly id: string
  readonly key: Uint8Array
  readonly name: string
  readonly roles: readonly MemberRole[]
  readonly tags: readonly string[]
  readonly state: 'alive' | 'suspect' | 'dead' | 'left'
  /** Null after a farewell. */
  readonly registration: Registration | null
  readonly entry: MemberEntry
  /** Last sign of life this node itself received; null when none in this run. */
  readonly lastSeen: number | null
  /** Smoothed round trip to a neighbour, null for others. */
  readonly rttMs: number | null
  readonly self: boolean
}

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

const INCARNATION_KEY = 'membership/incarnation'
const ENTRY_PREFIX = 'm/'
const REVOCATION_PREFIX = 'rev/'
const incarnationFormat = cborFormat('incarnation', row({ incarnation: uint() }), 16)
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
  readonly #writes = new Set<Promise<void>>()
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
    const { clock, store, network, timers } = this.#init
    const stored = await this.#storedIncarnation()
    const incarnation = Math.max(stored + 1, clock.now())
    await store.put(INCARNATION_KEY, incarnationFormat.encode({ incarnation }), { sync: true })
    await this.#loadRevocations()
    const entries = await this.#storedEntries()
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
    await Promise.all(this.#writes)
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
          this.#storeIncarnation(effect.incarnation)
          break
        case 'store-entry':
          this.#write(this.#init.store.put(ENTRY_PREFIX + effect.id, entryFormat.encode(effect.entry)))
          break
        case 'delete-entry':
          this.#write(this.#init.store.delete(ENTRY_PREFIX + effect.id))
          break
        case 'store-revocation': {
          const put = this.#init.store.put(revocationKey(effect.bytes), effect.bytes, { sync: true })
          this.#write(put)
          break
        }
        case 'delete-revocation':
          this.#write(this.#init.store.delete(revocationKey(effect.bytes)))
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

  #storeIncarnation(incarnation: number): void {
    const put = this.#init.store.put(INCARNATION_KEY, incarnationFormat.encode({ incarnation }), {
      sync: true,
    })
    this.#write(put.then(() => this.#step({ type: 'incarnation-stored', incarnation })))
  }

  /** Follows a write to its end; a failed one is reported, and the entry comes back by anti-entropy. */
  #write(work: Promise<void>): void {
    const followed = work
      .catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error)
        this.#init.emit({ kind: 'membership.store-failed', severity: 'alert', text })
      })
      .finally(() => this.#writes.delete(followed))
    this.#writes.add(followed)
  }

  async #storedIncarnation(): Promise<number> {
    const bytes = await this.#init.store.get(INCARNATION_KEY)
    if (bytes === undefined) return 0
    try {
      return incarnationFormat.decode(bytes).incarnation
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      // The clock takes over; a neighbour that knows better says so in its first answer.
      this.#init.emit({
        kind: 'membership.incarnation-lost',
        severity: 'warning',
        reason: error.code,
        text: error.message,
      })
      return 0
    }
  }

  async #loadRevocations(): Promise<void> {
    const { revocations, store, emit } = this.#init
    if (revocations === undefined) return
    for await (const [key, bytes] of store.entries(REVOCATION_PREFIX)) {
      const restored = revocations.restore(bytes)
      if (restored.outcome !== 'refused') continue
      const { code, text } = restored
      emit({ kind: 'membership.stored-entry-dropped', severity: 'warning', reason: code, text })
      await store.delete(key)
    }
  }

  async #storedEntries(): Promise<MemberEntry[]> {
    const { store, emit } = this.#init
    const entries: MemberEntry[] = []
    for await (const [key, bytes] of store.entries(ENTRY_PREFIX)) {
      if (entries.length >= MEMBERS_MAX) break
      try {
        entries.push(entryFormat.decode(bytes))
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        emit({
          kind: 'membership.stored-entry-dropped',
          severity: 'warning',
          reason: error.code,
          text: `${key}: ${error.message}`,
        })
        await store.delete(key)
      }
    }
    return entries
  }

  #started(): MembershipState {
    if (this.#state === null) throw new Error('membership is not started')
    return this.#state
  }
}

function revocationKey(bytes: Uint8Array): string {
  return REVOCATION_PREFIX + toHex(sha256(bytes))
}

function viewOf(state: MembershipState, { id, key, verified }: TableRow): MemberView {
  const { member, statement, entry } = verified
  const verdict = state.verdicts.get(id)
  const held = verdict?.state ?? 'alive'
  return {
    id,
    key,
    name: member.name,
    roles: member.roles,
    tags: member.tags,
    state: held === 'unknown' ? 'suspect' : held,
    registration: statement.kind === 'registration' ? statement : null,
    entry,
    lastSeen: verdict?.lastSeen ?? null,
    rttMs: state.links.get(id)?.rttMs ?? null,
    self: id === state.self.id,
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
