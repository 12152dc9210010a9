import { describeDuration } from '../common/duration.ts'
import { equalBytes, toHex } from '../common/bytes.ts'
import type { AdmissionCode } from './errors.ts'
import {
  GRACE_MS,
  INVITE_TTL_MAX_MS,
  INVITE_USES_MAX,
  JOIN_SKEW_MS,
  LEDGER_INVITES_MAX,
  LEDGER_RETENTION_MS,
  MEMBER_LIFETIME_MS,
  PENDING_JOINS_MAX,
  PENDING_KEPT_MS,
} from './limits.ts'
import type { MemberRole } from './wire.ts'

/** What an issuer remembers of an invite; the secret is not among it. `expires` in ms. */
export interface InviteRecord {
  readonly inviteId: Uint8Array
  readonly oneTimeKey: Uint8Array
  readonly name: string | null
  readonly roles: readonly MemberRole[]
  readonly tags: readonly string[]
  readonly uses: number
  readonly expires: number
  /** True when each join waits until a person approves it. */
  readonly approve?: boolean
}

/** A join that waits for a person. Kept in memory only: its joiner asks again. */
export interface WaitingJoin {
  readonly inviteId: Uint8Array
  readonly joiner: Uint8Array
  readonly name: string
  /** When it first asked, ms. */
  readonly askedAt: number
  /** When it last asked, ms. */
  readonly seenAt: number
  readonly denied: boolean
}

/** One use of an invite. The certificate is a deterministic function of it, so nothing else is kept. */
export interface Redemption {
  readonly inviteId: Uint8Array
  readonly joiner: Uint8Array
  readonly name: string
  readonly serial: Uint8Array
  readonly nonce: Uint8Array
  readonly issuedAt: number
}

interface Entry {
  readonly record: InviteRecord
  readonly redemptions: Map<string, Redemption>
}

/** All invites of one issuer. Only `step` and `restore` change it. */
export interface InviteLedger {
  readonly invites: Map<string, Entry>
  /** By the joiner's key in hex. */
  readonly pending: Map<string, WaitingJoin>
}

export type LedgerEvent =
  | { readonly type: 'create'; readonly record: InviteRecord }
  | {
      readonly type: 'redeem'
      readonly inviteId: Uint8Array
      readonly joiner: Uint8Array
      readonly name: string
      /** The joiner's clock, ms. */
      readonly time: number
      readonly signedBy: (oneTimeKey: Uint8Array) => boolean
      /** True when a member other than `joiner` has the name. */
      readonly nameTaken: (name: string) => boolean
      /** 16 random bytes each, used when this becomes a new redemption. */
      readonly serial: Uint8Array
      readonly nonce: Uint8Array
    }
  /** A person lets a waiting joiner in, which takes the use; or not. */
  | {
      readonly type: 'approve'
      readonly joiner: Uint8Array
      readonly nameTaken: (name: string) => boolean
      /** 16 random bytes each. */
      readonly serial: Uint8Array
      readonly nonce: Uint8Array
    }
  /** An invite whose only use is given away at once, to a key that is known. */
  | {
      readonly type: 'grant'
      readonly record: InviteRecord
      readonly joiner: Uint8Array
      readonly name: string
      readonly nameTaken: (name: string) => boolean
      /** 16 random bytes each. */
      readonly serial: Uint8Array
      readonly nonce: Uint8Array
    }
  | { readonly type: 'deny'; readonly joiner: Uint8Array }
  | { readonly type: 'sweep' }

export type LedgerEffect =
  /** Must be on the disk before any other effect is acted upon. */
  | { readonly type: 'persist-invite'; readonly record: InviteRecord }
  | { readonly type: 'persist-redemption'; readonly redemption: Redemption }
  | { readonly type: 'forget'; readonly inviteId: Uint8Array; readonly redemptions: readonly Redemption[] }
  | { readonly type: 'created' }
  /** `repeated`: the same joiner asked before; no use was taken. */
  | {
      readonly type: 'admit'
      readonly redemption: Redemption
      readonly record: InviteRecord
      readonly repeated: boolean
    }
  /** A joiner began to wait for approval. */
  | { readonly type: 'pending'; readonly pending: WaitingJoin }
  | { readonly type: 'denied'; readonly pending: WaitingJoin }
  | { readonly type: 'refuse'; readonly code: AdmissionCode; readonly text: string }

/** A ledger from what was persisted; redemptions of unknown invites are ignored. */
export function restoreLedger(
  records: Iterable<InviteRecord>,
  redemptions: Iterable<Redemption>,
): InviteLedger {
  const ledger: InviteLedger = { invites: new Map(), pending: new Map() }
  for (const record of records) ledger.invites.set(toHex(record.inviteId), { record, redemptions: new Map() })
  for (const redemption of redemptions) {
    ledger.invites.get(toHex(redemption.inviteId))?.redemptions.set(toHex(redemption.joiner), redemption)
  }
  return ledger
}

/**
 * The issuer's book: uses are counted here and nowhere else, in one step each, so that any interleaving of joins admits
 * exactly as many keys as the invite has uses. `now` in ms.
 */
export function step(ledger: InviteLedger, event: LedgerEvent, now: number): LedgerEffect[] {
  switch (event.type) {
    case 'create':
      return create(ledger, event.record, now)
    case 'redeem':
      return redeem(ledger, event, now)
    case 'grant':
      return grant(ledger, event, now)
    case 'approve':
      return approve(ledger, event, now)
    case 'deny':
      return deny(ledger, event.joiner, now)
    case 'sweep':
      return sweep(ledger, now)
  }
}

function refuse(code: AdmissionCode, text: string): LedgerEffect[] {
  return [{ type: 'refuse', code, text }]
}

function create(ledger: InviteLedger, record: InviteRecord, now: number): LedgerEffect[] {
  const swept = sweep(ledger, now)
  if (ledger.invites.size >= LEDGER_INVITES_MAX) {
    return [...swept, ...refuse('invite-limit', `${ledger.invites.size} invites are remembered`)]
  }
  const ttlMs = record.expires - now
  if (ttlMs <= 0 || ttlMs > INVITE_TTL_MAX_MS) {
    return [
      ...swept,
      ...refuse('invite-invalid', `an invite cannot live ${ttlMs} ms, the limit is ${INVITE_TTL_MAX_MS}`),
    ]
  }
  if (record.uses < 1 || record.uses > INVITE_USES_MAX || (record.name !== null && record.uses !== 1)) {
    return [...swept, ...refuse('invite-invalid', `${record.uses} uses for ${record.name ?? 'any name'}`)]
  }
  ledger.invites.set(toHex(record.inviteId), { record, redemptions: new Map() })
  return [...swept, { type: 'persist-invite', record }, { type: 'created' }]
}

function redeem(
  ledger: InviteLedger,
  event: Extract<LedgerEvent, { type: 'redeem' }>,
  now: number,
): LedgerEffect[] {
  const entry = ledger.invites.get(toHex(event.inviteId))
  if (entry === undefined) return refuse('invite-unknown', `no invite ${toHex(event.inviteId)} here`)
  const { record, redemptions } = entry
  if (!event.signedBy(record.oneTimeKey)) {
    return refuse('invite-tampered', "the request is not signed by the invite's one-time key")
  }
  const skewMs = event.time - now
  if (Math.abs(skewMs) > JOIN_SKEW_MS)
    return refuse('clock-skew', `the joiner's clock is ${skewMs} ms off the issuer's`)
  const before = redemptions.get(toHex(event.joiner))
  if (before !== undefined) return [{ type: 'admit', redemption: before, record, repeated: true }]
  const obstacle = obstacleTo(ledger, entry, event, now)
  if (obstacle !== null) return obstacle
  if (record.approve === true) return wait(ledger, event, now)
  return admit(entry, event, now)
}

function grant(
  ledger: InviteLedger,
  event: Extract<LedgerEvent, { type: 'grant' }>,
  now: number,
): LedgerEffect[] {
  if (event.nameTaken(event.name) || grantedToOther(ledger, event.name, event.joiner))
    return refuse('node-name-taken', `another member is called ${event.name}`)
  const created = create(ledger, event.record, now)
  const entry = ledger.invites.get(toHex(event.record.inviteId))
  if (entry === undefined) return created
  return [...created, ...admit(entry, event, now)]
}

/** Why this joiner cannot take a use now; null when it can. */
function obstacleTo(
  ledger: InviteLedger,
  { record, redemptions }: Entry,
  event: { joiner: Uint8Array; name: string; nameTaken: (name: string) => boolean },
  now: number,
): LedgerEffect[] | null {
  if (record.expires <= now)
    return refuse('invite-expired', `the invite expired ${describeDuration(now - record.expires)} ago`)
  if (redemptions.size >= record.uses) return refuse('invite-used-up', `all ${record.uses} uses are taken`)
  if (record.name !== null && record.name !== event.name) {
    return refuse('name-not-allowed', `the invite is for ${record.name}, not ${event.name}`)
  }
  if (event.nameTaken(event.name) || grantedToOther(ledger, event.name, event.joiner)) {
    return refuse('node-name-taken', `another member is called ${event.name}`)
  }
  return null
}

function admit(
  { record, redemptions }: Entry,
  event: { joiner: Uint8Array; name: string; serial: Uint8Array; nonce: Uint8Array },
  now: number,
): LedgerEffect[] {
  const { joiner, name, serial, nonce } = event
  const redemption: Redemption = { inviteId: record.inviteId, joiner, name, serial, nonce, issuedAt: now }
  redemptions.set(toHex(joiner), redemption)
  return [
    { type: 'persist-redemption', redemption },
    { type: 'admit', redemption, record, repeated: false },
  ]
}

/** Puts the joiner among those who wait, or tells it that it still does; no use is taken before somebody approves. */
function wait(
  ledger: InviteLedger,
  { inviteId, joiner, name }: { inviteId: Uint8Array; joiner: Uint8Array; name: string },
  now: number,
): LedgerEffect[] {
  forgetPending(ledger, now)
  const id = toHex(joiner)
  const before = ledger.pending.get(id)
  const isKnown = before !== undefined && equalBytes(before.inviteId, inviteId)
  if (isKnown && before.denied) {
    ledger.pending.set(id, { ...before, seenAt: now })
    return refuse('join-denied', `${name} was not approved`)
  }
  if (before === undefined && ledger.pending.size >= PENDING_JOINS_MAX)
    return refuse('approval-limit', `${ledger.pending.size} joins wait for approval`)
  const askedAt = isKnown ? before.askedAt : now
  const pending: WaitingJoin = { inviteId, joiner, name, askedAt, seenAt: now, denied: false }
  ledger.pending.set(id, pending)
  const waits = refuse('join-pending', `${name} waits for approval`)
  return isKnown && before.name === name ? waits : [{ type: 'pending', pending }, ...waits]
}

function approve(
  ledger: InviteLedger,
  event: Extract<LedgerEvent, { type: 'approve' }>,
  now: number,
): LedgerEffect[] {
  forgetPending(ledger, now)
  const pending = ledger.pending.get(toHex(event.joiner))
  const entry = pending === undefined ? undefined : ledger.invites.get(toHex(pending.inviteId))
  if (pending === undefined || entry === undefined)
    return refuse('join-not-pending', `no join of ${toHex(event.joiner)} waits here`)
  const wanted = { ...event, name: pending.name }
  const obstacle = obstacleTo(ledger, entry, wanted, now)
  if (obstacle !== null) return obstacle
  ledger.pending.delete(toHex(event.joiner))
  return admit(entry, wanted, now)
}

function deny(ledger: InviteLedger, joiner: Uint8Array, now: number): LedgerEffect[] {
  forgetPending(ledger, now)
  const pending = ledger.pending.get(toHex(joiner))
  if (pending === undefined) return refuse('join-not-pending', `no join of ${toHex(joiner)} waits here`)
  const denied = { ...pending, denied: true }
  ledger.pending.set(toHex(joiner), denied)
  return [{ type: 'denied', pending: denied }]
}

/** Who waits for approval at `now` (ms), longest first. */
export function waitingJoins(ledger: InviteLedger, now: number): WaitingJoin[] {
  return [...ledger.pending.values()].filter(
    ({ denied, seenAt }) => !denied && now - seenAt < PENDING_KEPT_MS,
  )
}

function forgetPending(ledger: InviteLedger, now: number): void {
  for (const [id, { seenAt }] of ledger.pending)
    if (now - seenAt >= PENDING_KEPT_MS) ledger.pending.delete(id)
}

/** Names granted moments ago are in no member table yet; the book closes that gap. */
function grantedToOther(ledger: InviteLedger, name: string, joiner: Uint8Array): boolean {
  for (const { redemptions } of ledger.invites.values()) {
    for (const redemption of redemptions.values()) {
      if (redemption.name === name && !equalBytes(redemption.joiner, joiner)) return true
    }
  }
  return false
}

function sweep(ledger: InviteLedger, now: number): LedgerEffect[] {
  const effects: LedgerEffect[] = []
  for (const [id, { record, redemptions }] of ledger.invites) {
    if (rememberedUntil(record, redemptions.values()) > now) continue
    ledger.invites.delete(id)
    effects.push({ type: 'forget', inviteId: record.inviteId, redemptions: [...redemptions.values()] })
  }
  return effects
}

/**
 * A name stays taken while the certificate behind it may still be believed: rules such as `peer:laptop` speak of names, and the
 * member table forgets who was away for a day.
 */
function rememberedUntil(record: InviteRecord, redemptions: Iterable<Redemption>): number {
  let until = record.expires + LEDGER_RETENTION_MS
  for (const { issuedAt } of redemptions) until = Math.max(until, issuedAt + MEMBER_LIFETIME_MS + GRACE_MS)
  return until
}
