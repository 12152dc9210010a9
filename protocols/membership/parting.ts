import { LINKS_ENOUGH, LINKS_LEAST, PART_AFTER_MS, PART_INTERVAL_MS, PART_REPEAT_MS } from './limits.ts'
import { send, type Context, type Link } from './state.ts'
import { KIND } from './wire.ts'

/**
 * Beyond a comfortable number of links, neighbours we have no use for are asked to part; they do unless they want us. A
 * newcomer's first contact thus soon has room for the next one, whoever many come.
 */
export function tickParting(ctx: Context, wanted: () => readonly string[]): void {
  const { state, now } = ctx
  if (state.links.size <= LINKS_ENOUGH || now - state.lastPartAt < PART_INTERVAL_MS) return
  state.lastPartAt = now
  const needed = new Set(wanted())
  let over = state.links.size - LINKS_ENOUGH
  for (const link of state.links.values()) {
    if (over <= 0) break
    const settled = link.hello && now - link.upAt >= PART_AFTER_MS
    if (!settled || needed.has(link.id) || now - link.partAt < PART_REPEAT_MS) continue
    link.partAt = now
    over--
    send(ctx, link.id, { kind: KIND.part })
  }
}

/** A neighbour has no use for this link. True when we have none either, and others to speak to. */
export function parts({ state }: Context, link: Link, wanted: () => readonly string[]): boolean {
  let others = 0
  for (const other of state.links.values())
    if (other.hello && other !== link && other.unansweredSince === null) others++
  return others >= LINKS_LEAST && !wanted().includes(link.id)
}
