import { concat, equalBytes, fromHex, toHex } from '../common/bytes.ts'
import { BUCKETS } from '../registry/limits.ts'
import { bucketOf, rowHash, type TableRow } from '../registry/table.ts'
import { carry } from './gossip.ts'
import { verdictOf } from './liveness.ts'
import {
  AE_BYTES_MAX,
  AE_INTERVAL_MS,
  AE_ITEMS_MAX,
  AE_SHARED_WANTS_MAX,
  AE_TIMEOUT_MS,
  DIFFER_MS,
} from './limits.ts'
import { send, type Context, type Link } from './state.ts'
import { KIND, packRecords, type CarriedEntry, type Records } from './wire.ts'

/** Compares a neighbour's digest, fresh from its frame, with ours; starts an exchange when they stay different. */
export function compareDigest(ctx: Context, link: Link, theirs: Uint8Array): void {
  if (equalBytes(theirs, ctx.state.table.digest())) {
    link.differSince = null
    return
  }
  if (link.differSince === null) {
    link.differSince = ctx.now
    link.recheckAt = ctx.now + DIFFER_MS
  } else if (ctx.now - link.differSince >= DIFFER_MS) startExchange(ctx, link)
}

/** Sends our sums, at most once a second per neighbour. */
export function startExchange(ctx: Context, link: Link): void {
  if (ctx.now - link.lastAeAt < AE_INTERVAL_MS) {
    link.recheckAt ??= link.lastAeAt + AE_INTERVAL_MS
    return
  }
  begin(ctx, link)
  send(ctx, link.id, { kind: KIND.sums, sums: ctx.state.table.sums() })
}

function begin(ctx: Context, link: Link): void {
  link.lastAeAt = ctx.now
  link.aeUntil = ctx.now + AE_TIMEOUT_MS
  // The next fresh digest decides whether anything is left; `differSince` stays, so it goes on at once.
  link.recheckAt = ctx.now + AE_INTERVAL_MS
}

/** AE1: answers with the contents of buckets that differ, as many as fit one frame. */
export function receiveSums(ctx: Context, link: Link, sums: Uint8Array): void {
  if (ctx.now - link.lastAeAt < AE_INTERVAL_MS / 2) return // both began at once: one exchange is enough
  begin(ctx, link)
  const { table } = ctx.state
  const own = table.sums()
  const buckets = new Uint8Array(BUCKETS / 8)
  const items: Uint8Array[] = []
  let differing = 0
  for (let i = 0; i < BUCKETS; i++) {
    if (equalBytes(own.subarray(i * 8, i * 8 + 8), sums.subarray(i * 8, i * 8 + 8))) continue
    const rows = table.bucket(i)
    if (items.length + rows.length > AE_ITEMS_MAX) break
    differing++
    buckets[i >> 3] = (buckets[i >> 3] as number) | (1 << (i & 7))
    for (const row of rows) items.push(concat(row.place.subarray(0, 8), rowHash(row)))
  }
  if (differing > 0) send(ctx, link.id, { kind: KIND.items, buckets, items })
}

/** AE2: sends what the other lacks or holds differently, and asks for the same. */
export function receiveItems(
  ctx: Context,
  link: Link,
  buckets: Uint8Array,
  items: readonly Uint8Array[],
): void {
  if (ctx.now > link.aeUntil) return
  const theirs = new Map(items.map((item) => [toHex(item.subarray(0, 8)), item.subarray(8)]))
  const rows: TableRow[] = []
  const wants: Uint8Array[] = []
  for (let i = 0; i < BUCKETS; i++) {
    if (((buckets[i >> 3] as number) & (1 << (i & 7))) === 0) continue
    for (const row of ctx.state.table.bucket(i)) {
      const prefix = toHex(row.place.subarray(0, 8))
      const hash = theirs.get(prefix)
      theirs.delete(prefix)
      if (hash !== undefined && equalBytes(hash, rowHash(row))) continue
      rows.push(row)
      if (hash !== undefined) wants.push(row.place.slice(0, 8))
    }
  }
  for (const prefix of theirs.keys()) wants.push(fromHex(prefix))
  const frames = evidence(ctx, rows)
  // Both lists can fill a frame: only a short list of wants shares one with entries.
  const shared = wants.length <= AE_SHARED_WANTS_MAX ? frames.shift() : undefined
  const first: Records = shared ?? { authorities: [], entries: [], accusations: [] }
  send(ctx, link.id, { kind: KIND.difference, ...first, wants: wants.slice(0, AE_ITEMS_MAX) })
  for (const records of frames) send(ctx, link.id, { kind: KIND.records, ...records })
}

/** AE3: sends what was asked for. */
export function receiveWants(ctx: Context, link: Link, wants: readonly Uint8Array[]): void {
  if (ctx.now > link.aeUntil || wants.length === 0) return
  link.aeUntil = ctx.now
  const wanted = new Set(wants.map(toHex))
  const asked = new Set(wants.map((prefix) => bucketOf({ place: prefix })))
  const rows = [...asked].flatMap((bucket) => ctx.state.table.bucket(bucket))
  const found = rows.filter((row) => wanted.has(toHex(row.place.subarray(0, 8))))
  for (const records of evidence(ctx, found)) send(ctx, link.id, { kind: KIND.records, ...records })
}

/** Rows with the accusations that stand against them, within the byte budget of one exchange. */
function evidence(ctx: Context, rows: readonly TableRow[]): Records[] {
  const entries: CarriedEntry[] = []
  const accusations = new Set<Uint8Array>()
  let sizeBytes = 0
  for (const row of rows) {
    const { statement, credentials } = row.verified.entry
    sizeBytes += statement.length + credentials.length
    if (sizeBytes > AE_BYTES_MAX) break
    entries.push(carry(row, true))
    for (const bytes of verdictOf(ctx.state, row.id).accusers.values()) accusations.add(bytes)
  }
  return packRecords(entries, [...accusations])
}
