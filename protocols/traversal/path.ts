import type { TraversalCode } from './errors.ts'
import {
  DIRECT_LASTING_MS,
  DIRECT_RETRY_FIRST_MS,
  DIRECT_RETRY_MAX_MS,
  FOLLOW_MS,
  NETWORK_SETTLE_MS,
  PROBE_MS,
  TRY_MS,
} from './limits.ts'

/** Name of one direct connection; the owner gives it, once. */
export type ConnectionId = string

/** What new streams to the peer use. */
export type PathUse =
  | { readonly path: 'direct'; readonly connection: ConnectionId }
  | { readonly path: 'relay' | 'none' }

/** The way to one peer. Owned by the machine: only `step` changes it. Times in ms. */
export interface PathState {
  /** Begins tries first: one of the two, as by peer id. */
  readonly leads: boolean
  isRelayed: boolean
  /** The direct connection in use. */
  direct: { readonly connection: ConnectionId; readonly since: number } | null
  /** A direct connection that has not answered yet, or is asked again; closed at `until`. */
  probing: { readonly connection: ConnectionId; readonly until: number; readonly code: TraversalCode } | null
  /** When the try that goes on counts as failed; null while there is none. */
  tryUntil: number | null
  /** When a direct way is tried next; null while one is in use or tried, or nothing leads to the peer. */
  tryAt: number | null
  /** Failed tries in a row. */
  failures: number
  /** Why the present path is the one it is, and since when. */
  reason: TraversalCode
  since: number
  /** Why there is no direct way, as far as it was tried. */
  lastFailure: TraversalCode | null
}

/** What happens to the ways to one peer. */
export type PathEvent =
  /** A relayed connection stands, or is gone. */
  | { readonly type: 'relay-up' }
  | { readonly type: 'relay-down' }
  /** A direct connection was made, by whomever. */
  | { readonly type: 'direct-made'; readonly connection: ConnectionId }
  | { readonly type: 'try-failed'; readonly reason: TraversalCode }
  | { readonly type: 'probe-answered'; readonly connection: ConnectionId }
  | { readonly type: 'direct-closed'; readonly connection: ConnectionId }
  /** This node's addresses or routes are others now. */
  | { readonly type: 'network-changed' }
  /** `nextPathWakeAt` has come. */
  | { readonly type: 'wake' }

/** What the owner does, in the order given. */
export type PathEffect =
  /** Look for a direct way, by the order of candidates; ends with `direct-made` or `try-failed`. */
  | { readonly type: 'try' }
  /** Give up the try that goes on, which began in another network; ends with `try-failed` and `punch-cancelled`. */
  | { readonly type: 'cancel' }
  /** Ping over this connection; tell `probe-answered`. */
  | { readonly type: 'probe'; readonly connection: ConnectionId }
  /** New streams go here. Old ones stay where they are; a relayed connection nothing uses may be closed. */
  | { readonly type: 'use'; readonly use: PathUse; readonly reason: TraversalCode }
  /** Another direct connection took over: close this one when its streams have ended. */
  | { readonly type: 'retire'; readonly connection: ConnectionId }
  | { readonly type: 'close'; readonly connection: ConnectionId }

/** A peer to whom nothing leads yet. */
export function createPath(leads: boolean, now: number): PathState {
  return {
    leads,
    isRelayed: false,
    direct: null,
    probing: null,
    tryUntil: null,
    tryAt: null,
    failures: 0,
    reason: 'path-none',
    since: now,
    lastFailure: null,
  }
}

/** What new streams use now. */
export function useOf({ direct, isRelayed }: PathState): PathUse {
  if (direct !== null) return { path: 'direct', connection: direct.connection }
  return { path: isRelayed ? 'relay' : 'none' }
}

/** When `wake` is due; null: never, as things stand. */
export function nextPathWakeAt({ probing, tryAt, tryUntil }: PathState): number | null {
  const at = Math.min(...[probing?.until, tryAt, tryUntil].map((each) => each ?? Number.POSITIVE_INFINITY))
  return at === Number.POSITIVE_INFINITY ? null : at
}

/** One step: relay first, direct as soon as it has answered, and back when it dies. `random` in [0, 1). */
export function step(state: PathState, event: PathEvent, now: number, random: () => number): PathEffect[] {
  const before = useOf(state)
  const effects = onEvent(state, event, now, random)
  const { use, reason } = settle(state, before, event, now)
  if (use !== null) effects.push({ type: 'use', use, reason })
  return effects
}

function onEvent(state: PathState, event: PathEvent, now: number, random: () => number): PathEffect[] {
  switch (event.type) {
    case 'relay-up':
      state.isRelayed = true
      if (state.direct === null && state.tryUntil === null)
        state.tryAt ??= now + (state.leads ? 0 : FOLLOW_MS)
      return []
    case 'relay-down':
      state.isRelayed = false
      return []
    case 'direct-made':
      return onMade(state, event.connection, now)
    case 'try-failed':
      return onTryFailed(state, event.reason, now, random)
    case 'probe-answered':
      return onAnswered(state, event.connection, now)
    case 'direct-closed':
      return onClosed(state, event.connection, now, random)
    case 'network-changed':
      return onNetworkChanged(state, now, random)
    case 'wake':
      return onWake(state, now, random)
  }
}

/**
 * A connection counts once it has answered. While one is asked, another waits: the owner tells of it again when that one is gone,
 * and closes what is left over once nobody speaks over it. Closing it here would cut streams that began on it, and where both
 * sides dialled at once, each would close the other's.
 */
function onMade(state: PathState, connection: ConnectionId, now: number): PathEffect[] {
  if (connection === state.direct?.connection || connection === state.probing?.connection) return []
  state.tryUntil = null
  state.tryAt = null
  if (state.probing !== null && state.probing.connection !== state.direct?.connection) return []
  state.probing = { connection, until: now + PROBE_MS, code: 'path-probe-timeout' }
  return [{ type: 'probe', connection }]
}

function onTryFailed(
  state: PathState,
  reason: TraversalCode,
  now: number,
  random: () => number,
): PathEffect[] {
  if (state.tryUntil === null) return []
  state.tryUntil = null
  failed(state, reason, now, random)
  return []
}

function onAnswered(state: PathState, connection: ConnectionId, now: number): PathEffect[] {
  if (state.probing?.connection !== connection) return []
  state.probing = null
  if (state.direct?.connection === connection) return []
  const old = state.direct
  state.direct = { connection, since: now }
  state.lastFailure = null
  state.tryAt = null
  return old === null ? [] : [{ type: 'retire', connection: old.connection }]
}

function onClosed(
  state: PathState,
  connection: ConnectionId,
  now: number,
  random: () => number,
): PathEffect[] {
  const isInUse = state.direct?.connection === connection
  if (!isInUse && state.probing?.connection !== connection) return []
  const code = isInUse ? 'path-direct-lost' : 'path-probe-timeout'
  drop(state, connection, code, now, random)
  return []
}

/** What stands may be dead without a word: the one in use is asked, and a way from the new network is looked for. */
function onNetworkChanged(state: PathState, now: number, random: () => number): PathEffect[] {
  state.failures = 0
  if (state.tryUntil !== null) return [{ type: 'cancel' }]
  if (state.direct === null) {
    if (state.probing === null) state.tryAt = settledAt(now, random)
    return []
  }
  if (state.probing !== null) return []
  const { connection } = state.direct
  state.probing = { connection, until: now + PROBE_MS, code: 'path-network-changed' }
  return [{ type: 'probe', connection }]
}

function onWake(state: PathState, now: number, random: () => number): PathEffect[] {
  const { probing } = state
  if (probing !== null && now >= probing.until) {
    drop(state, probing.connection, probing.code, now, random)
    return [{ type: 'close', connection: probing.connection }]
  }
  if (state.tryUntil !== null && now >= state.tryUntil)
    return onTryFailed(state, 'punch-timeout', now, random)
  if (state.tryAt === null || now < state.tryAt) return []
  state.tryAt = null
  state.tryUntil = now + TRY_MS
  return [{ type: 'try' }]
}

/** Forgets a connection. One that had lasted is looked for anew at once; one that had not counts as a failed try. */
function drop(
  state: PathState,
  connection: ConnectionId,
  code: TraversalCode,
  now: number,
  random: () => number,
): void {
  const { direct } = state
  if (state.probing?.connection === connection) state.probing = null
  if (direct?.connection === connection) {
    state.direct = null
    const hasLasted = code === 'path-network-changed' || now - direct.since >= DIRECT_LASTING_MS
    if (hasLasted) {
      state.failures = 0
      state.lastFailure = code
      if (state.probing === null) state.tryAt = settledAt(now, random)
      return
    }
  }
  failed(state, code, now, random)
}

/** Exponential back-off, half of it by chance; the longest at once where physics allows no direct way. */
function failed(state: PathState, code: TraversalCode, now: number, random: () => number): void {
  const isCancelled = code === 'punch-cancelled'
  if (!isCancelled) state.failures++
  state.lastFailure = code
  if (state.direct !== null || state.probing !== null || state.tryUntil !== null) return
  const isImpossible = code === 'port-unknown' || code === 'both-ports-unknown'
  const doubled = DIRECT_RETRY_FIRST_MS * 2 ** Math.min(Math.max(0, state.failures - 1), 16)
  const pauseMs = isImpossible ? DIRECT_RETRY_MAX_MS : Math.min(doubled, DIRECT_RETRY_MAX_MS)
  state.tryAt = isCancelled ? settledAt(now, random) : now + pauseMs * (0.5 + random() / 2)
}

function settledAt(now: number, random: () => number): number {
  return now + NETWORK_SETTLE_MS * (1 + random())
}

/** What changed for new streams, and why. Without any way there is nobody to exchange with, so nothing is tried. */
function settle(
  state: PathState,
  before: PathUse,
  event: PathEvent,
  now: number,
): { use: PathUse | null; reason: TraversalCode } {
  const use = useOf(state)
  if (use.path === 'none') state.tryAt = null
  const isSame =
    use.path === before.path &&
    (use.path !== 'direct' || before.path !== 'direct' || use.connection === before.connection)
  if (isSame) return { use: null, reason: state.reason }
  state.since = now
  if (use.path === 'direct') state.reason = 'path-direct-up'
  else if (before.path === 'direct') state.reason = state.lastFailure ?? 'path-direct-lost'
  else state.reason = event.type === 'relay-up' ? 'path-relay-up' : 'path-none'
  return { use, reason: state.reason }
}
