import type { MemberRow } from '../../../node/api/schemas.ts'

/** Machines that wait for approval on this node, the longest first. */
export function waitingMembers(members: readonly MemberRow[] | null): MemberRow[] {
  const waiting = (members ?? []).filter(({ state }) => state === 'pending')
  return waiting.sort((a, b) => (a.pendingSince ?? 0) - (b.pendingSince ?? 0))
}
