import { AuthorityCache } from '../admission/certificates.ts'
import { AuthorWindow, type AuthorWindowDump } from '../replay/author-window.ts'
import { MemberTable, type TableRow } from '../registry/table.ts'
import { ENDED_LIMITS, revokedBy, type MembershipConfig, type MembershipState, type Self } from './state.ts'

/** What a machine asks its surroundings for. */
export type MembershipPorts = Pick<
  MembershipConfig,
  'root' | 'signer' | 'random' | 'authorityReachable' | 'revoked' | 'revocations' | 'verify' | 'hash'
>

/** Parts of the state that are no data: they come in anew. */
type PortKey = 'root' | 'random' | 'verify' | 'revoked' | 'authorityReachable'
/** Parts that are objects with an inside of their own. */
type ObjectKey = 'self' | 'table' | 'cache' | 'ended' | 'revocations'

/**
 * Everything `step` reads, as plain data: a copy, except that byte strings, entries and rows, which nobody changes, are shared.
 * Never the private key. A new field of the state is in it by itself.
 */
export type Snapshot = Omit<MembershipState, PortKey | ObjectKey> & {
  readonly self: Omit<Self, 'signer'>
  /** In the table's order. */
  readonly table: readonly TableRow[]
  /** Digests of verified authority certificates, oldest first. */
  readonly cache: readonly string[]
  readonly ended: AuthorWindowDump
  /** In the set's order; null on a node without a set. */
  readonly revocations: readonly Uint8Array[] | null
}

/** Copies a state. */
export function snapshotOf(state: MembershipState): Snapshot {
  const {
    root: _root,
    random: _random,
    verify: _verify,
    revoked: _revoked,
    authorityReachable: _authorityReachable,
    self: { signer: _signer, ...self },
    table,
    cache,
    ended,
    revocations,
    ...rest
  } = state
  return {
    ...copy(rest, true),
    self: copy(self, true),
    table: [...table.rows()],
    cache: cache.digests(),
    ended: ended.dump(),
    revocations: revocations?.all() ?? null,
  }
}

/**
 * A machine that steps on exactly as the one of the snapshot would. `ports.revocations` holds the snapshot's revocations, in its
 * order.
 */
export function restoreMembership(snapshot: Snapshot, ports: MembershipPorts): MembershipState {
  const { self, table, cache, ended, revocations: _revocations, ...rest } = snapshot
  const { root, signer, random, verify, authorityReachable, hash, revocations } = ports
  return {
    ...copy(rest, false),
    root,
    random,
    verify,
    authorityReachable,
    revoked: revokedBy(ports),
    revocations,
    self: { ...copy(self, false), signer },
    table: new MemberTable(hash, table),
    cache: new AuthorityCache(hash, cache),
    ended: AuthorWindow.load(ended, ENDED_LIMITS),
  }
}

/** Most of a member's maps are empty: snapshots share one of each. */
const NO_MAP: ReadonlyMap<unknown, unknown> = new Map()
const NO_SET: ReadonlySet<unknown> = new Set()

/** A deep copy of data in which byte strings are shared, and with `shareEmpty` empty maps and sets too: nobody may write to it then. */
function copy<T>(value: T, shareEmpty: boolean): T {
  const of = (inner: unknown): unknown => {
    if (typeof inner !== 'object' || inner === null || inner instanceof Uint8Array) {
      if (typeof inner === 'function' || typeof inner === 'symbol')
        throw new Error('a snapshot holds data only')
      return inner
    }
    if (Array.isArray(inner)) return inner.map(of)
    if (inner instanceof Map) {
      if (inner.size === 0 && shareEmpty) return NO_MAP
      const map = new Map<unknown, unknown>()
      for (const [key, held] of inner) map.set(key, of(held))
      return map
    }
    if (inner instanceof Set) return inner.size === 0 && shareEmpty ? NO_SET : new Set(inner)
    if (Object.getPrototypeOf(inner) !== Object.prototype)
      throw new Error(`a snapshot cannot hold a ${inner.constructor.name}`)
    const record: Record<string, unknown> = {}
    for (const key of Object.keys(inner)) record[key] = of((inner as Record<string, unknown>)[key])
    return record
  }
  return of(value) as T
}
