import type { EventInput, Hash, Random, Signer, Verify } from '../common/ports.ts'
import { KithError } from '../common/errors.ts'
import { AuthorityCache, type Member, type Revoked } from '../admission/certificates.ts'
import type { RevocationSet } from '../admission/revocation.ts'
import type { Root } from '../admission/root.ts'
import { signRegistration, verifyEntry } from '../registry/entry.ts'
import { AuthorWindow, type AuthorLimits } from '../replay/author-window.ts'
import { LEASE_SECONDS, LEASE_SECONDS_MAX, SKEW_MS } from '../registry/limits.ts'
import { MemberTable, type TableRow } from '../registry/table.ts'
import type { MemberEntry, RegisteredService, Registration } from '../registry/wire.ts'
import { MembershipError } from './errors.ts'
import { newHealing, type Healing } from './heal-state.ts'
import { newHealth, type LocalHealth } from './health-state.ts'
import type { Asked, Request } from './indirect-state.ts'
import { AE_BURST_BYTES, ENDED_MAX, GOSSIP_BYTES_PER_TICK } from './limits.ts'
import { frameFormat, type Frame } from './wire.ts'

/** What a node says of itself besides what the machine fills in. */
export interface Announcement {
  readonly addresses: readonly string[]
  readonly relays: readonly Uint8Array[]
  readonly services: readonly RegisteredService[]
}

/** How this node holds a member. `unknown`: read from disk, nobody vouched for it yet. */
export type MemberState = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left'

/** A version of a member's record. */
export interface Version {
  readonly incarnation: number
  readonly seq: number
}

/** Why this node holds a member as it does. Times in ms. */
export interface Verdict {
  state: MemberState
  /** Last frame from the member itself, null when never in this run. */
  lastSeen: number | null
  /** Accusations of the present version, by the accuser's peer id. */
  readonly accusers: Map<string, Uint8Array>
  /** Those of the accusers that saw the redial refused. */
  readonly refused: Set<string>
  /** Date of the last accusation of the present version that was weighed, by accuser: an older copy is a replay. */
  readonly weighed: Map<string, number>
  /** When the last of them was heard, and whether all were pushed once more since. */
  accusedAt: number
  toldAgain: boolean
  /** Since when the present suspicion runs; how long it takes depends on the accusers. */
  suspectedAt: number | null
  /** True until anybody, the member or a neighbour, says anything about it in this run. */
  unvouched: boolean
  /** When another member last passed on a sign of life we could not hear ourselves. */
  vouchedAt: number | null
}

/** An open stream to a neighbour. Times in ms. */
export interface Link {
  readonly id: string
  readonly initiator: boolean
  upAt: number
  hello: boolean
  helloSentAt: number
  lastHeard: number
  unansweredSince: number | null
  lastProbeAt: number
  /** Send times of probes under way, by number. */
  readonly probes: Map<number, number>
  rttMs: number | null
  differSince: number | null
  recheckAt: number | null
  lastAeAt: number
  /** True when one of the two held the other dead, in its present run, until this link came up. */
  reunited: boolean
  /** True when the last exchange was begun by us. */
  begun: boolean
  /** When we asked it to part, 0 for never. */
  partAt: number
  /** Wants and items are expected until then. */
  aeUntil: number
  /** Version we accused and that has not been refuted yet: the next probe asks for a refutation. */
  accused: Version | null
}

/** Accusations of one member that were refuted. Times in ms. */
export interface Refuted {
  times: number[]
  ignoredUntil: number
}

/** A neighbour whose link ended: for a while this node is its witness. */
export interface Lost {
  since: number
  refused: boolean
  accused: boolean
  /** There never was a link in this time, dials fail: weaker evidence. */
  readonly unreached: boolean
  /** A newer record came in while the link was away; the second one ends our witness. */
  renewed: boolean
}

/** One thing to push. Entries are looked up when sent, so that only the newest goes out. */
export type GossipItem =
  | { readonly type: 'entry'; readonly id: string; readonly full: boolean; readonly source: string | null }
  | {
      readonly type: 'notice'
      readonly field: 'accusations' | 'heals'
      readonly bytes: Uint8Array
      readonly source: string | null
      readonly own: boolean
    }

/** The machine's own side. */
export interface Self {
  readonly id: string
  readonly signer: Signer
  readonly bootNonce: Uint8Array
  credentials: Uint8Array
  member: Member
  incarnation: number
  seq: number
  announcement: Announcement
  announcedAt: number
  /** Something waits to be announced. */
  dirty: boolean
  /** An incarnation on its way to the disk; nothing is announced before it is there. */
  storing: number | null
  /** Times of adoptions of a foreign process's records. */
  adoptions: number[]
  /** True once the identity counts as copied. */
  silenced: boolean
}

export type Effect =
  | { readonly type: 'send'; readonly peer: string; readonly frame: Uint8Array }
  /** End the link and its connection. */
  | { readonly type: 'close'; readonly peer: string; readonly code: string; readonly text: string }
  /** Write synchronously, then give the event `incarnation-stored`. */
  | { readonly type: 'store-incarnation'; readonly incarnation: number }
  | { readonly type: 'store-entry'; readonly id: string; readonly entry: MemberEntry }
  | { readonly type: 'delete-entry'; readonly id: string }
  /** Write synchronously. */
  | { readonly type: 'store-revocation'; readonly bytes: Uint8Array }
  | { readonly type: 'delete-revocation'; readonly bytes: Uint8Array }
  /** A certificate is believed no longer, or with `serial` null none of the key; everything of its owner is to be cut. */
  | { readonly type: 'revoked'; readonly key: Uint8Array; readonly serial: Uint8Array | null }
  /** What `members()` shows of this member changed. */
  | { readonly type: 'changed'; readonly id: string }
  | { readonly type: 'emit'; readonly event: EventInput }

/** A member whose lease ended; its certificate still stands, so it is worth dialling, unless it said farewell. */
export interface Archived {
  readonly id: string
  /** Empty after a farewell. */
  readonly addresses: readonly string[]
  readonly entry: MemberEntry
  /** End of the certificate, ms. */
  readonly notAfter: number
}

/** What the machine uses of the set of revocations. */
export type RevocationBook = Pick<RevocationSet, 'isRevoked' | 'hash' | 'add' | 'all' | 'sweep' | 'size'>

/** Everything the machine knows; owned by it, changed by `step` alone. Times in ms. */
export interface MembershipState {
  readonly root: Root
  readonly random: Random
  readonly verify: Verify | undefined
  readonly revoked: Revoked | undefined
  readonly authorityReachable: () => boolean
  readonly cache: AuthorityCache
  readonly self: Self
  readonly table: MemberTable
  readonly verdicts: Map<string, Verdict>
  readonly links: Map<string, Link>
  readonly lost: Map<string, Lost>
  readonly archive: Map<string, Archived>
  /** Last versions of members that left the table: nothing older of them may come back while its own lease would last. */
  readonly ended: AuthorWindow
  /** Silent members others were asked about, and what others asked us. */
  readonly asked: Map<string, Asked>
  readonly requests: Map<string, Request>
  readonly health: LocalHealth
  readonly healing: Healing
  readonly revocations: RevocationBook | undefined
  /** When accusations of a member, alone with them, were refuted, and until when it is ignored. */
  readonly refuted: Map<string, Refuted>
  /** Members with a running suspicion. */
  readonly suspicions: Set<string>
  readonly toAccuse: Set<string>
  readonly gossip: Map<string, GossipItem>
  gossipTokens: number
  /** Bytes anti-entropy may send now; one frame may overdraw it. */
  aeTokens: number
  lastAeAt: number
  gossipDropped: number
  readonly unsaved: Set<string>
  /** Members read from disk whose signatures were not checked yet in this run. */
  readonly unchecked: Set<string>
  readonly reports: Map<string, number>
  readonly startedAt: number
  unknownSettled: boolean
  probeCounter: number
  lastTickAt: number
  lastProbeAt: number
  lastAccuseAt: number
  lastPersistAt: number
  lastSweepAt: number
  lastPartAt: number
}

/** What a machine starts from. */
export interface MembershipConfig {
  readonly root: Root
  readonly signer: Signer
  readonly credentials: Uint8Array
  readonly random: Random
  /** Already on the disk: max(stored + 1, now ms). */
  readonly incarnation: number
  readonly announcement: Announcement
  /** Entries of an earlier run. */
  readonly stored: readonly MemberEntry[]
  /** False while no admit authority can be reached (grace rule). */
  readonly authorityReachable: () => boolean
  readonly revoked?: Revoked | undefined
  /** Shared with whoever checks certificates; the machine adds what it hears. */
  readonly revocations?: RevocationBook | undefined
  readonly verify?: Verify | undefined
  readonly hash?: Hash | undefined
}

/** State and the effects of one step, handed down instead of globals. */
export interface Context {
  readonly state: MembershipState
  readonly now: number
  readonly out: Effect[]
}

/** Bounds of what is remembered of members that left the table. */
export const ENDED_LIMITS: AuthorLimits = {
  authorsMax: ENDED_MAX,
  pastMs: LEASE_SECONDS_MAX * 1000 + SKEW_MS,
  futureMs: SKEW_MS,
  windowBits: 0,
}

/**
 * A machine that knows only itself; `createMembership` adds what the disk holds.
 * @throws KithError a registry or certificate code when the node's own credentials do not hold.
 */
export function emptyMembership(config: MembershipConfig, now: number): MembershipState {
  const bootNonce = config.random.bytes(8)
  const cache = new AuthorityCache(config.hash)
  const revoked = revokedBy(config)
  const base = { root: config.root, now, revoked, verify: config.verify, cache }
  const registration = ownRegistration(config.signer.publicKey, config, 0, bootNonce, now)
  const statement = signRegistration(registration, config.root.meshId, config.signer)
  const entry: MemberEntry = { kind: 'registration', statement, credentials: config.credentials }
  const own = verifyEntry({ ...base, entry, authorityReachable: false })
  if (!own.ok) {
    if (own.code === 'registration-wrong-key') throw new MembershipError('foreign-identity', own.text)
    throw new KithError(own.code, `own credentials: ${own.text}`)
  }
  const member = own.verified.member
  const table = new MemberTable(config.hash)
  table.put(own.verified)
  const state: MembershipState = {
    root: config.root,
    random: config.random,
    verify: config.verify,
    revoked,
    authorityReachable: config.authorityReachable,
    cache,
    self: {
      id: member.id,
      signer: config.signer,
      bootNonce,
      credentials: config.credentials,
      member,
      incarnation: config.incarnation,
      seq: 0,
      announcement: config.announcement,
      announcedAt: now,
      dirty: false,
      storing: null,
      adoptions: [],
      silenced: false,
    },
    table,
    verdicts: new Map([[member.id, newVerdict('alive')]]),
    links: new Map(),
    lost: new Map(),
    archive: new Map(),
    ended: new AuthorWindow(ENDED_LIMITS),
    asked: new Map(),
    requests: new Map(),
    health: newHealth(now),
    healing: newHealing(),
    revocations: config.revocations,
    refuted: new Map(),
    suspicions: new Set(),
    toAccuse: new Set(),
    gossip: new Map(),
    gossipTokens: GOSSIP_BYTES_PER_TICK,
    aeTokens: AE_BURST_BYTES,
    lastAeAt: 0,
    gossipDropped: 0,
    unsaved: new Set(),
    unchecked: new Set(),
    reports: new Map(),
    startedAt: now,
    unknownSettled: false,
    probeCounter: 0,
    lastTickAt: now,
    lastProbeAt: now,
    lastAccuseAt: 0,
    lastPersistAt: now,
    lastSweepAt: now,
    lastPartAt: now,
  }
  return state
}

/** The set and whoever else knows of revoked certificates, as one question. */
export function revokedBy({
  revoked,
  revocations,
}: Pick<MembershipConfig, 'revoked' | 'revocations'>): Revoked | undefined {
  if (revocations === undefined) return revoked
  return (member) => revocations.isRevoked(member) || revoked?.(member) === true
}

/** Drops everything held about a member; its link and its entry in the store are the caller's. */
export function forgetMember({ state }: Context, id: string): void {
  state.table.delete(id)
  state.verdicts.delete(id)
  state.lost.delete(id)
  state.suspicions.delete(id)
  state.toAccuse.delete(id)
  state.asked.delete(id)
  state.archive.delete(id)
  state.unsaved.delete(id)
  state.unchecked.delete(id)
  state.gossip.delete(`e${id}`)
}

/** The body of this node's next registration. Times in ms. */
export function ownRegistration(
  key: Uint8Array,
  from: { readonly incarnation: number; readonly announcement: Announcement },
  seq: number,
  bootNonce: Uint8Array,
  now: number,
): Omit<Registration, 'version'> {
  const { addresses, relays, services } = from.announcement
  return {
    key,
    incarnation: from.incarnation,
    seq,
    issuedAt: now,
    leaseSeconds: LEASE_SECONDS,
    addresses: [...addresses],
    relays: [...relays],
    services: [...services],
    bootNonce,
  }
}

/** A verdict without any evidence. */
export function newVerdict(state: MemberState): Verdict {
  return {
    state,
    lastSeen: null,
    accusers: new Map(),
    refused: new Set(),
    weighed: new Map(),
    accusedAt: 0,
    toldAgain: false,
    suspectedAt: null,
    unvouched: false,
    vouchedAt: null,
  }
}

/** The row of this node itself. */
export function ownRow(state: MembershipState): TableRow {
  const row = state.table.get(state.self.id)
  if (row === undefined) throw new Error('own row is missing from the table')
  return row
}

/** Queues a frame. */
export function send(ctx: Context, peer: string, frame: Frame): void {
  ctx.out.push({ type: 'send', peer, frame: frameFormat.encode(frame) })
}

/** Queues an event. */
export function emit(ctx: Context, event: EventInput): void {
  ctx.out.push({ type: 'emit', event })
}
