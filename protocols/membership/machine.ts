import { MalformedError } from '../common/errors.ts'
import { verifyEntry } from '../registry/entry.ts'
import { compareDigest, refillBudget, receiveItems, receiveSums, receiveWants } from './anti-entropy.ts'
import { flushGossip } from './gossip.ts'
import { accuse, tellAgain } from './accusations.ts'
import { tickHeal } from './heal.ts'
import { stalled } from './health.ts'
import { forgiveStall, saveEntries, sweep } from './housekeeping.ts'
import { expireRequests, receiveRelayed, receiveRequest } from './indirect.ts'
import { close, linkDown, linkUp, part, receiveHello, wantedNeighbours } from './links.ts'
import { dialFailed, heardFrom, heldOf, linkLost, tickLiveness, vouchedFor } from './liveness.ts'
import {
  ANNOUNCE_INTERVAL_MS,
  HELLO_TIMEOUT_MS,
  PERSIST_MS,
  STALL_HINT_MS,
  STALL_MS,
  SWEEP_MS,
  TICK_MS,
} from './limits.ts'
import { announceDue, announceSoon, incarnationStored, leave, replaceCredentials } from './own.ts'
import { parts, tickParting } from './parting.ts'
import { acknowledged, tickProbes } from './probing.ts'
import { receiveRecords } from './receive.ts'
import { report } from './report.ts'
import { digestOf } from './digest.ts'
import { receiveRevocation } from './revocations.ts'
import { tickRestored } from './restored.ts'
import {
  ownRow,
  send,
  type Announcement,
  type Context,
  type Effect,
  type Link,
  type MembershipState,
} from './state.ts'
import { frameFormat, HELD, KIND, type Frame } from './wire.ts'

export { createMembership } from './restored.ts'
export { digestOf } from './digest.ts'
export { saveEntries } from './housekeeping.ts'
export { wantedNeighbours } from './links.ts'
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
    case 'link-down':
      linkDown(ctx, event.peer)
      break
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
