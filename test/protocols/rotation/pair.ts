import type { EventInput } from '../../../protocols/common/ports.ts'
import { ROTATION_LIMITS } from '../../../protocols/rotation/limits.ts'
import type { RotationEffect, RotationEvent } from '../../../protocols/rotation/events.ts'
import { step } from '../../../protocols/rotation/machine.ts'
import { answerMs, canRotate, createRotation, type RotationState } from '../../../protocols/rotation/state.ts'
import { nonceText, symbolicCrypto, termOf } from '../../../simulations/channel/symbolic.ts'

/*
 * Two machines with symbolic keys, their writers and readers, and an ordered channel each way: the model the exploration
 * walks. Time is abstract: whatever waits for a time may happen at any moment, and nothing else depends on it.
 */

/** A record on its way. `first` is record number 0 of its epoch. */
export interface Frame {
  readonly type: 'rot' | 'ack' | 'confirm' | 'data'
  readonly epoch: number
  readonly key: string
  readonly first: boolean
  readonly payload: Uint8Array
}

/** One side: its machine, and the part of the record layer the rules speak of. */
export interface Side {
  readonly machine: RotationState
  readonly writeEpoch: number
  readonly writeKey: string
  readonly readEpoch: number
  readonly readKey: string
  readonly expectedEpoch: number
  readonly expectedKey: string
  /** Answers given to each ROT, by term. */
  readonly answers: ReadonlyMap<string, number>
}

/** Both sides, the frames each has sent and the other not read, and what of the budgets is left. */
export interface Pair {
  readonly sides: readonly [Side, Side]
  readonly wires: readonly [readonly Frame[], readonly Frame[]]
  readonly duplicates: number
  readonly swaps: number
  readonly data: number
  /** The connection is lost: nothing new is sent. */
  readonly lost: boolean
}

/** Something no honest pair may see. */
export class Violation extends Error {}

/** A rule of the model changed on purpose, to see that the exploration notices. */
export type Mutation = 'withdraw-unconfirmed' | 'keep-own-and-answer' | 'answer-after-switch' | 'none'

const LATER = 1e9
const NO_BYTES = new Uint8Array(0)
const NAMES = ['a', 'b'] as const
const IDLE = { sentRecords: 0, sentBytes: 0, receivedRecords: 0, receivedBytes: 0 }

/** A fresh connection; side 0 dialled it. */
export function freshPair(budget: { duplicates: number; swaps: number; data: number }): Pair {
  const side = (index: 0 | 1): Side => ({
    machine: createRotation(
      { dialler: index === 0, root: new TextEncoder().encode('root') },
      0,
      symbolicCrypto(NAMES[index]),
    ),
    writeEpoch: 0,
    writeKey: `k${index}`,
    readEpoch: 0,
    readKey: `k${1 - index}`,
    expectedEpoch: -1,
    expectedKey: '',
    answers: new Map(),
  })
  return { sides: [side(0), side(1)], wires: [[], []], ...budget, lost: false }
}

/** Timers that may fire, as abstract time allows any order. */
export type Timer = 'answer' | 'unconfirmed' | 'retry'

/** The state with exactly one of its timers due at time 0. */
function onlyDue(machine: RotationState, timer: Timer): RotationState {
  const { own, next, retryAt, limits } = machine
  return {
    ...machine,
    own: own && { ...own, sentAt: own.sentAt === null ? null : timer === 'answer' ? -answerMs(machine) : 0 },
    next: next && { ...next, since: timer === 'unconfirmed' ? -limits.unconfirmedMs : 0 },
    retryAt: retryAt === null ? null : timer === 'retry' ? 0 : LATER,
  }
}

/** Timers of one side that have something to wait for. */
export function pendingTimers({ own, next, retryAt, ...rest }: RotationState): Timer[] {
  const timers: Timer[] = []
  if (own !== null && own.sentAt !== null) timers.push('answer')
  if (next?.role === 'responder' && !next.stale) timers.push('unconfirmed')
  if (retryAt !== null && canRotate({ own, next, retryAt, ...rest })) timers.push('retry')
  return timers
}

/** Times and figures that no rule of the exploration depends on are made equal. */
function timeless(machine: RotationState): RotationState {
  const { own, next, retryAt } = machine
  return {
    ...machine,
    since: 0,
    softAt: ROTATION_LIMITS.soft.ms,
    hardAt: ROTATION_LIMITS.hard.ms,
    own: own && { ...own, startedAt: 0, sentAt: own.sentAt === null ? null : 0 },
    next: next && { ...next, startedAt: 0, since: 0 },
    retryAt: retryAt === null ? null : LATER,
    failedInRow: Math.min(machine.failedInRow, 1),
    floodCount: 0,
    failures: 0,
  }
}

/** Feeds one event to one side and does what it asks for. @throws Violation */
export function feed(
  pair: Pair,
  index: 0 | 1,
  event: RotationEvent,
  mutation: Mutation = 'none',
  onEvent: (event: EventInput) => void = () => undefined,
): Pair {
  const before = pair.sides[index]
  const answers = event.type === 'rot' ? new Map(before.answers) : before.answers
  const crypto = symbolicCrypto(NAMES[index], answers as Map<string, number>)
  const { own, next } = before.machine
  const keepsOwn = mutation === 'keep-own-and-answer' && event.type === 'rot' && own !== null
  const answersSwitched =
    mutation === 'answer-after-switch' && event.type === 'rot' && next?.role === 'initiator'
  const [stepped, effects] = step(
    { ...before.machine, own: keepsOwn ? null : own, next: answersSwitched ? null : next },
    event,
    0,
    crypto,
  )
  const machine = keepsOwn ? { ...stepped, own } : stepped
  let side: Side = { ...before, answers, machine: timeless(machine) }
  const sent: Frame[] = []
  for (const effect of effects) side = perform(side, effect, sent, onEvent)
  if (mutation === 'withdraw-unconfirmed' && side.machine.next?.stale === true)
    side = { ...side, expectedEpoch: -1, expectedKey: '', machine: { ...side.machine, next: null } }
  checkProgress(before, side)
  const wires = [...pair.wires] as [readonly Frame[], readonly Frame[]]
  if (sent.length > 0 && !pair.lost) wires[index] = [...wires[index], ...sent]
  const sides = index === 0 ? ([side, pair.sides[1]] as const) : ([pair.sides[0], side] as const)
  checkRoots(sides)
  return { ...pair, sides, wires }
}

function perform(
  side: Side,
  effect: RotationEffect,
  sent: Frame[],
  onEvent: (event: EventInput) => void,
): Side {
  switch (effect.type) {
    case 'send':
      sent.push(sealed(side, effect.record, effect.payload))
      return side
    case 'expect':
      if (effect.epoch !== side.readEpoch + 1) throw new Violation(`expects epoch ${effect.epoch}`)
      return { ...side, expectedEpoch: effect.epoch, expectedKey: termOf(effect.key) }
    case 'switch': {
      if (effect.epoch !== side.writeEpoch + 1) throw new Violation(`switches to epoch ${effect.epoch}`)
      const switched = { ...side, writeEpoch: effect.epoch, writeKey: termOf(effect.key) }
      sent.push({ ...sealed(switched, 'confirm', NO_BYTES), first: true })
      return switched
    }
    case 'close':
      throw new Violation(`an honest side closes: ${effect.code}, ${effect.text}`)
    case 'event':
      onEvent(effect.event)
      return side
  }
}

function sealed(side: Side, type: Frame['type'], payload: Uint8Array): Frame {
  return { type, epoch: side.writeEpoch, key: side.writeKey, first: false, payload }
}

/** The other side reads the oldest frame of `from`. @throws Violation when it cannot open it. */
export function deliver(
  pair: Pair,
  from: 0 | 1,
  mutation: Mutation = 'none',
  onEvent?: (event: EventInput) => void,
): Pair {
  const to = (1 - from) as 0 | 1
  const [frame, ...rest] = pair.wires[from]
  if (frame === undefined) throw new Error('nothing to deliver')
  const wires = from === 0 ? ([rest, pair.wires[1]] as const) : ([pair.wires[0], rest] as const)
  let after: Pair = { ...pair, wires }
  const reader = pair.sides[to]
  if (reader.machine.closed) return after
  if (frame.epoch === reader.readEpoch) {
    if (frame.key !== reader.readKey) throw new Violation(`the keys of epoch ${frame.epoch} differ`)
  } else {
    const known = frame.epoch === reader.expectedEpoch && frame.first && frame.type === 'confirm'
    if (!known || frame.key !== reader.expectedKey)
      throw new Violation(
        `${NAMES[to]} cannot open a ${frame.type} under ${frame.key} of epoch ${frame.epoch}: reads ${reader.readEpoch}, expects ${reader.expectedKey}`,
      )
    const promoted = {
      ...reader,
      readEpoch: frame.epoch,
      readKey: frame.key,
      expectedEpoch: -1,
      expectedKey: '',
    }
    after = { ...after, sides: to === 0 ? [promoted, after.sides[1]] : [after.sides[0], promoted] }
    after = feed(after, to, { type: 'promoted', epoch: frame.epoch }, mutation, onEvent)
  }
  if (frame.type === 'rot' || frame.type === 'ack')
    return feed(after, to, { type: frame.type, payload: frame.payload }, mutation, onEvent)
  return after
}

/** A timer of one side fires. */
export function fire(
  pair: Pair,
  index: 0 | 1,
  timer: Timer,
  mutation: Mutation = 'none',
  onEvent?: (event: EventInput) => void,
): Pair {
  const side = { ...pair.sides[index], machine: onlyDue(pair.sides[index].machine, timer) }
  const sides = index === 0 ? ([side, pair.sides[1]] as const) : ([pair.sides[0], side] as const)
  return feed({ ...pair, sides }, index, { type: 'wake' }, mutation, onEvent)
}

/** A person asks one side to rotate. */
export function rotate(
  pair: Pair,
  index: 0 | 1,
  mutation: Mutation = 'none',
  onEvent?: (event: EventInput) => void,
): Pair {
  return feed(pair, index, { type: 'rotate', usage: IDLE }, mutation, onEvent)
}

/** One side sends a data record. */
export function sendData(pair: Pair, index: 0 | 1): Pair {
  const frame = sealed(pair.sides[index], 'data', NO_BYTES)
  const wires = [...pair.wires] as [readonly Frame[], readonly Frame[]]
  wires[index] = [...wires[index], frame]
  return { ...pair, wires, data: pair.data - 1 }
}

function checkProgress(before: Side, after: Side): void {
  if (after.machine.epoch < before.machine.epoch || after.writeEpoch < before.writeEpoch)
    throw new Violation('an epoch goes back')
}

function checkRoots([a, b]: readonly [Side, Side]): void {
  if (Math.abs(a.machine.epoch - b.machine.epoch) > 1) throw new Violation('the epochs drift apart')
  if (a.machine.epoch === b.machine.epoch && termOf(a.machine.root) !== termOf(b.machine.root))
    throw new Violation('the roots of one epoch differ')
}

/** All of a pair that its future depends on, as text. */
export function keyOf(pair: Pair, withBudgets: boolean): string {
  const frame = ({ type, epoch, key, first, payload }: Frame): string =>
    `${type[0]}${epoch}${first ? '!' : ''}${payload.length === 0 ? '' : nonceText(payload.subarray(4, 12))}${key}`
  const side = (s: Side): string => {
    const { own, next, closed, epoch, root, retryAt, failedInRow, attempts, peerAttempt } = s.machine
    return [
      closed ? 'x' : epoch,
      termOf(root),
      own === null ? '' : `${nonceText(own.nonce)}${own.sentAt === null ? '?' : ''}`,
      next === null ? '' : `${next.role[0]}${next.stale ? '~' : ''}${termOf(next.keys.writeKey)}`,
      retryAt === null ? '' : failedInRow,
      attempts,
      peerAttempt,
      s.writeEpoch,
      s.writeKey,
      s.readEpoch,
      s.readKey,
      s.expectedKey,
    ].join(',')
  }
  const { sides, wires, duplicates, swaps, data, lost } = pair
  const all = [side(sides[0]), side(sides[1]), wires[0].map(frame).join(' '), wires[1].map(frame).join(' ')]
  if (withBudgets) all.push(`${duplicates}${swaps}${data}`)
  return `${all.join(';')}${lost ? 'L' : ''}`
}
