import { equalBytes } from '../common/bytes.ts'
import { decodeStatement, signLeave, signRegistration, type VerifiedEntry } from '../registry/entry.ts'
import { compareVersions } from '../registry/merge.ts'
import { statementFormat } from '../registry/wire.ts'
import { carry } from './gossip.ts'
import { ANNOUNCE_INTERVAL_MS, CLONE_ADOPTIONS, CLONE_WINDOW_MS, RENEW_MS } from './limits.ts'
import { emit, ownRegistration, ownRow, send, type Context } from './state.ts'
import { KIND, packRecords } from './wire.ts'

/** Announces now if the last time is long enough ago, else at a tick soon. */
export function announceSoon(ctx: Context): void {
  ctx.state.self.dirty = true
  announceDue(ctx)
}

/** Signs and pushes a new version when something waits or the lease is a third gone. */
export function announceDue(ctx: Context): void {
  const { self } = ctx.state
  const sinceMs = ctx.now - self.announcedAt
  if (self.silenced || self.storing !== null) return
  if ((self.dirty && sinceMs >= ANNOUNCE_INTERVAL_MS) || sinceMs >= RENEW_MS) announce(ctx)
}

/** Signs the next version and tells every neighbour directly; they push it on. */
export function announce(ctx: Context): void {
  const { state, now } = ctx
  const { self } = state
  self.seq++
  self.dirty = false
  self.announcedAt = now
  const registration = ownRegistration(self.signer.publicKey, self, self.seq, self.bootNonce, now)
  tellAll(ctx, 'registration', signRegistration(registration, state.root.meshId, self.signer), false)
}

/** Says farewell: signs and pushes a leave, after which this machine announces no more. */
export function leave(ctx: Context): void {
  const { state, now } = ctx
  const { self } = state
  self.silenced = true
  self.seq++
  const body = { key: self.signer.publicKey, incarnation: self.incarnation, seq: self.seq, issuedAt: now }
  tellAll(ctx, 'leave', signLeave(body, state.root.meshId, self.signer), false)
}

/** Takes renewed credentials and spreads them. */
export function replaceCredentials(ctx: Context, renewed: VerifiedEntry): void {
  const { state } = ctx
  state.self.credentials = renewed.entry.credentials
  state.self.member = renewed.member
  state.table.put(renewed)
  ctx.out.push({ type: 'changed', id: state.self.id })
  const { kind, statement } = ownRow(state).verified.entry
  tellAll(ctx, kind, statement, true)
}

function tellAll(ctx: Context, kind: 'registration' | 'leave', statement: Uint8Array, full: boolean): void {
  const { state } = ctx
  const decoded = decodeStatement(kind, statementFormat.decode(statement).body)
  const entry = { kind, statement, credentials: state.self.credentials }
  state.table.put({ entry, statement: decoded, member: state.self.member })
  ctx.out.push({ type: 'changed', id: state.self.id })
  const [records] = packRecords([carry(ownRow(state), full)], [])
  if (records === undefined) throw new Error('own record packs into no frame')
  for (const link of state.links.values())
    if (link.hello) send(ctx, link.id, { kind: KIND.records, ...records })
}

/**
 * A verified record of this node's own key came from outside. Newer than ours: the disk was rolled back, the clock is
 * behind, or the identity runs twice. We take the next incarnation, on the disk first.
 */
export function receiveOwn(ctx: Context, incoming: VerifiedEntry): void {
  const { state, now } = ctx
  const { self } = state
  const own = ownRow(state).verified
  const order = compareVersions(incoming.statement, { incarnation: self.incarnation, seq: self.seq })
  const same = equalBytes(incoming.entry.statement, own.entry.statement)
  if (order < 0 || same || self.storing !== null || self.silenced) return
  const { statement } = incoming
  const foreign = statement.kind === 'registration' && !equalBytes(statement.bootNonce, self.bootNonce)
  if (foreign) self.adoptions = [...self.adoptions.filter((at) => at > now - CLONE_WINDOW_MS), now]
  if (order === 0) {
    emit(ctx, { kind: 'registry.equivocation', severity: 'alert', peer: self.id, reason: 'equivocation' })
  }
  if (self.adoptions.length >= CLONE_ADOPTIONS) {
    self.silenced = true
    const text = `${self.adoptions.length} records of another process in ten minutes`
    emit(ctx, {
      kind: 'membership.silenced',
      severity: 'alert',
      peer: self.id,
      reason: 'identity-cloned',
      text,
    })
    return
  }
  const incarnation = Math.max(statement.incarnation + 1, now)
  self.storing = incarnation
  ctx.out.push({ type: 'store-incarnation', incarnation })
  emit(ctx, {
    kind: 'membership.incarnation-adopted',
    severity: 'warning',
    peer: self.id,
    reason: 'incarnation-adopted',
    fields: { incarnation },
  })
}

/** The adopted incarnation is on the disk. */
export function incarnationStored(ctx: Context, incarnation: number): void {
  const { self } = ctx.state
  if (self.storing !== incarnation) return
  self.storing = null
  self.incarnation = incarnation
  self.seq = -1 // the announcement makes it 0
  announce(ctx)
}
