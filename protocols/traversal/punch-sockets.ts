import { equalBytes } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { sameIp, type Endpoint } from './endpoint.ts'
import type { TraversalCode } from './errors.ts'
import { ACCEPTED_MAX, CONNECTS_MAX, NOMINATION_MS, REPORTS_MAX, RETRY_MS } from './limits.ts'
import type { PunchEffect, PunchEvent, SocketId } from './punch-events.ts'
import type { PunchState } from './punch-state.ts'
import { decodeNomination, encodeNomination } from './wire.ts'

/** Dials every target that is due, and listens again. */
export function connectDue(state: PunchState, now: number): PunchEffect[] {
  const effects: PunchEffect[] = []
  for (const target of state.targets) {
    if (target.retryAt === null || target.retryAt > now) continue
    target.retryAt = null
    if (state.connects >= CONNECTS_MAX) continue
    state.connects++
    const socket = `out${state.connects}`
    const { endpoint } = target
    state.sockets.set(socket, { isOpen: false, target, endpoint, isNominated: false })
    effects.push({ type: 'connect', socket, endpoint })
  }
  if (effects.length === 0) return []
  if (state.isListening) effects.unshift({ type: 'unlisten' })
  state.isListening = true
  return [...effects, { type: 'listen' }]
}

/** Nominates an open socket that was not yet; one at a time, the next when no echo comes. Only the initiator does. */
export function nominateDue(state: PunchState, now: number): PunchEffect[] {
  if (state.role !== 'initiator' || (state.nominateAt !== null && now < state.nominateAt)) return []
  state.nominateAt = null
  for (const [socket, each] of state.sockets) {
    if (!each.isOpen || each.isNominated) continue
    each.isNominated = true
    state.nominateAt = now + NOMINATION_MS
    return [{ type: 'write', socket, bytes: encodeNomination(state.nonce) }]
  }
  return []
}

/** A connection that came to the port: kept when it comes from an address the other side named. */
export function onAccepted(
  state: PunchState,
  { socket, from }: Extract<PunchEvent, { type: 'accepted' }>,
  now: number,
): PunchEffect[] {
  if (state.sockets.has(socket)) return []
  const close: PunchEffect = { type: 'close', socket }
  if (!state.named.some(({ ip }) => sameIp(ip, from.ip)))
    return [close, ...report(state, 'punch-stranger', from)]
  const accepted = [...state.sockets.values()].filter(({ target }) => target === null).length
  if (accepted >= ACCEPTED_MAX) return [close, ...report(state, 'socket-limit', from)]
  state.sockets.set(socket, { isOpen: true, target: null, endpoint: from, isNominated: false })
  return nominateDue(state, now)
}

/** A connect that succeeded; of one that is not under way, nothing. */
export function onConnected(state: PunchState, socket: SocketId, now: number): PunchEffect[] {
  const held = state.sockets.get(socket)
  if (held === undefined || held.isOpen) return []
  held.isOpen = true
  return nominateDue(state, now)
}

/** A socket is gone: its target is dialled again after a pause, and another socket is nominated. */
export function onGone(
  state: PunchState,
  socket: SocketId,
  now: number,
  random: () => number,
): PunchEffect[] {
  const held = state.sockets.get(socket)
  if (held === undefined) return []
  state.sockets.delete(socket)
  const [shortest, longest] = RETRY_MS[state.role]
  if (held.target !== null) held.target.retryAt = now + shortest + random() * (longest - shortest)
  if (held.isNominated) state.nominateAt = null
  return nominateDue(state, now)
}

/** Whether the first bytes of a socket are the nomination that is due there; otherwise the socket is closed. */
export function readNomination(
  state: PunchState,
  { socket, bytes }: Extract<PunchEvent, { type: 'received' }>,
  now: number,
): { readonly isRight: boolean; readonly effects: PunchEffect[] } {
  const held = state.sockets.get(socket)
  if (held === undefined) return { isRight: false, effects: [] }
  // An echo before the nomination cannot be one.
  const isDue = held.isOpen && (state.role === 'responder' || held.isNominated)
  if (isDue && hasNonce(bytes, state.nonce)) return { isRight: true, effects: [] }
  state.hasMetStranger = true
  state.sockets.delete(socket)
  if (held.isNominated) state.nominateAt = null
  return {
    isRight: false,
    effects: [
      { type: 'close', socket },
      ...report(state, 'nomination-wrong', held.endpoint),
      ...nominateDue(state, now),
    ],
  }
}

function hasNonce(bytes: Uint8Array, nonce: Uint8Array): boolean {
  try {
    return equalBytes(decodeNomination(bytes), nonce)
  } catch (error) {
    if (error instanceof MalformedError) return false
    throw error
  }
}

/** Closes all sockets but the one that is kept. */
export function closeOthers(state: PunchState, kept: SocketId | null): PunchEffect[] {
  const others = [...state.sockets.keys()].filter((socket) => socket !== kept)
  state.sockets.clear()
  return others.map((socket) => ({ type: 'close', socket }))
}

/** Tells an operator, a bounded number of times. */
export function report(state: PunchState, code: TraversalCode, endpoint: Endpoint | null): PunchEffect[] {
  if (state.reports >= REPORTS_MAX) return []
  state.reports++
  return [{ type: 'report', code, endpoint }]
}
