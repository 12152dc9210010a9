import { equalBytes } from '../common/bytes.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import { decodeStatement, verifyEntry, type Statement } from '../registry/entry.ts'
import { compareVersions } from '../registry/merge.ts'
import type { ReplayReason } from '../replay/errors.ts'
import type { TableRow } from '../registry/table.ts'
import { statementFormat } from '../registry/wire.ts'
import { carry, pushEntry } from './gossip.ts'
import { receiveAccusation, refuted } from './accusations.ts'
import { hearsay, hold, recordRenewed, verdictOf } from './liveness.ts'
import { receiveHeal } from './heal.ts'
import { receiveRevocation } from './revocations.ts'
import { REPUSH_MAX } from './limits.ts'
import { report } from './report.ts'
import { isChecked } from './restored.ts'
import { announceSoon, receiveOwn } from './own.ts'
import { emit, send, type Context } from './state.ts'
import { KIND, packRecords, unpackRecords, type CarriedEntry, type Records } from './wire.ts'

/** What became of one entry. `refused` carries the reason. */
export type Received =
  | { readonly outcome: 'held' | 'taken' | 'unknown'; readonly id: string }
  | { readonly outcome: 'refused'; readonly id: string; readonly code: string; readonly text: string }

/**
 * Takes the entries and accusations of a frame.
 * @throws MalformedError when the frame contradicts itself.
 */
export function receiveRecords(ctx: Context, records: Records, source: string): Received[] {
  for (const bytes of records.revocations) receiveRevocation(ctx, bytes, source)
  for (const bytes of records.heals) receiveHeal(ctx, bytes, source)
  const carried = unpackRecords(records)
  const received = carried.map((entry) => receiveEntry(ctx, entry, source, carried.length <= REPUSH_MAX))
  let accused = false
  for (const bytes of records.accusations) if (receiveAccusation(ctx, bytes, source)) accused = true
  if (accused) announceSoon(ctx)
  return received
}

/** @throws MalformedError when the statement does not decode. */
function receiveEntry(ctx: Context, carried: CarriedEntry, source: string, push: boolean): Received {
  const { state, now } = ctx
  const statement = decodeStatement(carried.kind, statementFormat.decode(carried.statement).body)
  const id = peerIdFromKey(statement.key)
  // What came from the disk must hold before others are measured by it, or they would be blamed for a fault of ours.
  isChecked(ctx, id)
  const row = state.table.get(id)
  const credentials = carried.credentials ?? row?.verified.entry.credentials
  if (credentials === undefined) return { outcome: 'unknown', id } // only the statement of a stranger: anti-entropy brings the rest
  if (row !== undefined && !tellsMore(row, carried, statement)) {
    if (compareVersions(statement, row.verified.statement) === 0) hearsay(ctx, id, carried.down)
    else if (source === id) returnNewer(ctx, row)
    return { outcome: 'held', id }
  }
  const { root, cache, revoked, verify } = state
  const entry = { kind: carried.kind, statement: carried.statement, credentials }
  const authorityReachable = state.authorityReachable()
  const checked = verifyEntry({ root, entry, now, authorityReachable, revoked, verify, cache })
  if (!checked.ok) {
    report(ctx, source, checked.code, `entry of ${id}: ${checked.text}`)
    return { outcome: 'refused', id, code: checked.code, text: checked.text }
  }
  if (id === state.self.id) {
    receiveOwn(ctx, checked.verified)
    return { outcome: 'held', id }
  }
  const rolledBack = row === undefined ? undercuts(ctx, id, statement) : null
  if (rolledBack !== null) {
    report(ctx, source, rolledBack, `entry of ${id}: a newer one ended`)
    return { outcome: 'refused', id, code: rolledBack, text: 'a newer record of the member ended' }
  }
  const { outcome, equivocation } = state.table.put(checked.verified)
  if (equivocation)
    emit(ctx, { kind: 'registry.equivocation', severity: 'alert', peer: id, reason: 'equivocation' })
  if (outcome === 'full') {
    report(ctx, id, 'table-full', `${state.table.size} members`)
    return { outcome: 'refused', id, code: 'table-full', text: `${state.table.size} members` }
  }
  if (outcome === 'unchanged') return { outcome: 'held', id }
  if (outcome === 'newer' && row?.verified.statement.incarnation === statement.incarnation) refuted(ctx, id)
  taken(ctx, id, outcome, carried)
  if (push) pushEntry(ctx, id, outcome !== 'newer', source)
  return { outcome: 'taken', id }
}

function taken(
  ctx: Context,
  id: string,
  outcome: 'added' | 'newer' | 'credentials',
  { kind, down }: CarriedEntry,
): void {
  const { state } = ctx
  state.unsaved.add(id)
  state.archive.delete(id)
  ctx.out.push({ type: 'changed', id })
  if (outcome === 'added') {
    const verdict = verdictOf(state, id)
    emit(ctx, { kind: 'member.learned', severity: 'info', peer: id })
    if (kind === 'registration' && down && state.links.get(id) === undefined) {
      verdict.unvouched = true // as the neighbour tells it, until somebody says otherwise
      hold(ctx, id, 'dead', 'not-heard-of')
      return
    }
  }
  if (outcome !== 'credentials') recordRenewed(ctx, id, kind)
}

/** False for what we hold already, or a newer version of. */
function tellsMore(row: TableRow, carried: CarriedEntry, statement: Statement): boolean {
  const held = row.verified
  if (carried.credentials !== null && !equalBytes(carried.credentials, held.entry.credentials)) return true
  const order = compareVersions(statement, held.statement)
  return order > 0 || (order === 0 && !equalBytes(carried.statement, held.entry.statement))
}

/**
 * Why a record of somebody who is not in the table must not enter it: a later one, a farewell perhaps, has ended already and
 * would be rolled back. The same version again is no roll-back: our clock may have been wrong when it ended.
 */
function undercuts({ state, now }: Context, id: string, statement: Statement): ReplayReason | null {
  const { incarnation, seq, issuedAt } = statement
  const verdict = state.ended.check({ author: id, incarnation, seq, timeMs: issuedAt }, now)
  if (verdict.ok) return null
  return verdict.code === 'message-outdated' || verdict.code === 'replay-cache-full' ? verdict.code : null
}

/** The member itself shows an older record than we hold: its disk was rolled back, and it has to know. */
function returnNewer(ctx: Context, row: TableRow): void {
  for (const records of packRecords([carry(row, true)], []))
    send(ctx, row.id, { kind: KIND.records, ...records })
}
