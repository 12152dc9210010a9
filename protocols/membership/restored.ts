import { MalformedError } from '../common/errors.ts'
import { decodeStatement, verifyEntry, type EntryChecked } from '../registry/entry.ts'
import { statementFormat, type MemberEntry } from '../registry/wire.ts'
import { RESTORED_CHECKS_PER_TICK } from './limits.ts'
import { report } from './report.ts'
import {
  emptyMembership,
  forgetMember,
  newVerdict,
  type Context,
  type MembershipConfig,
  type MembershipState,
} from './state.ts'

/**
 * A machine at its start, with the entries of an earlier run: those whose lease stands in the table, the others in the archive
 * while their certificate stands. Every entry was verified when it was first taken, so its signatures (nearly all of the cost:
 * half a second for 1,000 members) are checked again in the first ticks instead of before the node is ready.
 * @throws KithError a registry or certificate code when the node's own credentials do not hold.
 */
export function createMembership(config: MembershipConfig, now: number): MembershipState {
  const state = emptyMembership(config, now)
  for (const entry of config.stored) restore(state, entry, now)
  return state
}

/** Some of the restored entries a tick, so that a long table holds nobody up. */
export function tickRestored(ctx: Context): void {
  let left = RESTORED_CHECKS_PER_TICK
  for (const id of ctx.state.unchecked) {
    if (left-- === 0) break
    isChecked(ctx, id)
  }
}

/**
 * True when the signatures of a member's entry hold, looked at now if they wait for it: to be asked before an entry is passed on
 * to others. What the disk turned into something else is dropped, reported, and comes back by anti-entropy.
 */
export function isChecked(ctx: Context, id: string): boolean {
  const { state, now, out } = ctx
  if (!state.unchecked.delete(id)) return true
  const row = state.table.get(id)
  if (row === undefined) return false
  const { root, cache, revoked, verify } = state
  const { entry } = row.verified
  const checked = verifyEntry({ root, entry, now, authorityReachable: false, revoked, verify, cache })
  if (checked.ok) return true
  report(ctx, id, checked.code, `stored entry: ${checked.text}`)
  forgetMember(ctx, id)
  out.push({ type: 'delete-entry', id }, { type: 'changed', id })
  return false
}

function restore(state: MembershipState, entry: MemberEntry, now: number): void {
  const checked = checkedBefore(state, entry, now)
  if (!checked.ok) {
    if (checked.code === 'registration-expired' || checked.code === 'registration-from-the-future')
      archiveEntry(state, entry, now)
    return // refused entries of our own disk are left to be overwritten
  }
  const { id } = checked.verified.member
  if (id === state.self.id || state.table.put(checked.verified).outcome !== 'added') return
  const left = checked.verified.statement.kind === 'leave'
  state.verdicts.set(id, { ...newVerdict(left ? 'left' : 'unknown'), unvouched: !left })
  state.table.mark(id, !left)
  state.unchecked.add(id)
}

/** Keeps a member whose lease ended: as somebody to dial, and as the version nothing older of it may undercut. */
export function archiveEntry(state: MembershipState, entry: MemberEntry, now: number): boolean {
  // At its own date everything about the lease holds; the certificate is judged by today's clock below.
  const issuedAt = issuedAtOf(entry)
  if (issuedAt === null) return false
  const checked = checkedBefore(state, entry, issuedAt)
  if (!checked.ok) return false
  const { member, statement } = checked.verified
  if (member.id === state.self.id) return false
  const { incarnation, seq } = statement
  state.ended.commit({ author: member.id, incarnation, seq, timeMs: Math.min(issuedAt, now) }, now)
  if (member.notAfter <= now) return false
  state.archive.set(member.id, {
    id: member.id,
    addresses: statement.kind === 'registration' ? statement.addresses : [],
    entry,
    notAfter: member.notAfter,
  })
  return true
}

/** Everything about an entry but its signatures, which held when it was taken. Without the cache: nothing is proven here. */
function checkedBefore({ root, revoked }: MembershipState, entry: MemberEntry, now: number): EntryChecked {
  return verifyEntry({ root, entry, now, authorityReachable: false, revoked, verify: () => true })
}

function issuedAtOf(entry: MemberEntry): number | null {
  try {
    return decodeStatement(entry.kind, statementFormat.decode(entry.statement).body).issuedAt
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
}
