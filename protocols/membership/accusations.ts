import { equalBytes } from '../common/bytes.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import { signedMessage, verifyEd25519 } from '../common/signing.ts'
import { SKEW_MS } from '../registry/limits.ts'
import { compareVersions } from '../registry/merge.ts'
import { pushAccusation } from './gossip.ts'
import {
  ACCUSED_MAX,
  ACCUSERS_MAX,
  IGNORED_MS,
  OWN_EVIDENCE_MS,
  REFUTED_MAX,
  REFUTED_MEMBERS_MAX,
  REFUTED_ONCE_MS,
  REFUTED_WINDOW_MS,
  REPUSH_MAX,
  TELL_AGAIN_MS,
  WEIGHED_MAX,
} from './limits.ts'
import { beginSuspicion, hold, verdictOf } from './liveness.ts'
import { probe } from './probing.ts'
import { emit, send, type Context, type Verdict } from './state.ts'
import { accusationFormat, KIND, noRecords, signedAccusationFormat, type Accusation } from './wire.ts'

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
    subjects.push({ key: row.key, incarnation, seq, refused: state.lost.get(id)?.refused === true })
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
  for (const { key, refused } of subjects)
    note(verdictOf(state, peerIdFromKey(key)), state.self.id, bytes, refused, now)
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
  if ((state.refuted.get(by)?.ignoredUntil ?? 0) > now) return false
  const fresh = accusation.subjects.filter((subject) => {
    const id = peerIdFromKey(subject.key)
    const row = state.table.get(id)
    if (row === undefined || compareVersions(subject, row.verified.statement) !== 0) return false
    if (id === state.self.id) return true
    const verdict = verdictOf(state, id)
    return (
      verdict.state !== 'left' &&
      isWanted(verdict, by, subject.refused) &&
      isNews(verdict, by, accusation.issuedAt)
    )
  })
  if (fresh.length === 0) return false
  const verify = state.verify ?? verifyEd25519
  if (!verify(accusation.by, signedMessage('accusation', state.root.meshId, signed.body), signed.signature))
    return false
  let accused = false
  let told = false
  for (const { key, refused } of fresh) {
    if (equalBytes(key, state.self.signer.publicKey)) accused = true
    else {
      const id = peerIdFromKey(key)
      verdictOf(state, id).weighed.set(by, accusation.issuedAt)
      if (believe(ctx, id, by, bytes, refused)) told = true
    }
  }
  if (told) pushAccusation(ctx, bytes, source)
  return accused
}

/**
 * The accused answered with a newer record of the same run. A member that was alone in accusing it, again and again, is
 * wrong or lies: its accusations are ignored for a while. What several saw was an outage, and no fault of theirs.
 */
export function refuted(ctx: Context, id: string): void {
  const { state, now } = ctx
  const { accusers, state: held } = verdictOf(state, id)
  const [by] = accusers.keys()
  if (held === 'dead' || accusers.size !== 1 || by === undefined || by === state.self.id) return
  const counted = state.refuted.get(by) ?? { times: [], ignoredUntil: 0 }
  if (now - (counted.times.at(-1) ?? -Infinity) < REFUTED_ONCE_MS) return
  counted.times = [...counted.times.filter((at) => now - at < REFUTED_WINDOW_MS), now]
  state.refuted.delete(by)
  if (state.refuted.size >= REFUTED_MEMBERS_MAX) {
    for (const oldest of state.refuted.keys()) {
      state.refuted.delete(oldest)
      break
    }
  }
  state.refuted.set(by, counted)
  if (counted.times.length < REFUTED_MAX) return
  counted.times = []
  counted.ignoredUntil = now + IGNORED_MS
  emit(ctx, { kind: 'membership.accuser-ignored', severity: 'warning', peer: by, reason: 'accuser-refuted' })
}

/**
 * Some time after the last accuser that counts was heard, all of them are pushed once more: pushing each once leaves holes of a
 * node in a hundred, which anti-entropy takes seconds to close. Not when many die at once, there it would crowd out news.
 */
export function tellAgain(ctx: Context): void {
  const { state, now } = ctx
  for (const id of state.suspicions) {
    if (state.gossip.size > REPUSH_MAX) return
    const verdict = verdictOf(state, id)
    const enough = Math.max(verdict.accusers.size, verdict.refused.size)
    if (enough < ACCUSERS_MAX || verdict.toldAgain || verdict.accusedAt + TELL_AGAIN_MS > now) continue
    verdict.toldAgain = true
    for (const bytes of verdict.accusers.values()) pushAccusation(ctx, bytes, '')
  }
}

/** True for an accuser that changes something: one of the first three, or of the first three that saw the redial refused. */
function isWanted({ accusers, refused }: Verdict, by: string, sawRefused: boolean): boolean {
  if (sawRefused && !refused.has(by) && refused.size < ACCUSERS_MAX) return true
  return !accusers.has(by) && accusers.size < ACCUSERS_MAX
}

function note(verdict: Verdict, by: string, bytes: Uint8Array, refused: boolean, now: number): void {
  verdict.accusedAt = now
  verdict.accusers.set(by, bytes)
  if (refused) verdict.refused.add(by)
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
function believe(ctx: Context, id: string, by: string, bytes: Uint8Array, refused: boolean): boolean {
  const { state, now } = ctx
  const verdict = verdictOf(state, id)
  // Remembered even where it is not believed: should the own link fall silent too, it is the confirmation.
  note(verdict, by, bytes, refused, now)
  const link = state.links.get(id)
  if (link?.hello === true) {
    probe(ctx, link)
    if (now - link.lastHeard < OWN_EVIDENCE_MS && link.unansweredSince === null) {
      send(ctx, id, { kind: KIND.records, ...noRecords(), accusations: [bytes] })
      return false
    }
  }
  verdict.unvouched = false
  if (verdict.state === 'dead') return true
  beginSuspicion(ctx, id, now)
  hold(ctx, id, 'suspect', 'accused')
  return true
}
