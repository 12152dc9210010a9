import type { RotationCrypto, RotationKeys, RotationOffer } from './crypto.ts'
import { ANSWER_DOUBLINGS_MAX, ROTATION_LIMITS, type RotationLimits } from './limits.ts'
import { bytesOf, recordsOf, type Usage } from './usage.ts'

/** Why a rotation started: a soft limit, a person, another try, or the other side. */
export type StartReason = 'time' | 'records' | 'bytes' | 'manual' | 'retry' | 'peer'

/** A ROT of ours without an answer. */
export interface OwnRotation {
  readonly nonce: Uint8Array
  readonly offer: RotationOffer
  readonly reason: StartReason
  readonly startedAt: number
  /** When the ROT left our buffers; null while it waits there. */
  readonly sentAt: number | null
}

/** Keys of the next epoch, not in use in both directions yet. */
export interface NextKeys {
  /** `initiator`: we switched, the other side has not yet. `responder`: we answered, the other side has not switched yet. */
  readonly role: 'initiator' | 'responder'
  readonly keys: RotationKeys
  readonly nonce: Uint8Array
  /** The ACK we answered with, for a repeated ROT; empty for the initiator. */
  readonly ack: Uint8Array
  readonly reason: StartReason
  readonly startedAt: number
  /** When the keys were derived. */
  readonly since: number
  /** Responder only: waited too long for the other side to switch. The key stays accepted all the same. */
  readonly stale: boolean
}

/** State of one connection's key rotation on one side. Times in ms of the clock given to `step`. */
export interface RotationState {
  readonly limits: RotationLimits
  /** True on the side that dialled the connection: it starts rotations and wins when both start. */
  readonly dialler: boolean
  readonly closed: boolean
  /** Epoch both directions have reached here. */
  readonly epoch: number
  /** Pre-shared key of the next rotation; committed only when a record of its epoch verified. */
  readonly root: Uint8Array
  /** When the keys of `epoch` were derived. */
  readonly since: number
  readonly softAt: number
  readonly softRecords: number
  readonly softBytes: number
  readonly hardAt: number
  readonly own: OwnRotation | null
  readonly next: NextKeys | null
  /** Set after a failure of ours: when to try again. */
  readonly retryAt: number | null
  readonly failedInRow: number
  /** ROTs we sent in this connection. */
  readonly attempts: number
  /** Highest attempt seen from the other side. */
  readonly peerAttempt: number
  /** ROTs answered since `floodSince`. */
  readonly floodCount: number
  readonly floodSince: number
  /** Most bytes one of the current keys had served when that was last told. */
  readonly bytes: number
  readonly rotatedAt: number | null
  readonly lastRotAt: number | null
  readonly lastAckAt: number | null
  readonly failures: number
}

/** What people see of it. */
export interface RotationView {
  /** Epoch of records this side sends now. */
  readonly epoch: number
  /** `active`: nothing under way. `rotating`: ROT made, not yet sent. `handshaking`: ROT or ACK sent. `failed`: waits to retry. */
  readonly state: 'active' | 'rotating' | 'handshaking' | 'failed' | 'closed'
  readonly rotatedAt: number | null
  readonly lastRotAt: number | null
  readonly lastAckAt: number | null
  /** Rotations of this connection that failed. */
  readonly failures: number
}

/** State of a fresh connection: epoch 0, with the root its handshake gave (it becomes the machine's to zero). */
export function createRotation(
  init: { readonly dialler: boolean; readonly root: Uint8Array; readonly limits?: RotationLimits },
  now: number,
  crypto: Pick<RotationCrypto, 'random'>,
): RotationState {
  const limits = init.limits ?? ROTATION_LIMITS
  return {
    limits,
    dialler: init.dialler,
    closed: false,
    epoch: 0,
    root: init.root,
    ...thresholds(limits, init.dialler, now, crypto),
    own: null,
    next: null,
    retryAt: null,
    failedInRow: 0,
    attempts: 0,
    peerAttempt: 0,
    floodCount: 0,
    floodSince: now,
    bytes: 0,
    rotatedAt: null,
    lastRotAt: null,
    lastAckAt: null,
    failures: 0,
  }
}

/** Limits of keys derived at `since`, with this epoch's jitter. */
export function thresholds(
  { soft, hard, jitter, listenerFactor }: RotationLimits,
  dialler: boolean,
  since: number,
  { random }: Pick<RotationCrypto, 'random'>,
): Pick<RotationState, 'since' | 'softAt' | 'softRecords' | 'softBytes' | 'hardAt'> {
  const bytes = random.bytes(4)
  const fraction = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
  const factor = (1 - jitter * fraction) * (dialler ? 1 : listenerFactor)
  return {
    since,
    softAt: since + soft.ms * factor,
    softRecords: soft.records * factor,
    softBytes: soft.bytes * factor,
    hardAt: since + hard.ms,
  }
}

/** The first hard limit reached, or null. */
export function hardLimit(
  state: RotationState,
  usage: Usage,
  now: number,
): 'time' | 'records' | 'bytes' | null {
  if (now >= state.hardAt) return 'time'
  if (recordsOf(usage) >= state.limits.hard.records) return 'records'
  return bytesOf(usage) >= state.limits.hard.bytes ? 'bytes' : null
}

/** The first soft limit reached, or null. */
export function softLimit(
  state: RotationState,
  usage: Usage,
  now: number,
): 'time' | 'records' | 'bytes' | null {
  if (now >= state.softAt) return 'time'
  if (recordsOf(usage) >= state.softRecords) return 'records'
  return bytesOf(usage) >= state.softBytes ? 'bytes' : null
}

/** True when a rotation may start: none is under way, and keys that wait for the other side have waited long enough. */
export function canRotate({ closed, own, next }: RotationState): boolean {
  return !closed && own === null && (next === null || (next.role === 'responder' && next.stale))
}

/**
 * The check made at each record, without an allocation: true when `step` with a `use` event would start a rotation or close
 * the connection.
 */
export function due(state: RotationState, usage: Usage, now: number): boolean {
  if (state.closed) return false
  if (hardLimit(state, usage, now) !== null) return true
  return softLimit(state, usage, now) !== null && state.retryAt === null && canRotate(state)
}

/** How long the current ROT may go unanswered. */
export function answerMs({ limits, failedInRow }: RotationState): number {
  return limits.answerMs * 2 ** Math.min(failedInRow, ANSWER_DOUBLINGS_MAX)
}

/** When the next `wake` event is wanted; null when nothing waits for a time. Ask again after each step. */
export function nextWakeAt(state: RotationState): number | null {
  if (state.closed) return null
  const times: number[] = []
  if (state.own !== null && state.own.sentAt !== null) times.push(state.own.sentAt + answerMs(state))
  if (state.next?.role === 'responder' && !state.next.stale)
    times.push(state.next.since + state.limits.unconfirmedMs)
  if (state.retryAt !== null && canRotate(state)) times.push(state.retryAt)
  return times.length === 0 ? null : Math.min(...times)
}

/** What a key view shows. */
export function rotationView(state: RotationState): RotationView {
  const { rotatedAt, lastRotAt, lastAckAt, failures } = state
  const epoch = state.next?.role === 'initiator' ? state.epoch + 1 : state.epoch
  return { epoch, state: phaseOf(state), rotatedAt, lastRotAt, lastAckAt, failures }
}

function phaseOf(state: RotationState): RotationView['state'] {
  if (state.closed) return 'closed'
  if (state.own !== null) return state.own.sentAt === null ? 'rotating' : 'handshaking'
  if (state.next !== null && !state.next.stale) return 'handshaking'
  return state.retryAt === null ? 'active' : 'failed'
}
