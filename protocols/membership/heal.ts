import { peerIdFromKey } from '../common/peer-id.ts'
import { signedMessage, verifyEd25519 } from '../common/signing.ts'
import { SKEW_MS } from '../registry/limits.ts'
import { pushHeal } from './gossip.ts'
import { HEAL_DIFFER_MIN, HEAL_INTERVAL_MS, HEAL_SPREAD_MS, HEALERS_MAX } from './limits.ts'
import { announceSoon } from './own.ts'
import type { Context } from './state.ts'
import { healFormat, signedHealFormat } from './wire.ts'

/**
 * Two neighbours hold so many members differently that a partition must have ended: everybody is asked to say anew that it
 * lives, which is quicker than finding out one by one.
 */
export function disagreed(ctx: Context, members: number): void {
  const { state, now } = ctx
  const { signer } = state.self
  if (members <= HEAL_DIFFER_MIN || now - state.healing.lastAt < HEAL_INTERVAL_MS) return
  const nonce = state.random.bytes(8)
  const body = healFormat.encode({ version: 1, by: signer.publicKey, nonce, issuedAt: now })
  const signature = signer.sign(signedMessage('heal', state.root.meshId, body))
  accept(ctx, signedHealFormat.encode({ body, signature }), null)
}

/**
 * Another member asks everybody to announce anew.
 * @throws MalformedError when it does not decode.
 */
export function receiveHeal(ctx: Context, bytes: Uint8Array, source: string): void {
  const { state, now } = ctx
  const { body, signature } = signedHealFormat.decode(bytes)
  const { by, issuedAt } = healFormat.decode(body)
  const id = peerIdFromKey(by)
  const { healing } = state
  if (id === state.self.id || state.table.get(id) === undefined) return
  if (Math.abs(issuedAt - now) > SKEW_MS || issuedAt <= (healing.dates.get(id) ?? 0)) return
  if (now - healing.lastAt < HEAL_INTERVAL_MS) return
  const verify = state.verify ?? verifyEd25519
  if (!verify(by, signedMessage('heal', state.root.meshId, body), signature)) return
  if (healing.dates.size >= HEALERS_MAX) healing.dates.clear()
  healing.dates.set(id, issuedAt)
  accept(ctx, bytes, source)
}

/** Announces when the time drawn for it has come. */
export function tickHeal(ctx: Context): void {
  const { healing } = ctx.state
  if (healing.announceAt === null || ctx.now < healing.announceAt) return
  healing.announceAt = null
  announceSoon(ctx)
}

function accept(ctx: Context, bytes: Uint8Array, source: string | null): void {
  const { healing, random } = ctx.state
  healing.lastAt = ctx.now
  const [high = 0, low = 0] = random.bytes(2)
  healing.announceAt = ctx.now + Math.floor(((high * 256 + low) * HEAL_SPREAD_MS) / 65_536)
  pushHeal(ctx, bytes, source)
}
