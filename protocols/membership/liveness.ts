import { compareVersions } from '../registry/merge.ts'
import { doubted, tickHealth } from './health.ts'
import { askOthers, isVouched, relay } from './indirect.ts'
import {
  DIRECT_TIMEOUT_MS,
  LINK_SILENT_MS,
  OWN_EVIDENCE_MS,
  SUSPECT_AFTER_MS,
  UNKNOWN_AFTER_MS,
  UNREACHED_MS,
  UNREACHED_PAUSE_MS,
} from './limits.ts'
import { probe } from './probing.ts'
import {
  emit,
  newVerdict,
  type Context,
  type Link,
  type Lost,
  type MemberState,
  type MembershipState,
  type Verdict,
} from './state.ts'
import { suspicionOver } from './suspicion.ts'
import { HELD } from './wire.ts'

const EVENT_OF: Record<MemberState, string> = {
  unknown: 'member.unknown',
  alive: 'member.alive',
  suspect: 'member.suspected',
  dead: 'member.died',
  left: 'member.left',
}

/** The verdict on a member, made on first use. */
export function verdictOf(state: MembershipState, id: string): Verdict {
  let verdict = state.verdicts.get(id)
  if (verdict === undefined) {
    verdict = newVerdict('alive')
    state.verdicts.set(id, verdict)
  }
  return verdict
}

/** Changes how a member is held, with everything that hangs on it. */
export function hold(ctx: Context, id: string, next: MemberState, reason: string): void {
  const verdict = verdictOf(ctx.state, id)
  if (next === 'alive' || next === 'left') {
    verdict.accusers.clear()
    verdict.refused.clear()
    verdict.suspectedAt = null
    verdict.toldAgain = false
    ctx.state.suspicions.delete(id)
    ctx.state.toAccuse.delete(id)
    ctx.state.asked.delete(id)
  }
  if (verdict.state === next) return
  verdict.state = next
  // A suspicion is on its way to one or the other: only where it ended must be the same everywhere.
  ctx.state.table.mark(id, next === 'dead' || next === 'unknown')
  ctx.out.push({ type: 'changed', id })
  emit(ctx, { kind: EVENT_OF[next], severity: next === 'dead' ? 'warning' : 'info', peer: id, reason })
}

/** The strongest evidence: a frame from the member itself over its own authenticated link. */
export function heardFrom(ctx: Context, link: Link): void {
  link.lastHeard = ctx.now
  link.unansweredSince = null
  const verdict = verdictOf(ctx.state, link.id)
  verdict.lastSeen = ctx.now
  verdict.unvouched = false
  ctx.state.lost.delete(link.id)
  relay(ctx, link)
  ctx.state.asked.delete(link.id)
  if (verdict.state === 'alive' || verdict.state === 'left') return
  const row = ctx.state.table.get(link.id)
  // Others may hold the accusation still: only a newer record of the member itself clears it everywhere.
  if (row !== undefined && verdict.accusers.size > 0) link.accused = row.verified.statement
  hold(ctx, link.id, 'alive', 'heard')
}

/** A newer record of a member is proof of life at its time, and refutes what was said of the older one. */
export function recordRenewed(ctx: Context, id: string, kind: 'registration' | 'leave'): void {
  const verdict = verdictOf(ctx.state, id)
  verdict.unvouched = false
  verdict.weighed.clear()
  const link = ctx.state.links.get(id)
  if (link !== undefined) {
    link.accused = null
    // It speaks to others: before we accuse the new record, its silence has to last as long again.
    if (link.unansweredSince !== null) link.unansweredSince = ctx.now
  }
  if (kind === 'leave') {
    ctx.state.lost.delete(id)
    hold(ctx, id, 'left', 'left')
    return
  }
  const lost = ctx.state.lost.get(id)
  // It speaks to others: they are its witnesses now.
  if (lost?.unreached === true) verdict.vouchedAt = ctx.now
  if (lost?.renewed === true || lost?.unreached === true) ctx.state.lost.delete(id)
  else if (lost !== undefined)
    ctx.state.lost.set(id, {
      since: ctx.now,
      refused: false,
      accused: false,
      renewed: true,
      unreached: false,
    })
  hold(ctx, id, 'alive', 'record-renewed')
}

/** A neighbour's unproven word about a member nobody else has spoken of: better than knowing nothing. */
export function hearsay(ctx: Context, id: string, down: boolean): void {
  const verdict = verdictOf(ctx.state, id)
  if (!verdict.unvouched || down) return
  verdict.unvouched = false
  hold(ctx, id, 'alive', 'vouched')
}

/** A link ended: a hint, never a verdict by itself. Silence that came before it counts on. */
export function linkLost(ctx: Context, link: Link): void {
  const { id } = link
  const verdict = verdictOf(ctx.state, id)
  if (verdict.state === 'left' || verdict.state === 'dead' || ctx.state.lost.has(id)) return
  const since = link.unansweredSince ?? ctx.now
  const accused = accusedByUs(ctx, verdict)
  ctx.state.lost.set(id, { since, refused: false, accused, renewed: false, unreached: false })
}

/**
 * A dial failed. `refused`: the host is there, nothing listens; of a link that has just closed that is as good as seeing the
 * process end. A wanted neighbour that never had a link to us may be behind a NAT, so only time and others' silence count.
 */
export function dialFailed(ctx: Context, id: string, refused: boolean): void {
  const { state, now } = ctx
  const lost = state.lost.get(id)
  if (lost !== undefined) {
    lost.refused = refused && !lost.unreached
    return
  }
  const verdict = state.verdicts.get(id)
  if (verdict === undefined || id === state.self.id || state.links.has(id)) return
  if (verdict.state !== 'alive' && verdict.state !== 'suspect') return
  if (verdict.vouchedAt !== null && now - verdict.vouchedAt < UNREACHED_PAUSE_MS) return
  state.lost.set(id, { since: now, refused: false, accused: false, renewed: false, unreached: true })
}

/** A helper heard a member that we do not: it is its witness now. */
export function vouchedFor(ctx: Context, id: string): void {
  const { state, now } = ctx
  verdictOf(state, id).vouchedAt = now
  if (state.lost.get(id)?.refused === false) state.lost.delete(id)
}

/** All timers of liveness. */
export function tickLiveness(ctx: Context): void {
  const { state, now } = ctx
  tickHealth(ctx)
  for (const link of state.links.values()) {
    if (link.hello && link.unansweredSince !== null) silent(ctx, link, now - link.unansweredSince)
  }
  for (const [id, lost] of state.lost) {
    const verdict = verdictOf(state, id)
    if (verdict.state === 'left' || state.table.get(id) === undefined) state.lost.delete(id)
    else lostFor(ctx, id, lost, verdict)
  }
  for (const id of state.suspicions) {
    const verdict = verdictOf(state, id)
    const link = state.links.get(id)
    const heard =
      link?.hello === true && link.unansweredSince === null && now - link.lastHeard < OWN_EVIDENCE_MS
    if (!heard && suspicionOver(state, id, verdict, now)) die(ctx, id, verdict)
  }
  if (!state.unknownSettled && now - state.startedAt >= UNKNOWN_AFTER_MS) {
    state.unknownSettled = true
    for (const [id, verdict] of state.verdicts)
      if (verdict.state === 'unknown') hold(ctx, id, 'dead', 'not-heard-of')
  }
}

/** A neighbour whose link stands but who does not answer: others are asked, then it is accused, unless they hear it. */
function silent(ctx: Context, link: Link, silentMs: number): void {
  const { state, now } = ctx
  const { id } = link
  const verdict = verdictOf(state, id)
  if (silentMs >= doubted(state, DIRECT_TIMEOUT_MS)) {
    // One failure is often many: when all are asked, a cut, or a fault of our own, shows at once.
    if (!state.asked.has(id)) for (const other of state.links.values()) probe(ctx, other)
    askOthers(ctx, id)
  }
  const vouched = isVouched(state, id, now)
  if (silentMs >= doubted(state, LINK_SILENT_MS)) {
    endLink(ctx, id, silentMs)
    if (vouched) return // they hear each other: a new link may do
    const accused = accusedByUs(ctx, verdict) || state.toAccuse.has(id)
    state.lost.set(id, { since: now - silentMs, refused: false, accused, renewed: false, unreached: false })
  } else if (
    silentMs >= doubted(state, SUSPECT_AFTER_MS) &&
    now >= state.health.noAccusingUntil &&
    !vouched &&
    !accusedByUs(ctx, verdict) &&
    !state.toAccuse.has(id)
  ) {
    suspect(ctx, id, 'probe-timeout')
  }
}

function lostFor(ctx: Context, id: string, lost: Lost, verdict: Verdict): void {
  const { state, now } = ctx
  if (lost.refused) {
    // The host itself answered: neither our doubts nor others' memories stand against it.
    if (verdict.refused.has(state.self.id) || state.toAccuse.has(id)) return
    lost.accused = true
    return suspect(ctx, id, 'redial-refused')
  }
  if (isVouched(state, id, now)) return vouchedFor(ctx, id)
  const elapsedMs = now - lost.since
  if (elapsedMs >= doubted(state, DIRECT_TIMEOUT_MS) && !lost.accused) askOthers(ctx, id)
  const afterMs = doubted(state, lost.unreached ? UNREACHED_MS : SUSPECT_AFTER_MS)
  if (elapsedMs < afterMs || lost.accused || now < state.health.noAccusingUntil) return
  lost.accused = true
  suspect(ctx, id, lost.unreached ? 'unreachable' : 'link-lost')
}

function die(ctx: Context, id: string, verdict: Verdict): void {
  const { state, now } = ctx
  const link = state.links.get(id)
  const refused = state.lost.get(id)?.refused === true
  const own = link !== undefined ? 'probe-timeout' : refused ? 'redial-refused' : 'link-lost'
  state.suspicions.delete(id)
  state.lost.delete(id)
  hold(ctx, id, 'dead', accusedByUs(ctx, verdict) ? own : 'accused')
  if (link !== undefined) endLink(ctx, id, now - (link.unansweredSince ?? now))
}

function endLink(ctx: Context, id: string, silentMs: number): void {
  ctx.state.links.delete(id)
  ctx.out.push({ type: 'close', peer: id, code: 'probe-timeout', text: `no answer for ${silentMs} ms` })
}

/** True when our own accusation of the present version is out. */
function accusedByUs(ctx: Context, verdict: Verdict): boolean {
  return verdict.accusers.has(ctx.state.self.id)
}

function suspect(ctx: Context, id: string, reason: string): void {
  const { state, now } = ctx
  const verdict = verdictOf(state, id)
  state.toAccuse.add(id)
  if (verdict.state === 'dead') return
  beginSuspicion(ctx, id, now)
  hold(ctx, id, 'suspect', reason)
}

/** Starts the time a member has to answer, unless it runs already. */
export function beginSuspicion({ state }: Context, id: string, now: number): void {
  verdictOf(state, id).suspectedAt ??= now
  state.suspicions.add(id)
}

/** How this node holds a neighbour, as its frames say it. */
export function heldOf(state: MembershipState, id: string): number {
  const accused = state.links.get(id)?.accused
  const row = state.table.get(id)
  if (row === undefined) return HELD.unknown
  if (accused !== undefined && accused !== null && compareVersions(accused, row.verified.statement) === 0)
    return HELD.suspect
  const held = verdictOf(state, id).state
  return held === 'alive'
    ? HELD.alive
    : held === 'suspect'
      ? HELD.suspect
      : held === 'dead'
        ? HELD.dead
        : HELD.unknown
}
