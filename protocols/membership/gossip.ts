import { toHex } from '../common/bytes.ts'
import { sha256 } from '../common/signing.ts'
import type { TableRow } from '../registry/table.ts'
import { GOSSIP_BYTES_PER_TICK, GOSSIP_FANOUT, GOSSIP_QUEUE_MAX } from './limits.ts'
import { send, type Context, type GossipItem, type Link } from './state.ts'
import { KIND, packRecords, type CarriedEntry } from './wire.ts'

/** Queues a member's entry for pushing. `full`: with credentials, for those who never saw the member. */
export function pushEntry(ctx: Context, id: string, full: boolean, source: string | null): void {
  const key = `e${id}`
  const queued = ctx.state.gossip.get(key)
  enqueue(ctx, key, { type: 'entry', id, full: full || (queued?.type === 'entry' && queued.full), source })
}

/** Queues an accusation for pushing; `source` null for an own one. */
export function pushAccusation(ctx: Context, bytes: Uint8Array, source: string | null): void {
  enqueue(ctx, `a${toHex(sha256(bytes))}`, {
    type: 'notice',
    field: 'accusations',
    bytes,
    source,
    own: source === null,
  })
}

/** Queues a request to announce anew; `source` null for an own one. */
export function pushHeal(ctx: Context, bytes: Uint8Array, source: string | null): void {
  enqueue(ctx, `h${toHex(sha256(bytes))}`, {
    type: 'notice',
    field: 'heals',
    bytes,
    source,
    own: source === null,
  })
}

function enqueue(ctx: Context, key: string, item: GossipItem): void {
  const { state } = ctx
  state.gossip.delete(key)
  if (state.gossip.size >= GOSSIP_QUEUE_MAX) {
    for (const [oldest, waiting] of state.gossip) {
      if (waiting.type === 'notice' && waiting.own) continue
      state.gossip.delete(oldest)
      state.gossipDropped++
      break
    }
  }
  state.gossip.set(key, item)
}

/** How a row travels. */
export function carry(row: TableRow, full: boolean): CarriedEntry {
  const { kind, statement, credentials } = row.verified.entry
  return { kind, statement, credentials: full ? credentials : null, down: row.down }
}

/** Sends what the token bucket allows to a few random neighbours, each item once. */
export function flushGossip(ctx: Context): void {
  const { state } = ctx
  state.gossipTokens = Math.min(state.gossipTokens + GOSSIP_BYTES_PER_TICK, GOSSIP_BYTES_PER_TICK)
  if (state.gossip.size === 0) return
  const targets = pick(
    ctx,
    [...state.links.values()].filter((link) => link.hello),
    GOSSIP_FANOUT,
  )
  if (targets.length === 0) return state.gossip.clear() // nobody to tell; whoever links later gets it by anti-entropy
  const batch = takeBatch(ctx)
  for (const target of targets) {
    const entries: CarriedEntry[] = []
    const notices = { accusations: [] as Uint8Array[], heals: [] as Uint8Array[] }
    for (const item of batch) {
      if (item.source === target.id) continue
      if (item.type === 'notice') notices[item.field].push(item.bytes)
      else if (item.id !== target.id) {
        const row = state.table.get(item.id)
        if (row !== undefined) entries.push(carry(row, item.full))
      }
    }
    for (const records of packRecords(entries, notices.accusations, { heals: notices.heals }))
      send(ctx, target.id, { kind: KIND.records, ...records })
  }
}

function takeBatch(ctx: Context): GossipItem[] {
  const { state } = ctx
  const batch: GossipItem[] = []
  const ordered = [...state.gossip].sort(([, a], [, b]) => Number(isOwn(b)) - Number(isOwn(a)))
  for (const [key, item] of ordered) {
    if (state.gossipTokens <= 0) break
    state.gossip.delete(key)
    batch.push(item)
    state.gossipTokens -= sizeOf(ctx, item)
  }
  return batch
}

function isOwn(item: GossipItem): boolean {
  return item.type === 'notice' && item.own
}

function sizeOf(ctx: Context, item: GossipItem): number {
  if (item.type === 'notice') return item.bytes.length
  const entry = ctx.state.table.get(item.id)?.verified.entry
  if (entry === undefined) return 0
  return entry.statement.length + (item.full ? entry.credentials.length : 0)
}

/** `count` of `links` at random, by a partial Fisher-Yates shuffle over injected randomness. */
function pick(ctx: Context, links: Link[], count: number): Link[] {
  const chosen = Math.min(count, links.length)
  const random = ctx.state.random.bytes(chosen * 2)
  for (let i = 0; i < chosen; i++) {
    const value = ((random[i * 2] as number) << 8) | (random[i * 2 + 1] as number)
    const j = i + (value % (links.length - i))
    const swap = links[i] as Link
    links[i] = links[j] as Link
    links[j] = swap
  }
  return links.slice(0, chosen)
}
