import { equalBytes } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { verifyEntry } from '../registry/entry.ts'
import {
  compareDigest,
  refillBudget,
  receiveItems,
  receiveSums,
  receiveWants,
  startExchange,
} from './anti-entropy.ts'
import { carry, flushGossip } from './gossip.ts'
import { accuse, tellAgain } from './accusations.ts'
import { tickHeal } from './heal.ts'
import { stalled } from './health.ts'
import { expireRequests, receiveRelayed, receiveRequest } from './indirect.ts'
import { dialFailed, heardFrom, heldOf, linkLost, tickLiveness, vouchedFor } from './liveness.ts'
import {
  ANNOUNCE_INTERVAL_MS,
  CLOCK_WARNING_MS,
  HELLO_REPEAT_MS,
  HELLO_TIMEOUT_MS,
  LINKS_MAX,
  PART_REPEAT_MS,
  PERSIST_MS,
  STALL_HINT_MS,
  STALL_MS,
  SWEEP_MS,
  TICK_MS,
} from './limits.ts'
import { chooseNeighbours } from './neighbours.ts'
import { announceDue, announceSoon, incarnationStored, leave, replaceCredentials } from './own.ts'
import { parts, tickParting } from './parting.ts'
import { acknowledged, tickProbes } from './probing.ts'
import { receiveRecords } from './receive.ts'
import { report } from './report.ts'
import { digestOf } from './digest.ts'
import { receiveRevocation, sweepRevocations } from './revocations.ts'
import { archiveEntry, tickRestored } from './restored.ts'
import {
  forgetMember,
  ownRow,
  send,
  type Announcement,
  type Context,
  type Effect,
  type Link,
  type MembershipState,
} from './state.ts'
import { frameFormat, HELD, KIND, packRecords, type Frame } from './wire.ts'

export { createMembership } from './restored.ts'
export { digestOf } from './digest.ts'
export type { Announcement, Archived, Effect, MembershipState } from './state.ts'

/** What can happen to the machine. `peer` is a peer id proven by the connection. */
export type MembershipEvent =
  | { readonly type: 'link-up'; readonly peer: string; readonly initiator: boolean }
  | { readonly type: 'link-down'; readonly peer: string }
  | { readonly type: 'frame'; readonly peer: string; readonly bytes: Uint8Array }
  /** A dial to a member failed; `refused` when its host answered that nothing listens. */
  | { readonly type: 'dial-failed'; readonly peer: string; readonly refused: boolean }
  | { readonly type: 'announce'; readonly announcement: Announcement }
  | { readonly type: 'credentials'; readonly credentials: Uint8Array }
  | { readonly type: 'incarnation-stored'; readonly incarnation: number }
  | { readonly type: 'leave' }
  /** A revocation made on this node. */
  | { readonly type: 'revoke'; readonly bytes: Uint8Array }
  /** Every `TICK_MS`. */
  | { readonly type: 'tick' }

/** One step: changes the owned state, returns what to do. `now` in ms since the epoch. */
export function step(state: MembershipState, event: MembershipEvent, now: number): Effect[] {
  const ctx: Context = { state, now, out: [] }
  switch (event.type) {
    case 'link-up':
      linkUp(ctx, event.peer, event.initiator)
      break
    case 'link-down': {
      const link = state.links.get(event.peer)
      // Who was asked to part and goes soon after does what it was asked.
      const parted = link !== undefined && now - link.partAt < PART_REPEAT_MS
      state.links.delete(event.peer)
      if (link !== undefined && parted) part(ctx, link.id)
      else if (link?.hello === true) linkLost(ctx, link)
      break
    }
    case 'frame':
      receiveFrame(ctx, event.peer, event.bytes)
      break
    case 'dial-failed':
      dialFailed(ctx, event.peer, event.refused)
      break
    case 'announce':
      state.self.announcement = event.announcement
      announceSoon(ctx)
      break
    case 'credentials':
      takeCredentials(ctx, event.credentials)
      break
    case 'incarnation-stored':
      incarnationStored(ctx, event.incarnation)
      break
    case 'leave':
      leave(ctx)
      break
    case 'revoke':
      receiveRevocation(ctx, event.bytes, null)
      break
    case 'tick':
      tick(ctx)
      break
  }
  return ctx.out
}

/** Peer ids this node should be linked to now. */
export function wantedNeighbours(state: MembershipState, now: number): string[] {
  const candidates = []
  for (const { id, place, verified } of state.table.rows()) {
    if (id === state.self.id || verified.statement.kind === 'leave') continue
    candidates.push({ id, place, dead: state.verdicts.get(id)?.state === 'dead' })
  }
  const wanted = chooseNeighbours(ownRow(state).place, candidates, now)
  // Whose link was lost is dialled until it is settled: the answer of its host is the quickest evidence.
  for (const [id, { unreached }] of state.lost) if (!unreached) wanted.push(id)
  return [...new Set(wanted)]
}

function linkUp(ctx: Context, peer: string, initiator: boolean): void {
  const { state, now } = ctx
  if (state.links.size >= LINKS_MAX && !wantedNeighbours(state, now).includes(peer)) {
    return close(ctx, peer, 'link-limit', `${state.links.size} links`)
  }
  const link: Link = {
    id: peer,
    initiator,
    upAt: now,
    hello: false,
    helloSentAt: now,
    lastHeard: now,
    unansweredSince: null,
    lastProbeAt: 0,
    probes: new Map(),
    rttMs: null,
    differSince: null,
    recheckAt: null,
    lastAeAt: 0,
    reunited: false,
    begun: false,
    partAt: 0,
    aeUntil: 0,
    accused: null,
  }
  state.links.set(peer, link)
  sendHello(ctx, link)
}

function sendHello(ctx: Context, link: Link): void {
  const { state, now } = ctx
  const peer = link.id
  link.helloSentAt = now
  const row = state.table.get(peer)
  const [records] = packRecords([carry(ownRow(state), true)], [])
  if (records === undefined) throw new Error('own record packs into no frame')
  send(ctx, peer, {
    kind: KIND.hello,
    version: 1,
    clock: now,
    digest: digestOf(state),
    held: heldOf(state, peer),
    heldIncarnation: row?.verified.statement.incarnation ?? 0,
    heldSeq: row?.verified.statement.seq ?? 0,
    ...records,
  })
}

function close(ctx: Context, peer: string, code: string, text: string): void {
  ctx.state.links.delete(peer)
  ctx.out.push({ type: 'close', peer, code, text })
  report(ctx, peer, code, text)
}

/** Ends a link neither side needs; what carries it stays. */
function part({ state, out }: Context, peer: string): void {
  state.links.delete(peer)
  out.push({ type: 'close', peer, code: 'link-limit', text: 'neither side needs the link' })
}

function receiveFrame(ctx: Context, peer: string, bytes: Uint8Array): void {
  const link = ctx.state.links.get(peer)
  if (link === undefined) return // a frame that was under way while we closed
  try {
    const frame = frameFormat.decode(bytes)
    if (frame.kind === KIND.hello) receiveHello(ctx, link, frame)
    else if (link.hello) receive(ctx, link, frame) // else it was sent to our link before this one: its HELLO is coming
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    close(ctx, peer, 'frame-malformed', error.message)
    if (link.hello) linkLost(ctx, link)
  }
}

function receiveHello(ctx: Context, link: Link, hello: Extract<Frame, { kind: typeof KIND.hello }>): void {
  const { state, now } = ctx
  const before = state.table.get(link.id)?.verified.statement.incarnation
  const wasDead = state.verdicts.get(link.id)?.state === 'dead'
  const received = receiveRecords(ctx, hello, link.id)
  const own = received.find(({ id }) => id === link.id)
  if (own === undefined) return close(ctx, link.id, 'hello-wrong-key', 'no entry of the peer itself')
  if (own.outcome === 'refused') return close(ctx, link.id, own.code, own.text)
  if (Math.abs(hello.clock - now) > CLOCK_WARNING_MS) {
    report(ctx, link.id, 'clock-apart', `its clock is ${hello.clock - now} ms off ours`)
  }
  // The peer's link is newer than ours (its old stream ended, ours has not noticed): it needs our HELLO again.
  if (link.hello && now - link.helloSentAt >= HELLO_REPEAT_MS) sendHello(ctx, link)
  const present = state.table.get(link.id)?.verified.statement.incarnation
  const heldDead = hello.held === HELD.dead && hello.heldIncarnation === state.self.incarnation
  link.reunited ||= heldDead || (wasDead && before === present)
  link.hello = true
  heardFrom(ctx, link)
  ctx.out.push({ type: 'changed', id: link.id })
  const { incarnation, seq } = state.self
  if (hello.held >= HELD.suspect && hello.heldIncarnation === incarnation && hello.heldSeq === seq)
    announceSoon(ctx)
  if (equalBytes(hello.digest, digestOf(state))) return
  // At a join one side begins; the other looks again in two seconds.
  if (link.initiator) startExchange(ctx, link)
  else compareDigest(ctx, link, hello.digest)
}

function receive(ctx: Context, link: Link, frame: Exclude<Frame, { kind: typeof KIND.hello }>): void {
  heardFrom(ctx, link)
  switch (frame.kind) {
    case KIND.probe:
      send(ctx, link.id, {
        kind: KIND.ack,
        n: frame.n,
        digest: digestOf(ctx.state),
        held: heldOf(ctx.state, link.id),
      })
      heldByOther(ctx, frame.held)
      return compareDigest(ctx, link, frame.digest)
    case KIND.ack:
      acknowledged(ctx, link, frame.n)
      heldByOther(ctx, frame.held)
      return compareDigest(ctx, link, frame.digest)
    case KIND.records:
      receiveRecords(ctx, frame, link.id)
      return
    case KIND.sums:
      return receiveSums(ctx, link, frame.sums, frame.revoked)
    case KIND.items:
      return receiveItems(ctx, link, frame)
    case KIND.difference:
      receiveRecords(ctx, frame, link.id)
      return receiveWants(ctx, link, frame.wants)
    case KIND.part:
      if (parts(ctx, link, () => wantedNeighbours(ctx.state, ctx.now))) part(ctx, link.id)
      return
    case KIND.request:
      return receiveRequest(ctx, link, frame.n, frame.target)
    case KIND.relayed: {
      const heard = receiveRelayed(ctx, link, frame.n, frame.target)
      if (heard !== null) vouchedFor(ctx, heard)
      return
    }
  }
}

/** A neighbour that holds us suspect is answered with a newer record, but not for a probe sent before the last one. */
function heldByOther(ctx: Context, held: number): void {
  if (held >= HELD.suspect && ctx.now - ctx.state.self.announcedAt >= ANNOUNCE_INTERVAL_MS) announceSoon(ctx)
}

function takeCredentials(ctx: Context, credentials: Uint8Array): void {
  const { state, now } = ctx
  const { root, cache, revoked, verify } = state
  const entry = { ...ownRow(state).verified.entry, credentials }
  const checked = verifyEntry({ root, entry, now, authorityReachable: false, revoked, verify, cache })
  if (checked.ok) replaceCredentials(ctx, checked.verified)
  else report(ctx, state.self.id, checked.code, `renewed credentials: ${checked.text}`)
}

function tick(ctx: Context): void {
  const { state, now } = ctx
  const awayMs = now - state.lastTickAt
  state.lastTickAt = now
  if (Math.abs(awayMs) > STALL_MS) forgiveStall(ctx, awayMs)
  if (Math.abs(awayMs) > TICK_MS + STALL_HINT_MS) stalled(ctx, Math.abs(awayMs) - TICK_MS)
  expireRequests(ctx)
  for (const link of state.links.values()) {
    if (link.hello || now - link.upAt < HELLO_TIMEOUT_MS) continue
    close(ctx, link.id, 'hello-missing', `nothing for ${now - link.upAt} ms`)
  }
  refillBudget(ctx, awayMs)
  tickRestored(ctx)
  tickParting(ctx, () => wantedNeighbours(state, now))
  tickProbes(ctx)
  tickLiveness(ctx)
  if (state.toAccuse.size > 0 && now - state.lastAccuseAt >= ANNOUNCE_INTERVAL_MS) accuse(ctx)
  tellAgain(ctx)
  tickHeal(ctx)
  announceDue(ctx)
  flushGossip(ctx)
  if (now - state.lastPersistAt >= PERSIST_MS) saveEntries(ctx)
  if (now - state.lastSweepAt >= SWEEP_MS) sweep(ctx)
}

/** We slept, stalled, or the clock was set: nobody else was silent for that, so every timer starts anew. */
function forgiveStall({ state, now }: Context, awayMs: number): void {
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

/** Ended leases leave the table; who may still come back stays known for dialling. */
function sweep(ctx: Context): void {
  const { state, now, out } = ctx
  state.lastSweepAt = now
  sweepRevocations(ctx)
  for (const row of state.table.sweep(now, state.self.id)) {
    forgetMember(ctx, row.id)
    if (!archiveEntry(state, row.verified.entry, now)) out.push({ type: 'delete-entry', id: row.id })
    out.push({ type: 'changed', id: row.id })
  }
  for (const [id, { notAfter }] of state.archive) {
    if (notAfter > now) continue
    state.archive.delete(id)
    out.push({ type: 'delete-entry', id })
  }
}
