import { equalBytes } from '../common/bytes.ts'
import { compareDigest, startExchange } from './anti-entropy.ts'
import { digestOf } from './digest.ts'
import { carry } from './gossip.ts'
import { CLOCK_WARNING_MS, HELLO_REPEAT_MS, LINKS_MAX, PART_REPEAT_MS } from './limits.ts'
import { heardFrom, heldOf, linkLost } from './liveness.ts'
import { chooseNeighbours, type Candidate } from './neighbours.ts'
import { announceSoon } from './own.ts'
import { receiveRecords } from './receive.ts'
import { report } from './report.ts'
import { ownRow, send, type Context, type Link, type MembershipState } from './state.ts'
import { HELD, KIND, packRecords, type Frame } from './wire.ts'

/** Peer ids this node should be linked to now. */
export function wantedNeighbours(state: MembershipState, now: number): string[] {
  const candidates: Candidate[] = []
  for (const { id, place, verified } of state.table.rows()) {
    if (id === state.self.id || verified.statement.kind === 'leave') continue
    candidates.push({ id, place, dead: state.verdicts.get(id)?.state === 'dead' })
  }
  // Whose lease ended may be behind a cut that outlasted it: nobody else would ever look for the other half.
  const ended = [...state.archive.values()]
    .filter(({ entry }) => entry.kind === 'registration')
    .map(({ id }) => id)
  const wanted = chooseNeighbours(ownRow(state).place, candidates, now, ended)
  // Whose link was lost is dialled until it is settled: the answer of its host is the quickest evidence.
  for (const [id, { unreached }] of state.lost) if (!unreached) wanted.push(id)
  return [...new Set(wanted)]
}

/** A stream to a peer is open: it is introduced to us, unless there are links enough. */
export function linkUp(ctx: Context, peer: string, initiator: boolean): void {
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

/** A link ended. Who was asked to part and goes soon after does what it was asked. */
export function linkDown(ctx: Context, peer: string): void {
  const { state, now } = ctx
  const link = state.links.get(peer)
  const parted = link !== undefined && now - link.partAt < PART_REPEAT_MS
  state.links.delete(peer)
  if (link !== undefined && parted) part(ctx, link.id)
  else if (link?.hello === true) linkLost(ctx, link)
}

/** Ends a link and its connection, with a reason. */
export function close(ctx: Context, peer: string, code: string, text: string): void {
  ctx.state.links.delete(peer)
  ctx.out.push({ type: 'close', peer, code, text })
  report(ctx, peer, code, text)
}

/** Ends a link neither side needs; what carries it stays. */
export function part({ state, out }: Context, peer: string): void {
  state.links.delete(peer)
  out.push({ type: 'close', peer, code: 'link-limit', text: 'neither side needs the link' })
}

/** A neighbour introduces itself. @throws MalformedError when its records contradict themselves. */
export function receiveHello(
  ctx: Context,
  link: Link,
  hello: Extract<Frame, { kind: typeof KIND.hello }>,
): void {
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
