import type { RelayCode } from './errors.ts'
import {
  CIRCUITS_MAX,
  CIRCUITS_PER_PAIR_MAX,
  CONNECTS_PER_MINUTE,
  COUNTED_MEMBERS_MAX,
  RESERVATIONS_MAX,
  RESERVES_PER_MINUTE,
} from './limits.ts'

/** What a member asked for in the minute that began at `since` (ms). */
interface Minute {
  readonly since: number
  connects: number
  reserves: number
  /** Refusals that were reported. */
  readonly reported: Set<RelayCode>
}

/** Who may use a relay how much. Owned by the functions below. */
export interface RelayTable {
  /** Peer ids of members that hold a reservation, with how many channels of theirs hold it. */
  readonly reserved: Map<string, number>
  /** Open circuits by pair. */
  readonly pairs: Map<string, number>
  circuits: number
  /** By member, in the order in which they last asked. */
  readonly asked: Map<string, Minute>
}

/** A relay nobody uses. */
export function createRelayTable(): RelayTable {
  return { reserved: new Map(), pairs: new Map(), circuits: 0, asked: new Map() }
}

/**
 * Takes a reservation, or says why not. A member that reserves again holds one place still. `now` in ms of a clock that never
 * goes back.
 */
export function reserve(table: RelayTable, peer: string, now: number): RelayCode | null {
  const { reserved } = table
  const minute = minuteOf(table, peer, now)
  if (++minute.reserves > RESERVES_PER_MINUTE) return 'relay-flood'
  const held = reserved.get(peer) ?? 0
  if (held === 0 && reserved.size >= RESERVATIONS_MAX) return 'relay-full'
  reserved.set(peer, held + 1)
  return null
}

/** A reservation's channel ended. */
export function unreserve({ reserved }: RelayTable, peer: string): void {
  const held = reserved.get(peer) ?? 0
  if (held > 1) reserved.set(peer, held - 1)
  else reserved.delete(peer)
}

/** Takes a circuit between two members, or says why not. `now` in ms of a clock that never goes back. */
export function admitCircuit(
  table: RelayTable,
  source: string,
  target: string,
  now: number,
): RelayCode | null {
  const minute = minuteOf(table, source, now)
  if (++minute.connects > CONNECTS_PER_MINUTE) return 'relay-flood'
  const pair = pairKey(source, target)
  const open = table.pairs.get(pair) ?? 0
  if (open >= CIRCUITS_PER_PAIR_MAX) return 'relay-quota'
  if (table.circuits >= CIRCUITS_MAX) return 'relay-full'
  table.pairs.set(pair, open + 1)
  table.circuits++
  return null
}

/** A circuit ended. */
export function endCircuit(table: RelayTable, source: string, target: string): void {
  const pair = pairKey(source, target)
  const open = table.pairs.get(pair) ?? 0
  if (open === 0) throw new Error(`a circuit of ${pair} ended that was not counted`)
  if (open > 1) table.pairs.set(pair, open - 1)
  else table.pairs.delete(pair)
  table.circuits--
}

/** Whether this refusal of this member is worth an event: the first of its kind in a minute. */
export function isNews(table: RelayTable, peer: string, code: RelayCode, now: number): boolean {
  const { reported } = minuteOf(table, peer, now)
  if (reported.has(code)) return false
  reported.add(code)
  return true
}

function minuteOf({ asked }: RelayTable, peer: string, now: number): Minute {
  const known = asked.get(peer)
  const isSame = known !== undefined && now - known.since < 60_000
  const minute = isSame ? known : { since: now, connects: 0, reserves: 0, reported: new Set<RelayCode>() }
  asked.delete(peer)
  asked.set(peer, minute)
  if (asked.size > COUNTED_MEMBERS_MAX) {
    const [oldest] = asked.keys()
    if (oldest !== undefined) asked.delete(oldest)
  }
  return minute
}

function pairKey(one: string, other: string): string {
  return one < other ? `${one} ${other}` : `${other} ${one}`
}
