import type { BootstrapCode } from './errors.ts'
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  BACKOFF_RECENT_MS,
  DIALS_MAX,
  LASTING_MS,
  RECENT_MS,
  REMEMBERED_MAX,
} from './limits.ts'

/** A peer to reach and where; full multiaddrs. */
export interface Target {
  readonly peer: string
  readonly addresses: readonly string[]
}

/** Why the last dial of a peer failed. `at` in ms, `count` failures in a row. */
export interface DialFailure {
  readonly code: BootstrapCode
  readonly text: string
  readonly at: number
  readonly count: number
}

interface Peer {
  addresses: readonly string[]
  phase: 'connected' | 'waiting' | 'dialling'
  /** When to dial, while waiting. */
  dueAt: number
  /** When the peer was lost or first wanted. */
  since: number
  failures: number
  /** When the present or last connection was first seen. */
  connectedAt: number
  last: DialFailure | null
}

/** Who is dialled when. Only `step` changes it. */
export interface ReconnectState {
  readonly peers: Map<string, Peer>
}

export type ReconnectEvent =
  /** A look at the world: whom we want, whom to ask while alone, who is connected. */
  | {
      readonly type: 'look'
      readonly wanted: readonly Target[]
      readonly fallback: readonly Target[]
      readonly connected: ReadonlySet<string>
    }
  | {
      readonly type: 'dialled'
      readonly peer: string
      readonly failure: { code: BootstrapCode; text: string } | null
    }
  /** Somebody says the peer is there: dial it as if it had just been lost. */
  | { readonly type: 'hint'; readonly peer: string }
  /** Somebody says where the peer is, and may lie: one dial now, the back-off goes on. */
  | { readonly type: 'sighted'; readonly peer: string }

/** The only effect: dial this peer. */
export interface DialEffect {
  readonly type: 'dial'
  readonly peer: string
  readonly addresses: readonly string[]
}

/** A loop that knows nobody. */
export function createReconnect(): ReconnectState {
  return { peers: new Map() }
}

/**
 * Exponential back-off with full jitter (a random delay up to the bound, so that peers of a restarted node do not come
 * all at once), one dial a peer, at most `DIALS_MAX` in all. `random` in [0, 1), `now` in ms.
 */
export function step(
  state: ReconnectState,
  event: ReconnectEvent,
  now: number,
  random: () => number,
): DialEffect[] {
  switch (event.type) {
    case 'look':
      return look(state, event, now, random)
    case 'dialled':
      dialled(state, event.peer, event.failure, now, random)
      return []
    case 'hint': {
      const peer = state.peers.get(event.peer)
      if (peer?.phase !== 'waiting') return []
      peer.since = now
      peer.failures = 0
      peer.dueAt = Math.min(peer.dueAt, now + random() * BACKOFF_FIRST_MS)
      return []
    }
    case 'sighted': {
      const peer = state.peers.get(event.peer)
      if (peer?.phase === 'waiting') peer.dueAt = Math.min(peer.dueAt, now)
      return []
    }
  }
}

/** The reason of the last failed dial since the last success, null when there is none. */
export function lastFailure(state: ReconnectState, peer: string): DialFailure | null {
  return state.peers.get(peer)?.last ?? null
}

function look(
  state: ReconnectState,
  { wanted, fallback, connected }: Extract<ReconnectEvent, { type: 'look' }>,
  now: number,
  random: () => number,
): DialEffect[] {
  for (const [id, peer] of state.peers) {
    peer.dueAt = Math.min(peer.dueAt, now + BACKOFF_MAX_MS) // the clock may have been set back
    follow(peer, connected.has(id), now, random)
  }
  const targets = connected.size === 0 ? [...wanted, ...fallback] : wanted
  const wantedNow = new Set<string>()
  for (const { peer: id, addresses } of targets) {
    const known = state.peers.get(id)
    if (wantedNow.has(id) && known !== undefined) {
      known.addresses = [...new Set([...known.addresses, ...addresses])]
      continue
    }
    wantedNow.add(id)
    if (known !== undefined) known.addresses = addresses
    else if (!connected.has(id)) {
      state.peers.set(id, {
        addresses,
        phase: 'waiting',
        dueAt: now,
        since: now,
        failures: 0,
        connectedAt: now,
        last: null,
      })
    }
  }
  forget(state, wantedNow)
  let dialling = 0
  for (const peer of state.peers.values()) if (peer.phase === 'dialling') dialling++
  const due = [...state.peers]
    .filter(([id, peer]) => wantedNow.has(id) && peer.phase === 'waiting' && peer.dueAt <= now)
    .sort(([, a], [, b]) => a.dueAt - b.dueAt)
  return due.slice(0, Math.max(0, DIALS_MAX - dialling)).map(([id, peer]) => {
    peer.phase = 'dialling'
    return { type: 'dial', peer: id, addresses: peer.addresses }
  })
}

/**
 * A connection, whoever made it, resets everything once it has lasted; its loss starts anew. One that is closed at once counts
 * as a failed dial: a peer that accepts and hangs up would otherwise be dialled several times a second for ever.
 */
function follow(peer: Peer, connected: boolean, now: number, random: () => number): void {
  const lasted = Math.abs(now - peer.connectedAt) >= LASTING_MS
  if (connected && peer.phase !== 'dialling') {
    if (peer.phase !== 'connected') peer.connectedAt = now
    else if (lasted) peer.failures = 0
    peer.phase = 'connected'
    peer.last = null
  } else if (!connected && peer.phase === 'connected') {
    peer.phase = 'waiting'
    if (lasted) Object.assign(peer, { since: now, failures: 0 })
    else peer.failures++
    peer.dueAt = now + random() * backoffMs(peer, now)
  }
}

/** The bound of the next delay: grows with each failure in a row, less far while the peer is probably only restarting. */
function backoffMs(peer: Peer, now: number): number {
  const ceilingMs = now - peer.since < RECENT_MS ? BACKOFF_RECENT_MS : BACKOFF_MAX_MS
  return Math.min(ceilingMs, BACKOFF_FIRST_MS * 2 ** Math.max(0, Math.min(peer.failures - 1, 16)))
}

function dialled(
  state: ReconnectState,
  id: string,
  failure: { code: BootstrapCode; text: string } | null,
  now: number,
  random: () => number,
): void {
  const peer = state.peers.get(id)
  if (peer === undefined) return
  if (failure === null) {
    // The next look sees the connection; if it is gone again by then, it counts as lost.
    Object.assign(peer, { phase: 'connected', connectedAt: now, last: null })
    return
  }
  peer.failures++
  peer.phase = 'waiting'
  peer.dueAt = now + random() * backoffMs(peer, now)
  peer.last = { ...failure, at: now, count: peer.failures }
}

function forget(state: ReconnectState, wanted: ReadonlySet<string>): void {
  for (const [id, peer] of state.peers) {
    if (state.peers.size <= REMEMBERED_MAX) return
    if (!wanted.has(id) && peer.phase !== 'dialling') state.peers.delete(id)
  }
}
