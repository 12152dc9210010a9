import { ACCUSERS_MAX, SUSPICION_MAX_MS, SUSPICION_MIN_MS, SUSPICION_REFUSED_MS } from './limits.ts'
import type { MembershipState, Verdict } from './state.ts'

/**
 * How long an accused member has to answer: Lifeguard's timer (memberlist `remainingSuspicionTime`), from the longest with
 * one accuser to the shortest with `wanted`, on a logarithmic scale. In ms.
 */
export function suspicionMs(accusers: number, wanted: number): number {
  if (accusers >= wanted) return SUSPICION_MIN_MS
  const share = Math.log(Math.max(1, accusers)) / Math.log(wanted)
  return SUSPICION_MAX_MS - (SUSPICION_MAX_MS - SUSPICION_MIN_MS) * share
}

/**
 * Accusers that settle a suspicion of `accused` in the shortest time: three, or as many as could accuse it at all. Those are the
 * living members besides the two, in a mesh small enough for that to matter all of them neighbours (in a larger one a member
 * has at least `NEAREST`), and this node if it does. Who is suspect counts as living, or a liar could talk witnesses away; who
 * is out of our own sight does not, for it cannot tell us anything.
 */
export function accusersWanted(state: MembershipState, accused: string, verdict: Verdict): number {
  const self = state.self.id
  let count = verdict.accusers.has(self) ? 1 : 0
  for (const { id, verified } of state.table.rows()) {
    if (count >= ACCUSERS_MAX) break
    if (id === self || id === accused || verified.statement.kind === 'leave') continue
    const other = state.verdicts.get(id)
    const gone = other?.state === 'dead' || other?.state === 'unknown' || other?.accusers.has(self) === true
    if (!gone) count++
  }
  return Math.max(1, count)
}

/** True when the suspicion has run its time. */
export function suspicionOver(
  state: MembershipState,
  accused: string,
  verdict: Verdict,
  now: number,
): boolean {
  if (verdict.suspectedAt === null) return false
  const elapsedMs = now - verdict.suspectedAt
  if (elapsedMs < SUSPICION_REFUSED_MS) return false // the shortest there is
  const wanted = accusersWanted(state, accused, verdict)
  if (verdict.refused.size >= wanted) return true
  return elapsedMs >= suspicionMs(verdict.accusers.size, wanted)
}
