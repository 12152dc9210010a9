import type { Subnet } from './ip-bytes.ts'
import { LanCandidates } from './lan-candidates.ts'
import type { Endpoint } from './lan-service.ts'
import { hourOf, lanTag, TagTable, type LanPeer } from './lan-tags.ts'
import { QUERY_FIRST_MS } from './limits.ts'
import type { Question } from './multicast-packet.ts'

/** The port multicast DNS is spoken from; other ports are of programs that ask one question (RFC 6762 §6.7). */
export const MULTICAST_PORT = 5353

/** One interface in one address family: where packets come from and go to. */
export interface LanLink {
  /** Such as `eth0/ip4`. */
  readonly id: string
  /** Ranges of the interface, of both families: whatever lies outside is not believed. */
  readonly subnets: readonly Subnet[]
  /** Where this node listens on the interface; null when it does not, and then has nothing to say there. */
  readonly endpoint: Endpoint | null
}

/** Where a packet came from, or goes to. */
export interface LanSource {
  readonly address: string
  readonly port: number
}

/** What the machine is told. */
export type LanEvent =
  /** A look at the world: `wallMs` by the clock on the wall, since hours are everybody's; the links; who is connected. */
  | {
      readonly type: 'look'
      readonly wallMs: number
      readonly links: readonly LanLink[]
      readonly connected: ReadonlySet<string>
    }
  /** Whom to recognise. */
  | { readonly type: 'peers'; readonly peers: readonly LanPeer[] }
  | { readonly type: 'packet'; readonly link: string; readonly bytes: Uint8Array; readonly from: LanSource }
  /** Something may be due. */
  | { readonly type: 'tick' }
  /** The node is stopping: says farewell. */
  | { readonly type: 'stop' }

/** What the machine asks for. */
export type LanEffect =
  /** `to` null: to the multicast group of the link. */
  | {
      readonly type: 'send'
      readonly link: string
      readonly bytes: Uint8Array
      readonly to: LanSource | null
    }
  /** A peer that is not connected was seen: dial it now. Addresses are multiaddrs without /p2p/. */
  | {
      readonly type: 'found'
      readonly peer: string
      readonly link: string
      readonly addresses: readonly string[]
    }

/** Why packets were not used, each counted. */
export interface LanDropped {
  unknownLink: number
  tooMany: number
  notOnLink: number
  malformed: number
}

/** One link and what is under way on it. */
export interface LinkState {
  link: LanLink
  /** Multicast answer under way. `from` is set while more known answers of this querier may follow. */
  answer: { dueAt: number; questions: Question[]; from: string | null } | null
  multicastAt: number
  announcement: { left: number; dueAt: number }
  /** Tags seen here and how long they are known; of everybody, since a list of members only would give them away. */
  readonly heard: Map<string, number>
  window: { second: number; count: number }
}

/** What a node knows of its LAN. Only `step` changes it. */
export interface LanState {
  readonly meshId: Uint8Array
  /** Null for a machine that only looks: it is no member yet. */
  readonly selfKey: Uint8Array | null
  readonly tags: TagTable
  readonly links: Map<string, LinkState>
  readonly candidates: LanCandidates
  readonly dropped: LanDropped
  hour: number
  ownTag: string | null
  connected: ReadonlySet<string>
  query: { dueAt: number; intervalMs: number }
  legacy: { second: number; count: number }
}

/** Knows nobody and no link. */
export function createLanDiscovery(meshId: Uint8Array, selfKey: Uint8Array | null, wallMs: number): LanState {
  const hour = hourOf(wallMs)
  return {
    meshId,
    selfKey,
    tags: new TagTable(meshId),
    links: new Map(),
    candidates: new LanCandidates(),
    dropped: { unknownLink: 0, tooMany: 0, notOnLink: 0, malformed: 0 },
    hour,
    ownTag: selfKey === null ? null : lanTag(meshId, selfKey, hour),
    connected: new Set(),
    query: { dueAt: Number.POSITIVE_INFINITY, intervalMs: QUERY_FIRST_MS },
    legacy: { second: 0, count: 0 },
  }
}
