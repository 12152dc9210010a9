import { equalBytes } from '../common/bytes.ts'
import { KithError } from '../common/errors.ts'
import type { EventInput } from '../common/ports.ts'
import type { RotationCrypto } from './crypto.ts'
import { RotationError, type RotationReason } from './errors.ts'
import type { RotationEffect, RotationEvent, RotationStep } from './events.ts'
import { forgotten, replaceNext } from './keys.ts'
import { EPOCH_MAX } from './limits.ts'
import { done, failed, glare, started, type Figures } from './reports.ts'
import {
  answerMs,
  canRotate,
  hardLimit,
  softLimit,
  thresholds,
  type RotationState,
  type StartReason,
} from './state.ts'
import { bytesOf, type Usage } from './usage.ts'
import { attemptOf, decodeRotation, encodeRotation, rotationNonce, type RotationMessage } from './wire.ts'

/**
 * One step of the rotation machine. Pure but for `crypto`, whose offers hold ephemeral secrets and are used up. The rules
 * stand in the README, one for each case.
 */
export function step(
  state: RotationState,
  event: RotationEvent,
  now: number,
  crypto: RotationCrypto,
): RotationStep {
  if (state.closed) return [state, []]
  // A ROT or ACK is a record too: none leaves, and none is read, under a key that has served out.
  const isUse = event.type !== 'closed' && event.type !== 'sent'
  if (isUse && now >= state.hardAt) return closeHard(state, 'time', now, crypto)
  try {
    switch (event.type) {
      case 'use':
        return onUse(state, event.usage, now, crypto)
      case 'rotate':
        return canRotate(state)
          ? start({ ...state, retryAt: null, bytes: bytesOf(event.usage) }, 'manual', now, crypto)
          : [state, []]
      case 'sent':
        return [state.own === null ? state : { ...state, own: { ...state.own, sentAt: now } }, []]
      case 'rot':
        return onRot(state, decodeRotation('rot', event.payload), now, crypto)
      case 'ack':
        return onAck(state, decodeRotation('ack', event.payload), now, crypto)
      case 'promoted':
        return onPromoted(state, event.epoch, now, crypto)
      case 'wake':
        return onWake(state, now, crypto)
      case 'closed':
        return onClosed(state, now, crypto)
    }
  } catch (error) {
    if (!(error instanceof KithError)) throw error
    const code = error instanceof RotationError ? error.code : 'rotation-protocol-error'
    return close(state, code, error.message, now, crypto)
  }
}

function onUse(state: RotationState, usage: Usage, now: number, crypto: RotationCrypto): RotationStep {
  const told = { ...state, bytes: bytesOf(usage) }
  const hard = hardLimit(state, usage, now)
  if (hard !== null) return closeHard(told, hard, now, crypto)
  const soft = softLimit(state, usage, now)
  if (soft === null || state.retryAt !== null || !canRotate(state)) return [told, []]
  return start(told, soft, now, crypto)
}

function start(state: RotationState, reason: StartReason, now: number, crypto: RotationCrypto): RotationStep {
  if (state.epoch >= EPOCH_MAX)
    return close(state, 'rotation-epoch-limit', `Epoch ${state.epoch} is the last one`, now, crypto)
  const epoch = state.epoch + 1
  const attempts = state.attempts + 1
  const nonce = rotationNonce(attempts, crypto.random.bytes(4))
  const offer = crypto.initiate(state.root, epoch, nonce)
  const payload = encodeRotation('rot', { epoch, nonce, noise: offer.message })
  const own = { nonce, offer, reason, startedAt: now, sentAt: null }
  const figures = { epoch, reason, bytes: state.bytes, ms: 0 }
  return [
    { ...state, own, attempts, lastRotAt: now },
    [report(started(figures)), { type: 'send', record: 'rot', payload }],
  ]
}

function onRot(
  state: RotationState,
  rot: RotationMessage,
  now: number,
  crypto: RotationCrypto,
): RotationStep {
  const { own, next } = state
  checkEpoch(state, 'ROT', rot)
  // A repeat: the same answer, whatever happened since.
  if (next?.role === 'responder' && equalBytes(next.nonce, rot.nonce))
    return [state, [{ type: 'send', record: 'ack', payload: next.ack }]]
  // Overtaken by a newer attempt of the same side.
  if (attemptOf(rot.nonce) <= state.peerAttempt) return [state, []]
  const seen = { ...state, peerAttempt: attemptOf(rot.nonce) }
  const figures = figuresOf(state, now)
  // We have switched: our first record of the new epoch will make the other side drop its ROT.
  if (next?.role === 'initiator') return [seen, [report(glare(true, figures))]]
  if (own !== null && state.dialler) return [seen, [report(glare(true, figures))]]
  own?.offer.drop()
  const lost = own === null ? [] : [report(glare(false, figures))]
  const counted = countRot({ ...seen, own: null }, now)
  const { message, keys } = crypto.respond(state.root, rot.epoch, rot.nonce, rot.noise)
  const ack = encodeRotation('ack', { epoch: rot.epoch, nonce: rot.nonce, noise: message })
  const start = { epoch: rot.epoch, reason: 'peer', bytes: state.bytes, ms: 0 } as const
  const answered = {
    ...replaceNext(counted, crypto, {
      role: 'responder',
      keys,
      nonce: rot.nonce,
      ack,
      reason: 'peer',
      startedAt: now,
      since: now,
      stale: false,
    }),
    lastRotAt: now,
    lastAckAt: now,
  }
  return [
    answered,
    [
      ...lost,
      report(started(start)),
      { type: 'expect', epoch: rot.epoch, key: keys.readKey },
      { type: 'send', record: 'ack', payload: ack },
    ],
  ]
}

function onAck(
  state: RotationState,
  ack: RotationMessage,
  now: number,
  crypto: RotationCrypto,
): RotationStep {
  const { own } = state
  checkEpoch(state, 'ACK', ack)
  // Late: we gave that attempt up, or lost it in glare.
  if (own === null || !equalBytes(own.nonce, ack.nonce)) return [state, []]
  const keys = own.offer.finish(ack.noise)
  const { nonce, reason, startedAt } = own
  const switched = replaceNext({ ...state, own: null, lastAckAt: now }, crypto, {
    role: 'initiator',
    keys,
    nonce,
    ack: new Uint8Array(0),
    reason,
    startedAt,
    since: now,
    stale: false,
  })
  return [
    switched,
    [
      { type: 'expect', epoch: ack.epoch, key: keys.readKey },
      { type: 'switch', epoch: ack.epoch, key: keys.writeKey },
    ],
  ]
}

function onPromoted(state: RotationState, epoch: number, now: number, crypto: RotationCrypto): RotationStep {
  const { own, next } = state
  if (next === null || epoch !== state.epoch + 1) throw new Error(`epoch ${epoch} was not expected`)
  // The other side switched before it saw our ROT, and will ignore it.
  own?.offer.drop()
  const figures = { epoch, reason: next.reason, bytes: state.bytes, ms: now - next.startedAt }
  const effects: RotationEffect[] = own === null ? [] : [report(glare(false, figuresOf(state, now)))]
  if (next.role === 'responder') effects.push({ type: 'switch', epoch, key: next.keys.writeKey })
  effects.push(report(done(figures)))
  crypto.forget(state.root)
  const committed = {
    ...state,
    ...thresholds(state.limits, state.dialler, next.since, crypto),
    epoch,
    root: next.keys.root,
    own: null,
    next: null,
    retryAt: null,
    failedInRow: 0,
    bytes: 0,
    rotatedAt: now,
  }
  return [committed, effects]
}

function onWake(state: RotationState, now: number, crypto: RotationCrypto): RotationStep {
  let current = state
  const effects: RotationEffect[] = []
  const { own, next, limits } = state
  if (own !== null && own.sentAt !== null && now >= own.sentAt + answerMs(state)) {
    own.offer.drop()
    const wait = limits.retryMs[Math.min(current.failedInRow, limits.retryMs.length - 1)] ?? 0
    const text = `No answer to a key rotation within ${Math.round(answerMs(state) / 1000)} s`
    effects.push(report(failed('rotation-timeout', text, figuresOf(state, now))))
    current = {
      ...current,
      own: null,
      retryAt: now + wait,
      failedInRow: current.failedInRow + 1,
      failures: current.failures + 1,
    }
  }
  if (next?.role === 'responder' && !next.stale && now >= next.since + limits.unconfirmedMs) {
    const figures = { ...figuresOf(state, now), reason: next.reason, ms: now - next.startedAt }
    const text = `The other side did not take the keys of epoch ${figures.epoch} into use yet`
    effects.push(report(failed('rotation-unconfirmed', text, figures)))
    current = { ...current, next: { ...next, stale: true }, failures: current.failures + 1 }
  }
  if (current.retryAt === null || now < current.retryAt || !canRotate(current)) return [current, effects]
  const [retried, more] = start({ ...current, retryAt: null }, 'retry', now, crypto)
  return [retried, [...effects, ...more]]
}

function onClosed(state: RotationState, now: number, crypto: RotationCrypto): RotationStep {
  const underWay = state.own !== null || (state.next !== null && !state.next.stale)
  const text = 'The connection ended during a key rotation'
  const event = failed('rotation-interrupted', text, figuresOf(state, now))
  return [forgotten(state, crypto), underWay ? [report(event)] : []]
}

function closeHard(state: RotationState, limit: string, now: number, crypto: RotationCrypto): RotationStep {
  return close(state, 'rotation-hard-limit', `The keys reached their hard limit (${limit})`, now, crypto)
}

function close(
  state: RotationState,
  code: RotationReason,
  text: string,
  now: number,
  crypto: RotationCrypto,
): RotationStep {
  const event = failed(code, text, figuresOf(state, now))
  return [forgotten(state, crypto), [report(event), { type: 'close', code, text }]]
}

function checkEpoch(state: RotationState, name: string, { epoch }: RotationMessage): void {
  if (epoch === state.epoch + 1) return
  const text = `${name} for epoch ${epoch}, expected ${state.epoch + 1}`
  throw new RotationError('rotation-protocol-error', text)
}

/** Each answer costs a KEM and four DH operations. */
function countRot(state: RotationState, now: number): RotationState {
  const isNew = now - state.floodSince >= 60_000
  const floodCount = isNew ? 1 : state.floodCount + 1
  if (floodCount > state.limits.rotsPerMinute)
    throw new RotationError('rotation-flood', `More than ${state.limits.rotsPerMinute} ROTs in a minute`)
  return { ...state, floodCount, floodSince: isNew ? now : state.floodSince }
}

function figuresOf(state: RotationState, now: number): Figures {
  const under = state.own ?? state.next
  return {
    epoch: state.epoch + 1,
    reason: under?.reason ?? 'none',
    bytes: state.bytes,
    ms: under === null ? 0 : now - under.startedAt,
  }
}

function report(event: EventInput): RotationEffect {
  return { type: 'event', event }
}
