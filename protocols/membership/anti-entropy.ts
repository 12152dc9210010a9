import { concat, equalBytes, fromHex, toHex } from '../common/bytes.ts'
import { BUCKETS } from '../registry/limits.ts'
import { bucketOf, rowHash, type TableRow } from '../registry/table.ts'
import { carry } from './gossip.ts'
import { disagreed } from './heal.ts'
import { verdictOf } from './liveness.ts'
import {
  AE_BURST_BYTES,
  AE_BYTES_PER_S,
  AE_INTERVAL_MS,
  AE_ITEMS_MAX,
  AE_SHARED_WANTS_MAX,
  AE_TIMEOUT_MS,
  DIFFER_MS,
} from './limits.ts'
import { digestOf, revocationsHash } from './digest.ts'
import { isChecked } from './restored.ts'
import { revocationsToSend } from './revocations.ts'
import type { Context, Link } from './state.ts'
import {
  frameFormat,
  KIND,
  noRecords,
  packRecords,
  type CarriedEntry,
  type Frame,
  type Records,
} from './wire.ts'

/** Compares a neighbour's digest, fresh from its frame, with ours; starts an exchange when they stay different. */
export function compareDigest(ctx: Context, link: Link, theirs: Uint8Array): void {
  if (equalBytes(theirs, digestOf(ctx.state))) {
    link.differSince = null
    return
  }
  if (link.differSince === null) {
    link.differSince = ctx.now
    link.recheckAt = ctx.now + DIFFER_MS
  } else if (ctx.now - link.differSince >= DIFFER_MS) startExchange(ctx, link)
}

/** Lets the bucket of anti-entropy fill for `elapsedMs`. */
export function refillBudget({ state }: Context, elapsedMs: number): void {
  const earned = (Math.max(0, elapsedMs) * AE_BYTES_PER_S) / 1000
  state.aeTokens = Math.min(AE_BURST_BYTES, state.aeTokens + earned)
}

function sendPaid(ctx: Context, peer: string, frame: Frame): void {
  const bytes = frameFormat.encode(frame)
  ctx.state.aeTokens -= bytes.length
  ctx.out.push({ type: 'send', peer, frame: bytes })
}

/** Sends our sums, at most once a second, and as the budget allows; else it looks again then. */
export function startExchange(ctx: Context, link: Link): void {
  const { state, now } = ctx
  if (now - Math.max(link.lastAeAt, state.lastAeAt) < AE_INTERVAL_MS || state.aeTokens <= 0) {
    link.recheckAt ??= now + AE_INTERVAL_MS
    return
  }
  state.lastAeAt = now
  begin(ctx, link)
  link.begun = true
  sendPaid(ctx, link.id, { kind: KIND.sums, sums: ctx.state.table.sums(), revoked: revocationsHash(state) })
}

function begin(ctx: Context, link: Link): void {
  link.begun = false
  link.lastAeAt = ctx.now
  link.aeUntil = ctx.now + AE_TIMEOUT_MS
  // The next fresh digest decides whether anything is left; `differSince` stays, so it goes on at once.
  link.recheckAt = ctx.now + AE_INTERVAL_MS
}

/** AE1: answers with the contents of buckets that differ, as many as fit one frame. */
export function receiveSums(ctx: Context, link: Link, sums: Uint8Array, revoked: Uint8Array): void {
  const recent = ctx.now - link.lastAeAt < AE_INTERVAL_MS / 2
  // Both began at once: one exchange is enough, the one of the lower id.
  if ((recent && !(link.begun && link.id < ctx.state.self.id)) || ctx.state.aeTokens <= 0) return
  begin(ctx, link)
  const { table } = ctx.state
  const own = table.sums()
  const buckets = new Uint8Array(BUCKETS / 8)
  const items: Uint8Array[] = []
  let differing = 0
  // From anywhere: several neighbours of a newcomer then begin with different parts.
  const [first = 0] = ctx.state.random.bytes(1)
  for (let n = 0; n < BUCKETS; n++) {
    const i = (first + n) % BUCKETS
    if (equalBytes(own.subarray(i * 8, i * 8 + 8), sums.subarray(i * 8, i * 8 + 8))) continue
    const rows = table.bucket(i)
    if (items.length + rows.length > AE_ITEMS_MAX) break
    differing++
    buckets[i >> 3] = (buckets[i >> 3] as number) | (1 << (i & 7))
    for (const row of rows) items.push(concat(row.place.subarray(0, 8), rowHash(row)))
  }
  const told = tellRevocations(ctx, link, revoked)
  if (differing > 0 || told)
    sendPaid(ctx, link.id, { kind: KIND.items, buckets, items, revoked: revocationsHash(ctx.state) })
}

/** AE2: sends what the other lacks or holds differently, and asks for the same. */
export function receiveItems(
  ctx: Context,
  link: Link,
  { buckets, items, revoked }: Extract<Frame, { kind: typeof KIND.items }>,
): void {
  if (ctx.now > link.aeUntil) return
  tellRevocations(ctx, link, revoked)
  const theirs = new Map(items.map((item) => [toHex(item.subarray(0, 8)), item.subarray(8)]))
  const rows: TableRow[] = []
  const wants: Uint8Array[] = []
  /** Members of whom only the verdict differs. */
  let differing = 0
  for (let i = 0; i < BUCKETS; i++) {
    if (((buckets[i >> 3] as number) & (1 << (i & 7))) === 0) continue
    for (const row of ctx.state.table.bucket(i)) {
      const prefix = toHex(row.place.subarray(0, 8))
      const hash = theirs.get(prefix)
      theirs.delete(prefix)
      if (hash !== undefined && equalBytes(hash, rowHash(row))) continue
      rows.push(row)
      if (hash !== undefined && equalBytes(hash, rowHash({ ...row, down: !row.down }))) differing++
      if (hash !== undefined) wants.push(row.place.slice(0, 8))
    }
  }
  // Verdicts also differ while the news of a disaster spreads: only where two sides meet again a partition has ended.
  if (link.reunited) disagreed(ctx, differing)
  for (const prefix of theirs.keys()) wants.push(fromHex(prefix))
  const frames = evidence(ctx, rows)
  // Both lists can fill a frame: only a short list of wants shares one with entries.
  const shared = wants.length <= AE_SHARED_WANTS_MAX ? frames.shift() : undefined
  const first: Records = shared ?? noRecords()
  sendPaid(ctx, link.id, { kind: KIND.difference, ...first, wants: wants.slice(0, AE_ITEMS_MAX) })
  for (const records of frames) sendPaid(ctx, link.id, { kind: KIND.records, ...records })
}

/** Sends our revocations to a neighbour whose set is another. Returns true when it is. */
function tellRevocations(ctx: Context, link: Link, theirs: Uint8Array): boolean {
  if (equalBytes(theirs, revocationsHash(ctx.state))) return false
  for (const records of packRecords([], [], { revocations: revocationsToSend(ctx.state) }))
    sendPaid(ctx, link.id, { kind: KIND.records, ...records })
  return true
}

/** AE3: sends what was asked for. */
export function receiveWants(ctx: Context, link: Link, wants: readonly Uint8Array[]): void {
  if (ctx.now > link.aeUntil || wants.length === 0) return
  link.aeUntil = ctx.now
  const wanted = new Set(wants.map(toHex))
  const asked = new Set(wants.map((prefix) => bucketOf({ place: prefix })))
  const rows = [...asked].flatMap((bucket) => ctx.state.table.bucket(bucket))
  const found = rows.filter((row) => wanted.has(toHex(row.place.subarray(0, 8))))
  for (const records of evidence(ctx, found)) sendPaid(ctx, link.id, { kind: KIND.records, ...records })
}

/** Rows with the accusations that stand against them, within the byte budget of one exchange. */
function evidence(ctx: Context, rows: readonly TableRow[]): Records[] {
  const entries: CarriedEntry[] = []
  // By content: one accusation names several, and may have come by several frames.
  const accusations = new Map<string, Uint8Array>()
  let sizeBytes = 0
  for (const row of rows) {
    if (sizeBytes >= ctx.state.aeTokens) break
    if (!isChecked(ctx, row.id)) continue
    const { statement, credentials } = row.verified.entry
    sizeBytes += statement.length + credentials.length
    entries.push(carry(row, true))
    for (const bytes of verdictOf(ctx.state, row.id).accusers.values()) {
      const name = toHex(bytes)
      if (!accusations.has(name)) sizeBytes += bytes.length
      accusations.set(name, bytes)
    }
  }
  return packRecords(entries, [...accusations.values()])
}
