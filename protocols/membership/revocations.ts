import { peerIdFromKey } from '../common/peer-id.ts'
import type { Revocation } from '../admission/revocation.ts'
import { emit, forgetMember, send, type Context, type MembershipState } from './state.ts'
import { report } from './report.ts'
import { KIND, packRecords } from './wire.ts'

/**
 * Takes a revocation, stores it, cuts whom it names and tells all neighbours at once, before anything else.
 * `source` null for one made on this node.
 */
export function receiveRevocation(ctx: Context, bytes: Uint8Array, source: string | null): void {
  const { state, now, out } = ctx
  const added = state.revocations?.add(bytes, now)
  const reporter = source ?? state.self.id
  if (added === undefined || added.outcome === 'known') return
  if (added.outcome === 'refused') return report(ctx, reporter, added.code, added.text)
  if (added.outcome === 'full')
    return report(ctx, reporter, 'revocation-limit', `${state.revocations?.size ?? 0} revocations are held`)
  for (const { bytes: old } of added.dropped) out.push({ type: 'delete-revocation', bytes: old })
  out.push({ type: 'store-revocation', bytes })
  for (const link of state.links.values()) {
    if (!link.hello || link.id === source) continue
    for (const records of packRecords([], [], { revocations: [bytes] }))
      send(ctx, link.id, { kind: KIND.records, ...records })
  }
  cut(ctx, added.revocation)
}

/** Ends links to everybody who is revoked by now, and forgets them: none of their records is taken again. */
function cut(ctx: Context, { body }: Revocation): void {
  const { state, out } = ctx
  let named = false
  for (const { id, key, verified } of state.table.rows()) {
    const { member } = verified
    if (state.revoked?.(member) !== true) continue
    named = true
    out.push({ type: 'revoked', key, serial: member.serial })
    emit(ctx, { kind: 'member.revoked', severity: 'warning', peer: id, text: body.reason })
    if (id === state.self.id) {
      state.self.silenced = true
      continue
    }
    forgetMember(ctx, id)
    state.links.delete(id)
    out.push({ type: 'delete-entry', id }, { type: 'changed', id })
    out.push({ type: 'close', peer: id, code: 'revoked', text: body.reason })
  }
  if (body.kind !== 'member') return
  const id = peerIdFromKey(body.key)
  if (state.archive.has(id) && body.serial === null) {
    state.archive.delete(id)
    out.push({ type: 'delete-entry', id })
  }
  if (!named) out.push({ type: 'revoked', key: body.key, serial: body.serial })
}

/** Sends as many revocations as the budget of anti-entropy allows, from a random one on. */
export function revocationsToSend(state: MembershipState): Uint8Array[] {
  const all = state.revocations?.all() ?? []
  const [high = 0, low = 0] = state.random.bytes(2)
  const first = (high * 256 + low) % Math.max(1, all.length)
  const chosen: Uint8Array[] = []
  let sizeBytes = 0
  for (let n = 0; n < all.length && sizeBytes < state.aeTokens; n++) {
    const bytes = all[(first + n) % all.length] as Uint8Array
    sizeBytes += bytes.length
    chosen.push(bytes)
  }
  return chosen
}

/** Forgets revocations that cut nothing any more. */
export function sweepRevocations({ state, now, out }: Context): void {
  for (const { bytes } of state.revocations?.sweep(now) ?? []) out.push({ type: 'delete-revocation', bytes })
}
