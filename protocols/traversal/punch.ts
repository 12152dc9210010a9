import { equalBytes } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { chooseEndpoints } from './endpoint-rule.ts'
import { isEndpoint, isV6, plainEndpoint, type Endpoint } from './endpoint.ts'
import type { TraversalCode } from './errors.ts'
import { certainPath } from './expected-path.ts'
import {
  ATTEMPT_MS,
  CONNECTS_MAX,
  ENDPOINTS_MAX,
  EXCHANGE_MS,
  PUNCH_MS,
  PUNCH_VERSION,
  RTT_MS_MAX,
} from './limits.ts'
import type { PartialStanding } from './nat.ts'
import type { PunchEffect, PunchEvent } from './punch-events.ts'
import {
  closeOthers,
  connectDue,
  nominateDue,
  onAccepted,
  onConnected,
  onGone,
  readNomination,
  report,
} from './punch-sockets.ts'
import {
  emptyPunch,
  type ImpossibleCode,
  type PunchOptions,
  type PunchStart,
  type PunchState,
} from './punch-state.ts'
import {
  encodeNomination,
  PUNCH_KIND,
  punchFormat,
  type Answer,
  type Offer,
  type PunchMessage,
} from './wire.ts'

const NOT_TRIED = 'Not tried: it cannot work'

/** Begins an attempt as initiator. Where physics allows none, it has ended with these effects. */
export function startPunch(options: PunchOptions, now: number): PunchStart {
  const state = emptyPunch(options, 'initiator', now)
  state.impossible = impossibleCode(options.standing, options.peerStanding)
  if (state.impossible !== null && !options.hasV6)
    return [state, fail(state, state.impossible, NOT_TRIED, false)]
  return [state, [{ type: 'reflect' }]]
}

/** Begins an attempt as responder to an OFFER that `admitOffer` let in. */
export function answerPunch(options: PunchOptions, offer: Offer, now: number): PunchStart {
  const state = emptyPunch(options, 'responder', now)
  const refused = takeOffer(state, offer, now)
  return [state, refused ?? [{ type: 'reflect' }]]
}

/**
 * One step of an attempt. Ends by `state.deadline` whatever happens, given `wake` at each `nextWakeAt`, and then holds at most
 * the one socket that `done` names. `now` in ms of a clock that never goes back, `random` in [0, 1).
 */
export function step(state: PunchState, event: PunchEvent, now: number, random: () => number): PunchEffect[] {
  if (state.phase === 'ended') {
    const isLate = event.type === 'accepted' && event.socket !== state.kept
    return isLate ? [{ type: 'close', socket: event.socket }] : []
  }
  if (now >= state.deadline) return [...refuseAccepted(event), ...timeout(state)]
  switch (event.type) {
    case 'reflected':
      return onReflected(state, event.endpoints, now)
    case 'reflect-failed':
      return state.phase === 'reflecting' ? fail(state, 'reflector-unreachable', event.text) : []
    case 'frame':
      return onFrame(state, event.bytes, now)
    case 'exchange-closed':
      return state.phase === 'punching' || state.phase === 'pacing'
        ? []
        : fail(state, 'exchange-lost', 'The relayed stream ended', false)
    case 'wake':
      return onWake(state, now)
    case 'cancel':
      return fail(state, 'punch-cancelled', 'No longer wanted')
    case 'listen-failed':
      state.isListening = false
      return []
    default:
      return onSocket(state, event, now, random)
  }
}

function refuseAccepted(event: PunchEvent): PunchEffect[] {
  return event.type === 'accepted' ? [{ type: 'close', socket: event.socket }] : []
}

/** Sockets count only while punching; one accepted before is a stranger's. */
function onSocket(
  state: PunchState,
  event: Extract<PunchEvent, { socket: string }>,
  now: number,
  random: () => number,
): PunchEffect[] {
  if (state.phase !== 'punching') return refuseAccepted(event)
  switch (event.type) {
    case 'connected':
      return onConnected(state, event.socket, now)
    case 'connect-failed':
    case 'closed':
      return onGone(state, event.socket, now, random)
    case 'accepted':
      return onAccepted(state, event, now)
    case 'received': {
      const { isRight, effects } = readNomination(state, event, now)
      return isRight ? succeed(state, event.socket) : effects
    }
  }
}

function onReflected(state: PunchState, endpoints: readonly Endpoint[], now: number): PunchEffect[] {
  if (state.phase !== 'reflecting') return []
  // A reflector may say anything.
  const own = endpoints.map(plainEndpoint).filter(isEndpoint)
  if (own.length === 0) return fail(state, 'reflector-unreachable', 'No reflector named an endpoint')
  state.own = own.slice(0, ENDPOINTS_MAX)
  // The address that would have made it possible is gone.
  if (state.impossible !== null && !own.some(({ ip }) => isV6(ip)))
    return fail(state, state.impossible, NOT_TRIED)
  return state.role === 'initiator' ? sendOffer(state, now) : sendAnswer(state, now)
}

function sendOffer(state: PunchState, now: number): PunchEffect[] {
  const { standing } = state.options
  enter(state, 'offered', now + EXCHANGE_MS)
  state.offeredAt = now
  return [send(state, { kind: PUNCH_KIND.offer, version: PUNCH_VERSION, ...half(state), standing })]
}

function sendAnswer(state: PunchState, now: number): PunchEffect[] {
  const { standing } = state.options
  const readyMs = Math.min(ATTEMPT_MS, Math.max(0, Math.round(now - state.offeredAt)))
  enter(state, 'answered', now + EXCHANGE_MS)
  return [send(state, { kind: PUNCH_KIND.answer, version: PUNCH_VERSION, ...half(state), standing, readyMs })]
}

function half({ nonce, own }: PunchState): {
  nonce: Uint8Array
  endpoints: { ip: Uint8Array; port: number }[]
} {
  return { nonce, endpoints: own.map(({ ip, port }) => ({ ip, port })) }
}

function onFrame(state: PunchState, bytes: Uint8Array, now: number): PunchEffect[] {
  let message: PunchMessage
  try {
    message = punchFormat.decode(bytes)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    return fail(state, 'exchange-malformed', error.message)
  }
  if (message.kind === PUNCH_KIND.offer) return onOffer(state, message, now)
  // Of an attempt that was given up.
  if (!equalBytes(message.nonce, state.nonce)) return []
  switch (message.kind) {
    case PUNCH_KIND.answer:
      return onAnswer(state, message, now)
    case PUNCH_KIND.go:
      return state.phase === 'answered' ? punch(state, now) : []
    case PUNCH_KIND.failed: {
      const isImpossible = message.code === 'port-unknown' || message.code === 'both-ports-unknown'
      const reason = isImpossible ? (message.code as TraversalCode) : 'peer-refused'
      return fail(state, reason, `The other node ended it: ${message.code}`, false)
    }
  }
}

/** Both offer at once: the lower peer id stays initiator. Whose own OFFER has not left yet always gives way. */
function onOffer(state: PunchState, offer: Offer, now: number): PunchEffect[] {
  const { ownId, peerId } = state.options
  const isEarly = state.phase === 'reflecting'
  if (state.role === 'responder' || (!isEarly && state.phase !== 'offered')) return []
  if (!isEarly && ownId < peerId) return []
  state.role = 'responder'
  const refused = takeOffer(state, offer, now)
  return refused ?? (isEarly ? [] : sendAnswer(state, now))
}

/** Makes the OFFER the one that counts; effects when nothing can come of it. */
function takeOffer(state: PunchState, offer: Offer, now: number): PunchEffect[] | null {
  state.nonce = offer.nonce
  state.offeredAt = now
  return takeHalf(state, offer)
}

function takeHalf(state: PunchState, { endpoints, standing }: Offer | Answer): PunchEffect[] | null {
  const { hasV6, vouched } = state.options
  state.impossible = impossibleCode(state.options.standing, standing)
  const { dialled, refused } = chooseEndpoints(endpoints, state.own, vouched)
  const meetsOverV6 = hasV6 && (state.own.length === 0 || state.own.some(({ ip }) => isV6(ip)))
  const named = state.impossible === null ? dialled : dialled.filter(({ ip }) => meetsOverV6 && isV6(ip))
  if (named.length === 0 && state.impossible !== null) return fail(state, state.impossible, NOT_TRIED)
  if (named.length === 0)
    return fail(state, 'no-endpoint', refused[0] === undefined ? 'None named' : `First: ${refused[0].code}`)
  state.named = named
  return null
}

function onAnswer(state: PunchState, answer: Answer, now: number): PunchEffect[] {
  if (state.role !== 'initiator' || state.phase !== 'offered') return []
  const refused = takeHalf(state, answer)
  if (refused !== null) return refused
  state.rttMs = Math.min(RTT_MS_MAX, Math.max(0, now - state.offeredAt - answer.readyMs))
  enter(state, 'pacing', now + state.rttMs / 2)
  return [send(state, { kind: PUNCH_KIND.go, nonce: state.nonce })]
}

function punch(state: PunchState, now: number): PunchEffect[] {
  enter(state, 'punching', now + PUNCH_MS)
  state.targets = state.named.map((endpoint) => ({ endpoint, retryAt: now }))
  return connectDue(state, now)
}

function onWake(state: PunchState, now: number): PunchEffect[] {
  if (now >= state.phaseUntil) return state.phase === 'pacing' ? punch(state, now) : timeout(state)
  const nominations = nominateDue(state, now)
  // While a nomination is fresh, its socket will do.
  if (state.nominateAt !== null)
    for (const target of state.targets)
      if (target.retryAt !== null) target.retryAt = Math.max(target.retryAt, state.nominateAt)
  return [...nominations, ...connectDue(state, now)]
}

function timeout(state: PunchState): PunchEffect[] {
  switch (state.phase) {
    case 'reflecting':
      return fail(state, 'reflector-unreachable', 'No reflector answered in time')
    case 'offered':
    case 'answered':
    case 'ended':
      return fail(state, 'exchange-timeout', 'The other node did not answer in time')
    case 'pacing':
    case 'punching': {
      const isOver = state.connects >= CONNECTS_MAX && state.sockets.size === 0
      const code = state.hasMetStranger ? 'nomination-wrong' : isOver ? 'attempt-limit' : 'punch-timeout'
      return fail(state, code, `${state.connects} connects did not get through`)
    }
  }
}

function succeed(state: PunchState, socket: string): PunchEffect[] {
  const { role, rttMs, nonce } = state
  state.kept = socket
  state.phase = 'ended'
  return [
    ...(role === 'responder' ? [{ type: 'write', socket, bytes: encodeNomination(nonce) } as const] : []),
    ...closeOthers(state, socket),
    { type: 'release' },
    { type: 'done', outcome: { path: 'direct', socket, role, rttMs } },
  ]
}

/** Ends the attempt; `isTold`: the other side hears of it, unless it has heard nothing of the attempt yet. */
function fail(state: PunchState, reason: TraversalCode, text: string, isTold = true): PunchEffect[] {
  const isHeard = state.role === 'responder' || state.phase !== 'reflecting'
  const said: PunchEffect[] =
    isTold && isHeard ? [send(state, { kind: PUNCH_KIND.failed, nonce: state.nonce, code: reason })] : []
  state.phase = 'ended'
  const malformed = reason === 'exchange-malformed' ? report(state, reason, null) : []
  return [
    ...said,
    ...malformed,
    ...closeOthers(state, null),
    { type: 'release' },
    { type: 'done', outcome: { path: 'relay', reason, text } },
  ]
}

function send(state: PunchState, message: PunchMessage): PunchEffect {
  return { type: 'send', nonce: state.nonce, bytes: punchFormat.encode(message) }
}

function enter(state: PunchState, phase: PunchState['phase'], until: number): void {
  state.phase = phase
  state.phaseUntil = until
}

/** Why physics allows no direct way between two nodes, as far as it is known how they stand; null where it may. */
function impossibleCode(own: PartialStanding | null, peer: PartialStanding | null): ImpossibleCode | null {
  const certain = certainPath(own, peer)
  if (certain?.path !== 'relay') return null
  return certain.reason === 'both-ports-unknown' ? certain.reason : 'port-unknown'
}
