import { toHex } from '../common/bytes.ts'
import type { TraversalCode } from './errors.ts'
import {
  OFFERING_PEERS_MAX,
  REACHES_AT_ONCE_MAX,
  REACHES_PER_PEER_MAX,
  REACHES_WINDOW_MS,
  TICKET_MS,
  TICKETS_HELD_MAX,
  TICKETS_PER_PEER_MAX,
} from './limits.ts'

/** What a reflector has given away, and whom it has connected back to. */
export interface ReflectGate {
  /** By ticket, oldest first. */
  readonly tickets: Map<string, { readonly peer: string; readonly until: number }>
  /** In the order in which peers last asked. */
  readonly reaches: Map<string, { windowSince: number; count: number }>
  reachesNow: number
}

/** A gate that has given nothing away. */
export function createReflectGate(): ReflectGate {
  return { tickets: new Map(), reaches: new Map(), reachesNow: 0 }
}

/** Remembers tickets given to a peer; the oldest, of that peer or of all, are forgotten at the limits. */
export function keepTickets(
  gate: ReflectGate,
  peer: string,
  tickets: readonly Uint8Array[],
  now: number,
): void {
  for (const ticket of tickets) gate.tickets.set(toHex(ticket), { peer, until: now + TICKET_MS })
  const own = [...gate.tickets].filter(([, each]) => each.peer === peer)
  for (const [name] of own.slice(0, Math.max(0, own.length - TICKETS_PER_PEER_MAX))) gate.tickets.delete(name)
  for (const [oldest, { until }] of gate.tickets) {
    if (gate.tickets.size <= TICKETS_HELD_MAX && until > now) break
    gate.tickets.delete(oldest)
  }
}

/** Whether a raw connection shows a ticket that was given and not shown yet. */
export function takeTicket(gate: ReflectGate, ticket: Uint8Array, now: number): boolean {
  const name = toHex(ticket)
  const held = gate.tickets.get(name)
  gate.tickets.delete(name)
  return held !== undefined && now < held.until
}

/** Whether this node connects back for a peer: null, or why not. After null, `endReach` once it has. */
export function beginReach(
  gate: ReflectGate,
  peer: string,
  now: number,
): Extract<TraversalCode, 'reflect-flood'> | null {
  const asked = gate.reaches.get(peer) ?? { windowSince: now, count: 0 }
  gate.reaches.delete(peer)
  gate.reaches.set(peer, asked)
  for (const oldest of gate.reaches.keys()) {
    if (gate.reaches.size <= OFFERING_PEERS_MAX) break
    gate.reaches.delete(oldest)
  }
  if (now - asked.windowSince >= REACHES_WINDOW_MS) Object.assign(asked, { windowSince: now, count: 0 })
  if (asked.count >= REACHES_PER_PEER_MAX || gate.reachesNow >= REACHES_AT_ONCE_MAX) return 'reflect-flood'
  asked.count++
  gate.reachesNow++
  return null
}

/** A connection back has come to its end. */
export function endReach(gate: ReflectGate): void {
  gate.reachesNow--
}
