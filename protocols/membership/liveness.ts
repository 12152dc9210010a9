import { equalBytes } from '../common/bytes.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import { signedMessage, verifyEd25519 } from '../common/signing.ts'
import { SKEW_MS } from '../registry/limits.ts'
import { compareVersions } from '../registry/merge.ts'
import { pushAccusation } from './gossip.ts'
import {
  ACCUSED_MAX,
  ACCUSERS_MAX,
  DEAD_CONFIRMED_MS,
  DEAD_SILENT_MS,
  OWN_EVIDENCE_MS,
  SUSPECT_AFTER_MS,
  SUSPICION_MS,
  UNKNOWN_AFTER_MS,
  WEIGHED_MAX,
} from './limits.ts'
import { probe } from './probing.ts'
import {
  emit,
  newVerdict,
  send,
  type Context,
  type Link,
  type MemberState,
  type MembershipState,
  type Verdict,
} from './state.ts'
import { accusationFormat, HELD, KIND, signedAccusationFormat, type Accusation } from './wire.ts'

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
    verdict.deadline = null
    ctx.state.suspicions.delete(id)
    ctx.state.toAccuse.delete(id)
  }
  if (verdict.state === next) return
  verdict.state = next
  ctx.state.table.mark(id, next !== 'alive' && next !== 'left')
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
  if (link !== undefined) link.accused = null
  if (kind === 'leave') {
    ctx.state.lost.delete(id)
    hold(ctx, id, 'left', 'left')
    return
  }
  const lost = ctx.state.lost.get(id)
  if (lost?.renewed === true) ctx.state.lost.delete(id) // it speaks to others: they are its witnesses now
  else if (lost !== undefined)
    ctx.state.lost.set(id, { since: ctx.now, refused: false, accused: false, renewed: true })
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
  if (verdict.state === 'left' || ctx.state.lost.has(id)) return
  const since = link.unansweredSince ?? ctx.now
  ctx.state.lost.set(id, { since, refused: false, accused: accusedByUs(ctx, verdict), renewed: false })
}

/** All timers of liveness. */
export function tickLiveness(ctx: Context): void {
  const { state, now } = ctx
  for (const link of state.links.values()) {
    if (link.hello && link.unansweredSince !== null) silent(ctx, link, now - link.unansweredSince)
  }
  for (const [id, lost] of state.lost) {
    const elapsedMs = now - lost.since
    const verdict = verdictOf(state, id)
    if (verdict.state === 'left' || state.table.get(id) === undefined) {
      state.lost.delete(id)
    } else if (
      elapsedMs >= DEAD_SILENT_MS ||
      (elapsedMs >= DEAD_CONFIRMED_MS && (lost.refused || confirmed(ctx, verdict)))
    ) {
      hold(ctx, id, 'dead', lost.refused ? 'redial-refused' : 'link-lost')
    } else if (elapsedMs >= SUSPECT_AFTER_MS && !lost.accused) {
      lost.accused = true
      suspect(ctx, id, 'link-lost')
    }
  }
  for (const id of state.suspicions) {
    const { deadline } = verdictOf(state, id)
    if (deadline === null || deadline > now) continue
    state.suspicions.delete(id)
    hold(ctx, id, 'dead', 'accused')
  }
  if (!state.unknownSettled && now - state.startedAt >= UNKNOWN_AFTER_MS) {
    state.unknownSettled = true
    for (const [id, verdict] of state.verdicts)
      if (verdict.state === 'unknown') hold(ctx, id, 'dead', 'not-heard-of')
  }
}

function silent(ctx: Context, link: Link, silentMs: number): void {
  const verdict = verdictOf(ctx.state, link.id)
  if (silentMs >= DEAD_SILENT_MS || (silentMs >= DEAD_CONFIRMED_MS && confirmed(ctx, verdict))) {
    hold(ctx, link.id, 'dead', 'probe-timeout')
    ctx.state.links.delete(link.id)
    ctx.state.lost.set(link.id, { since: ctx.now - silentMs, refused: false, accused: true, renewed: false })
    ctx.out.push({
      type: 'close',
      peer: link.id,
      code: 'probe-timeout',
      text: `no answer for ${silentMs} ms`,
    })
  } else if (silentMs >= SUSPECT_AFTER_MS && !accusedByUs(ctx, verdict) && !ctx.state.toAccuse.has(link.id)) {
    suspect(ctx, link.id, 'probe-timeout')
    // One confirmed failure is often many: a cut shows at once when all are asked.
    for (const other of ctx.state.links.values()) probe(ctx, other)
  }
}

/** True when our own accusation of the present version is out: others wait for it as their confirmation. */
function accusedByUs(ctx: Context, verdict: Verdict): boolean {
  return verdict.accusers.has(ctx.state.self.id)
}

/** True when somebody else accuses too. */
function confirmed(ctx: Context, verdict: Verdict): boolean {
  for (const by of verdict.accusers.keys()) if (by !== ctx.state.self.id) return true
  return false
}

function suspect(ctx: Context, id: string, reason: string): void {
  ctx.state.toAccuse.add(id)
  if (verdictOf(ctx.state, id).state !== 'dead') hold(ctx, id, 'suspect', reason)
}

/** Signs and pushes what this node has to accuse, as one batch. */
export function accuse(ctx: Context): void {
  const { state, now } = ctx
  const subjects: Accusation['subjects'] = []
  for (const id of state.toAccuse) {
    if (subjects.length >= ACCUSED_MAX) break
    state.toAccuse.delete(id)
    const row = state.table.get(id)
    if (row === undefined) continue
    const { incarnation, seq } = row.verified.statement
    subjects.push({ key: row.key, incarnation, seq })
  }
  if (subjects.length === 0) return
  const body = accusationFormat.encode({
    version: 1,
    by: state.self.signer.publicKey,
    issuedAt: now,
    subjects,
  })
  const signature = state.self.signer.sign(signedMessage('accusation', state.root.meshId, body))
  const bytes = signedAccusationFormat.encode({ body, signature })
  for (const { key } of subjects) verdictOf(state, peerIdFromKey(key)).accusers.set(state.self.id, bytes)
  state.lastAccuseAt = now
  pushAccusation(ctx, bytes, null)
}

/**
 * Weighs another member's accusation. Returns true when this node itself is accused and must refute.
 * @throws MalformedError when it does not decode.
 */
export function receiveAccusation(ctx: Context, bytes: Uint8Array, source: string): boolean {
  const { state, now } = ctx
  const signed = signedAccusationFormat.decode(bytes)
  const accusation = accusationFormat.decode(signed.body)
  const by = peerIdFromKey(accusation.by)
  const accuser = state.table.get(by)
  if (by === state.self.id || accuser === undefined || accusation.issuedAt > now + SKEW_MS) return false
  const fresh = accusation.subjects.filter((subject) => {
    const id = peerIdFromKey(subject.key)
    const row = state.table.get(id)
    if (row === undefined || compareVersions(subject, row.verified.statement) !== 0) return false
    if (id === state.self.id) return true
    const verdict = verdictOf(state, id)
    return (
      verdict.state !== 'left' &&
      verdict.accusers.size < ACCUSERS_MAX &&
      !verdict.accusers.has(by) &&
      isNews(verdict, by, accusation.issuedAt)
    )
  })
  if (fresh.length === 0) return false
  const verify = state.verify ?? verifyEd25519
  if (!verify(accusation.by, signedMessage('accusation', state.root.meshId, signed.body), signed.signature))
    return false
  let accused = false
  let told = false
  for (const { key } of fresh) {
    if (equalBytes(key, state.self.signer.publicKey)) accused = true
    else {
      const id = peerIdFromKey(key)
      verdictOf(state, id).weighed.set(by, accusation.issuedAt)
      if (believe(ctx, id, by, bytes)) told = true
    }
  }
  if (told) pushAccusation(ctx, bytes, source)
  return accused
}

/**
 * False for an accusation that was weighed before: signed words of one member about one version count once, even after the
 * accused was heard again, unless the accuser says them anew. Without it whoever kept them could raise the suspicion again and
 * again until the accused renews its record.
 */
function isNews({ weighed }: Verdict, by: string, issuedAt: number): boolean {
  const last = weighed.get(by)
  return last === undefined ? weighed.size < WEIGHED_MAX : issuedAt > last
}

/** False when this node knows better: it then tells the accused, who refutes. */
function believe(ctx: Context, id: string, by: string, bytes: Uint8Array): boolean {
  const { state, now } = ctx
  const verdict = verdictOf(state, id)
  // Remembered even where it is not believed: should the own link fall silent too, it is the confirmation.
  verdict.accusers.set(by, bytes)
  const link = state.links.get(id)
  if (link?.hello === true) {
    probe(ctx, link)
    if (now - link.lastHeard < OWN_EVIDENCE_MS && link.unansweredSince === null) {
      send(ctx, id, { kind: KIND.records, authorities: [], entries: [], accusations: [bytes] })
      return false
    }
  }
  verdict.unvouched = false
  if (verdict.state === 'dead') return true
  if (verdict.deadline === null) verdict.deadline = now + SUSPICION_MS
  state.suspicions.add(id)
  hold(ctx, id, 'suspect', 'accused')
  return true
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
