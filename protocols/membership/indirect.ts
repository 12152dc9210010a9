import { compareBytes } from '../common/bytes.ts'
import { peerIdFromKey } from '../common/peer-id.ts'
import {
  DIRECT_TIMEOUT_MS,
  HELPERS,
  INDIRECT_TIMEOUT_MS,
  PROBE_REPEAT_MS,
  REQUESTS_MAX,
  VOUCHED_MS,
} from './limits.ts'
import { xor } from './neighbours.ts'
import { probe } from './probing.ts'
import { send, type Context, type Link, type MembershipState } from './state.ts'
import { KIND } from './wire.ts'

/** Asks the neighbours nearest to a silent member, who most likely have a link to it, to probe it; again when the time is over. */
export function askOthers(ctx: Context, id: string): void {
  const { state, now } = ctx
  const before = state.asked.get(id)
  const row = state.table.get(id)
  if (row === undefined || (before !== undefined && now - before.at < INDIRECT_TIMEOUT_MS)) return
  const able: { peer: string; distance: Uint8Array }[] = []
  for (const link of state.links.values()) {
    const place = state.table.get(link.id)?.place
    const answers = link.unansweredSince === null || now - link.unansweredSince < DIRECT_TIMEOUT_MS
    if (link.id !== id && link.hello && answers && place !== undefined)
      able.push({ peer: link.id, distance: xor(place, row.place) })
  }
  able.sort((a, b) => compareBytes(a.distance, b.distance))
  const helpers = able.slice(0, HELPERS).map(({ peer }) => peer)
  const n = state.probeCounter++
  state.asked.set(id, { n, at: now, helpers: new Set(helpers), heardAt: before?.heardAt ?? null })
  for (const helper of helpers) send(ctx, helper, { kind: KIND.request, n, target: row.key })
}

/** True while a helper heard the member not long ago. */
export function isVouched({ asked }: MembershipState, id: string, now: number): boolean {
  const heardAt = asked.get(id)?.heardAt ?? null
  return heardAt !== null && now - heardAt < VOUCHED_MS
}

/** A neighbour does not hear `target`: probe it, and pass its next sign of life on. */
export function receiveRequest(ctx: Context, link: Link, n: number, targetKey: Uint8Array): void {
  const { state, now } = ctx
  const target = peerIdFromKey(targetKey)
  const asked = state.links.get(target)
  if (asked === undefined || !asked.hello || target === link.id) return
  // A probe of our own may just have been answered; the next would be a second away.
  if (now - asked.lastHeard < PROBE_REPEAT_MS)
    return send(ctx, link.id, { kind: KIND.relayed, n, target: targetKey })
  state.requests.delete(`${link.id} ${target}`)
  if (state.requests.size >= REQUESTS_MAX) expireRequests(ctx)
  if (state.requests.size >= REQUESTS_MAX) return
  state.requests.set(`${link.id} ${target}`, { requester: link.id, target, n, at: now })
  probe(ctx, asked)
}

/** Passes the sign of life of a member on to those who asked for it. */
export function relay(ctx: Context, link: Link): void {
  const { state, now } = ctx
  if (state.requests.size === 0) return
  for (const [name, { requester, target, n, at }] of state.requests) {
    if (target !== link.id) continue
    state.requests.delete(name)
    const row = state.table.get(target)
    const waits = now - at < INDIRECT_TIMEOUT_MS && state.links.get(requester)?.hello === true
    if (waits && row !== undefined) send(ctx, requester, { kind: KIND.relayed, n, target: row.key })
  }
}

/** A helper heard the member. Returns the member's id, null for an answer that was not asked for. */
export function receiveRelayed(ctx: Context, link: Link, n: number, targetKey: Uint8Array): string | null {
  const id = peerIdFromKey(targetKey)
  const asked = ctx.state.asked.get(id)
  if (asked === undefined || asked.n !== n || !asked.helpers.has(link.id)) return null
  asked.heardAt = ctx.now
  return id
}

/** Forgets requests nobody waits for any more. */
export function expireRequests({ state, now }: Context): void {
  for (const [name, { at }] of state.requests)
    if (now - at >= INDIRECT_TIMEOUT_MS) state.requests.delete(name)
}
