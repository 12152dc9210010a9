import { encodeLanAnswer, encodeLanQuery } from './lan-service.ts'
import type { LanEffect, LanState, LinkState } from './lan-state.ts'
import { LAN_TTL_SECONDS, MULTICAST_INTERVAL_MS, QUERY_ISOLATED_MAX_MS, QUERY_MAX_MS } from './limits.ts'
import type { Question } from './multicast-packet.ts'

/** When `tick` is wanted at the latest; infinity when nothing waits. */
export function nextDueAt(state: LanState): number {
  const links = [...state.links.values()]
  return Math.min(
    state.tags.size === 0 || links.length === 0 ? Number.POSITIVE_INFINITY : state.query.dueAt,
    ...links.flatMap(({ answer, announcement, multicastAt }) => [
      answer === null
        ? Number.POSITIVE_INFINITY
        : Math.max(answer.dueAt, multicastAt + MULTICAST_INTERVAL_MS),
      announcement.left === 0 ? Number.POSITIVE_INFINITY : announcement.dueAt,
    ]),
  )
}

/** Sends what is due: queries, announcements, answers. */
export function sendDue(state: LanState, now: number, out: LanEffect[]): void {
  const { query } = state
  if (state.tags.size > 0 && state.links.size > 0) {
    const longestMs = state.connected.size === 0 ? QUERY_ISOLATED_MAX_MS : QUERY_MAX_MS
    query.dueAt = Math.min(query.dueAt, now + longestMs)
    if (query.dueAt <= now) {
      for (const each of state.links.values()) out.push(ask(state, each, now))
      state.query = { dueAt: now + query.intervalMs, intervalMs: Math.min(query.intervalMs * 2, longestMs) }
    }
  }
  for (const each of state.links.values()) {
    const { answer, announcement } = each
    const isRested = now - each.multicastAt >= MULTICAST_INTERVAL_MS
    if (announcement.left > 0 && announcement.dueAt <= now) {
      each.announcement = { left: announcement.left - 1, dueAt: now + MULTICAST_INTERVAL_MS }
      each.answer = null
      out.push(...speak(state, each, now, []))
    } else if (answer !== null && answer.dueAt <= now && isRested) {
      each.answer = null
      out.push(...speak(state, each, now, answer.questions))
    }
  }
}

/** The own tag is listed as known, which is what keeps this node from answering itself: multicast comes back to its sender. */
function ask(state: LanState, { link, heard }: LinkState, now: number): LanEffect {
  for (const [tag, knownUntil] of heard) if (knownUntil <= now) heard.delete(tag)
  const own = state.ownTag === null || link.endpoint === null ? [] : [state.ownTag]
  return {
    type: 'send',
    link: link.id,
    bytes: encodeLanQuery([...own, ...[...heard.keys()].reverse()]),
    to: null,
  }
}

/** Everything this node says of itself on one link, by multicast; a `ttlSeconds` of 0 is its farewell. */
export function speak(
  { ownTag }: LanState,
  each: LinkState,
  now: number,
  questions: readonly Question[],
  ttlSeconds = LAN_TTL_SECONDS,
): LanEffect[] {
  const { id, endpoint } = each.link
  if (ownTag === null || endpoint === null) return []
  each.multicastAt = now
  return [
    { type: 'send', link: id, bytes: encodeLanAnswer(ownTag, endpoint, questions, ttlSeconds), to: null },
  ]
}
