import { ARCHIVED_MAX } from './limits.ts'
import { forgetMember, type Context } from './state.ts'
import { archiveEntry } from './restored.ts'
import { sweepRevocations } from './revocations.ts'

/** We slept, stalled, or the clock was set: nobody else was silent for that, so every timer starts anew. */
export function forgiveStall({ state, now }: Context, awayMs: number): void {
  for (const link of state.links.values()) {
    link.lastHeard = now
    if (link.unansweredSince !== null) link.unansweredSince = now
    link.lastProbeAt = Math.min(link.lastProbeAt, now)
    link.lastAeAt = Math.min(link.lastAeAt, now)
    link.upAt = Math.min(link.upAt, now)
    if (link.partAt > now) link.partAt = 0
    if (link.recheckAt !== null) link.recheckAt = Math.min(link.recheckAt, now)
    link.probes.clear()
  }
  for (const lost of state.lost.values()) lost.since = now
  for (const id of state.suspicions) {
    const verdict = state.verdicts.get(id)
    if (verdict !== undefined && verdict.suspectedAt !== null) verdict.suspectedAt += awayMs
  }
  state.asked.clear()
  state.requests.clear()
  for (const verdict of state.verdicts.values())
    if (verdict.vouchedAt !== null) verdict.vouchedAt = Math.min(verdict.vouchedAt, now)
  state.lastProbeAt = Math.min(state.lastProbeAt, now)
  state.lastAccuseAt = Math.min(state.lastAccuseAt, now)
  state.lastPersistAt = Math.min(state.lastPersistAt, now)
  state.lastSweepAt = Math.min(state.lastSweepAt, now)
  state.healing.lastAt = Math.min(state.healing.lastAt, now)
  if (state.healing.announceAt !== null) state.healing.announceAt = now
  state.lastPartAt = Math.min(state.lastPartAt, now)
  state.lastAeAt = Math.min(state.lastAeAt, now)
  state.self.announcedAt = Math.min(state.self.announcedAt, now)
}

/** Hands over every entry changed since the last time; the service calls it once more when it stops. */
export function saveEntries({ state, now, out }: Context): void {
  state.lastPersistAt = now
  for (const id of state.unsaved) {
    const row = state.table.get(id)
    if (row !== undefined) out.push({ type: 'store-entry', id, entry: row.verified.entry })
  }
  state.unsaved.clear()
}

/** Ended leases leave the table; who may still come back stays known for dialling, up to `ARCHIVED_MAX`. */
export function sweep(ctx: Context): void {
  const { state, now, out } = ctx
  state.lastSweepAt = now
  sweepRevocations(ctx)
  for (const row of state.table.sweep(now, state.self.id)) {
    forgetMember(ctx, row.id)
    if (!archiveEntry(state, row.verified.entry, now)) out.push({ type: 'delete-entry', id: row.id })
    out.push({ type: 'changed', id: row.id })
  }
  for (const [id, { notAfter }] of state.archive) {
    if (notAfter > now && state.archive.size <= ARCHIVED_MAX) continue
    state.archive.delete(id)
    out.push({ type: 'delete-entry', id })
  }
}
