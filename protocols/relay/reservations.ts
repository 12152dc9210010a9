import type { RelayCode } from './errors.ts'
import {
  RELAYS_WANTED,
  REPLACE_GAIN_MS,
  REPLACE_INTERVAL_MS,
  REPLACE_RATIO,
  RESERVE_RETRY_FIRST_MS,
  RESERVE_RETRY_MAX_MS,
  UNMEASURED_RTT_MS,
} from './limits.ts'

/** A member that could relay: it is connected directly, and can be dialled from the internet. */
export interface RelayCandidate {
  readonly id: string
  /** Null: not measured yet. */
  readonly rttMs: number | null
}

/** One relay as a node sees it. */
interface KnownRelay {
  phase: 'idle' | 'asked' | 'held'
  /** Refusals in a row, and when it may be asked again (ms). */
  failures: number
  retryAt: number
  /** As it says itself. */
  circuits: number
  lastCode: RelayCode | null
}

/** Which relays keep this node reachable. Owned by `step`. Times in ms. */
export interface ReservationState {
  readonly relays: Map<string, KnownRelay>
  replacedAt: number
}

/** What happens to reservations. */
export type ReservationEvent =
  /** A look at the world. `isNeeded`: whether this node needs relays at all. */
  | { readonly type: 'look'; readonly candidates: readonly RelayCandidate[]; readonly isNeeded: boolean }
  | { readonly type: 'reserved'; readonly relay: string; readonly circuits: number }
  | { readonly type: 'load'; readonly relay: string; readonly circuits: number }
  | { readonly type: 'lost'; readonly relay: string; readonly code: RelayCode }

/** What the owner does. */
export type ReservationEffect =
  | { readonly type: 'reserve'; readonly relay: string }
  | { readonly type: 'release'; readonly relay: string }

/** A node that asked nobody yet. */
export function createReservations(): ReservationState {
  return { relays: new Map(), replacedAt: Number.NEGATIVE_INFINITY }
}

/** Relays that keep this node reachable, the best first. */
export function heldRelays(state: ReservationState): string[] {
  return [...state.relays].filter(([, { phase }]) => phase === 'held').map(([id]) => id)
}

/**
 * Keeps `RELAYS_WANTED` reservations at the best relays there are: by RTT, made worse by what a relay carries already. `now` in
 * ms of a clock that never goes back.
 */
export function step(state: ReservationState, event: ReservationEvent, now: number): ReservationEffect[] {
  if (event.type === 'look') return look(state, event, now)
  const relay = state.relays.get(event.relay)
  if (relay === undefined) return event.type === 'reserved' ? [{ type: 'release', relay: event.relay }] : []
  switch (event.type) {
    case 'reserved':
      Object.assign(relay, { phase: 'held', failures: 0, circuits: event.circuits, lastCode: null })
      return []
    case 'load':
      relay.circuits = event.circuits
      return []
    case 'lost': {
      // One that was held and went away may be back in a moment; one that refused will not change its mind so soon.
      const wasHeld = relay.phase === 'held'
      relay.phase = 'idle'
      relay.lastCode = event.code
      relay.failures = wasHeld ? 0 : relay.failures + 1
      const pauseMs = RESERVE_RETRY_FIRST_MS * 2 ** Math.min(Math.max(0, relay.failures - 1), 16)
      relay.retryAt = wasHeld ? now : now + Math.min(pauseMs, RESERVE_RETRY_MAX_MS)
      return []
    }
  }
}

function look(
  state: ReservationState,
  { candidates, isNeeded }: Extract<ReservationEvent, { type: 'look' }>,
  now: number,
): ReservationEffect[] {
  const present = new Map(candidates.map((candidate) => [candidate.id, candidate]))
  const effects: ReservationEffect[] = []
  for (const [id, relay] of state.relays) {
    if (isNeeded && (present.has(id) || relay.phase !== 'idle')) continue
    if (relay.phase !== 'idle') effects.push({ type: 'release', relay: id })
    // Whoever refused is remembered until it may be asked again.
    if (!isNeeded || now >= relay.retryAt) state.relays.delete(id)
  }
  if (!isNeeded) return effects
  // One that is held and no candidate any more is silent, or says by now that nobody reaches it either: any other is better.
  const score = (id: string): number =>
    present.has(id)
      ? (present.get(id)?.rttMs ?? UNMEASURED_RTT_MS) * (1 + (state.relays.get(id)?.circuits ?? 0) / 100)
      : Number.POSITIVE_INFINITY
  const engaged = [...state.relays].filter(([, { phase }]) => phase !== 'idle').map(([id]) => id)
  const free = [...present.keys()]
    .filter((id) => {
      const relay = state.relays.get(id)
      return relay === undefined || (relay.phase === 'idle' && now >= relay.retryAt)
    })
    .toSorted((a, b) => score(a) - score(b))
  const asked = free.slice(0, Math.max(0, RELAYS_WANTED - engaged.length))
  for (const id of asked) effects.push(ask(state, id))
  const better = asked.length === 0 ? free[0] : undefined
  const worst = heldRelays(state).toSorted((a, b) => score(b) - score(a))[0]
  if (better !== undefined && worst !== undefined && engaged.length <= RELAYS_WANTED) {
    const isBetter =
      score(better) <= score(worst) * REPLACE_RATIO && score(worst) - score(better) >= REPLACE_GAIN_MS
    if (isBetter && now - state.replacedAt >= REPLACE_INTERVAL_MS) {
      // First the new one, then the old one goes: see below.
      state.replacedAt = now
      effects.push(ask(state, better))
    }
  }
  const held = heldRelays(state)
  if (held.length > RELAYS_WANTED && worst !== undefined) {
    state.relays.delete(worst)
    effects.push({ type: 'release', relay: worst })
  }
  return effects
}

function ask(state: ReservationState, id: string): ReservationEffect {
  const known = state.relays.get(id)
  if (known !== undefined) known.phase = 'asked'
  else state.relays.set(id, { phase: 'asked', failures: 0, retryAt: 0, circuits: 0, lastCode: null })
  return { type: 'reserve', relay: id }
}
