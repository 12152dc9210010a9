import { PROBE_INTERVAL_MS, PROBE_REPEAT_MS } from './limits.ts'
import { digestOf } from './digest.ts'
import { send, type Context, type Link, type MembershipState } from './state.ts'
import { HELD, KIND } from './wire.ts'

/** Probes remembered per link; older ones count as lost. */
export const PROBES_MAX = 16

/** Sends a probe, unless one went out in the last second. */
export function probe(ctx: Context, link: Link): void {
  if (!link.hello || ctx.now - link.lastProbeAt < PROBE_REPEAT_MS) return
  link.lastProbeAt = ctx.now
  link.unansweredSince ??= ctx.now
  const n = ctx.state.probeCounter++
  if (link.probes.size >= PROBES_MAX) {
    for (const oldest of link.probes.keys()) {
      link.probes.delete(oldest)
      break
    }
  }
  link.probes.set(n, ctx.now)
  const held = link.accused === null ? HELD.alive : HELD.suspect
  send(ctx, link.id, { kind: KIND.probe, n, digest: digestOf(ctx.state), held })
}

/**
 * One neighbour a second, besides those that owe an answer or whose digest is to be looked at again: the one not heard for the
 * longest. In turn, both ends of a link would probe it soon after each other, and a silent member be found half as fast.
 */
export function tickProbes(ctx: Context): void {
  const { state, now } = ctx
  for (const link of state.links.values()) {
    if (link.unansweredSince !== null) probe(ctx, link)
    else if (link.recheckAt !== null && link.recheckAt <= now) {
      link.recheckAt = null
      probe(ctx, link)
    }
  }
  if (now - state.lastProbeAt < PROBE_INTERVAL_MS) return
  state.lastProbeAt = now
  const next = leastHeard(state)
  if (next !== null) probe(ctx, next)
}

/** The answering neighbour that has been quiet the longest; null without any. */
function leastHeard({ links }: MembershipState): Link | null {
  let least: Link | null = null
  for (const link of links.values()) {
    if (!link.hello || link.unansweredSince !== null) continue
    if (least === null || link.lastHeard < least.lastHeard) least = link
  }
  return least
}

/** An answer: its round trip, when the probe is still known. Smoothed as RFC 6298 §2 does, with 1/8. */
export function acknowledged(ctx: Context, link: Link, n: number): void {
  const sentAt = link.probes.get(n)
  if (sentAt === undefined) return
  link.probes.delete(n)
  const sample = ctx.now - sentAt
  link.rttMs = link.rttMs === null ? sample : link.rttMs + (sample - link.rttMs) / 8
}
