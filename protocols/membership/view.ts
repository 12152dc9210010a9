import type { MemberRole } from '../admission/wire.ts'
import type { TableRow } from '../registry/table.ts'
import type { MemberEntry, Registration } from '../registry/wire.ts'
import type { MembershipState } from './state.ts'

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

/** What `state` knows of the member in `row`. */
export function viewOf(state: MembershipState, { id, key, verified }: TableRow): MemberView {
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
