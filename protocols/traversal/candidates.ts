import { endpointKey, sameEndpoint, sameIp, scopeOf, type Endpoint } from './endpoint.ts'
import type { TraversalCode } from './errors.ts'
import { CANDIDATES_PER_WAY_MAX, TRIED_MAX, TRIED_PEERS_MAX } from './limits.ts'

/**
 * Ways to a peer, the best first: an address it announces (its own, or a port its router forwards: they cannot be told
 * apart from outside), both dial at once, a relay.
 */
export const WAYS = ['public', 'punch', 'relay'] as const

/** A way to a peer. */
export type Way = (typeof WAYS)[number]

/** One thing to try. */
export interface Candidate {
  readonly way: Way
  /** Where to dial; null for a punch, whose endpoints the exchange brings. */
  readonly endpoint: Endpoint | null
  /** Peer id of the relay, for a relay. */
  readonly relay: string | null
}

/** Who this node is, so that it does not dial itself. */
export interface OwnPlaces {
  /** Addresses of its interfaces. */
  readonly addresses: readonly Uint8Array[]
  /** Where others see it, and what it listens on. */
  readonly endpoints: readonly Endpoint[]
}

/** What is tried, in this order, and what is not and why. */
export interface CandidateChoice {
  readonly ordered: readonly Candidate[]
  readonly refused: readonly { readonly candidate: Candidate; readonly code: TraversalCode }[]
}

/** Puts candidates into the order of `WAYS`, IPv6 before IPv4 in each, once each, without addresses that lead nowhere. */
export function orderCandidates(candidates: readonly Candidate[], own: OwnPlaces): CandidateChoice {
  const refused: { candidate: Candidate; code: TraversalCode }[] = []
  const chosen = new Map<string, Candidate>()
  const counts = { public: 0, punch: 0, relay: 0 }
  for (const candidate of candidates) {
    const key = candidateKey(candidate)
    if (chosen.has(key)) continue
    const code = candidateCode(candidate, own)
    const isLimit = counts[candidate.way] >= CANDIDATES_PER_WAY_MAX
    if (code === null && !isLimit) {
      counts[candidate.way]++
      chosen.set(key, candidate)
    } else if (refused.length < TRIED_MAX) refused.push({ candidate, code: code ?? 'candidate-limit' })
  }
  const rank = ({ way, endpoint }: Candidate): number =>
    2 * WAYS.indexOf(way) + (endpoint?.ip.length === 16 ? 0 : 1)
  return { ordered: [...chosen.values()].toSorted((a, b) => rank(a) - rank(b)), refused }
}

/** One port of a system service is as good as another here: the peer proves by its key that it is the one. */
function candidateCode({ way, endpoint }: Candidate, own: OwnPlaces): TraversalCode | null {
  if (endpoint === null) return way === 'punch' || way === 'relay' ? null : 'address-not-public'
  if (own.addresses.some((ip) => sameIp(ip, endpoint.ip))) return 'address-own'
  if (own.endpoints.some((each) => sameEndpoint(each, endpoint))) return 'address-own'
  return scopeOf(endpoint.ip) === 'public' ? null : 'address-not-public'
}

/** A way is told by where it leads; all punches are one. */
function candidateKey({ way, endpoint, relay }: Candidate): string {
  if (way === 'punch') return way
  return `${way} ${endpoint === null ? '' : endpointKey(endpoint)} ${relay ?? ''}`
}

/** One try, for `kith why`. Times in ms. */
export interface Tried extends Candidate {
  readonly id: number
  readonly startedAt: number
  /** Null while it goes on. */
  endedAt: number | null
  outcome: 'trying' | 'connected' | 'failed' | 'refused'
  /** Why it failed or was not dialled. */
  reason: TraversalCode | null
}

/** What was tried to reach whom, bounded. */
export interface Ledger {
  /** In the order in which peers were last tried. */
  readonly peers: Map<string, Tried[]>
  nextId: number
}

/** A ledger with nothing in it. */
export function createLedger(): Ledger {
  return { peers: new Map(), nextId: 1 }
}

/** Writes down that a candidate is tried; the id is for `endTry`. */
export function beginTry(ledger: Ledger, peer: string, candidate: Candidate, now: number): number {
  const id = ledger.nextId++
  const tried = ledger.peers.get(peer) ?? []
  tried.push({ ...candidate, id, startedAt: now, endedAt: null, outcome: 'trying', reason: null })
  if (tried.length > TRIED_MAX) tried.shift()
  ledger.peers.delete(peer)
  ledger.peers.set(peer, tried)
  for (const oldest of ledger.peers.keys()) {
    if (ledger.peers.size <= TRIED_PEERS_MAX) break
    ledger.peers.delete(oldest)
  }
  return id
}

/** Writes down how a try ended, once; of one that was forgotten, nothing. `reason` null: it connected. */
export function endTry(
  ledger: Ledger,
  peer: string,
  id: number,
  reason: TraversalCode | null,
  now: number,
): void {
  const tried = ledger.peers.get(peer)?.find((each) => each.id === id)
  if (tried?.outcome !== 'trying') return
  Object.assign(tried, { endedAt: now, outcome: reason === null ? 'connected' : 'failed', reason })
}

/** Writes down candidates that were not dialled. */
export function noteRefused(
  ledger: Ledger,
  peer: string,
  refused: CandidateChoice['refused'],
  now: number,
): void {
  for (const { candidate, code } of refused) {
    const id = beginTry(ledger, peer, candidate, now)
    const tried = ledger.peers.get(peer)?.find((each) => each.id === id)
    if (tried !== undefined) Object.assign(tried, { endedAt: now, outcome: 'refused', reason: code })
  }
}

/** What was tried to reach the peer, oldest first. */
export function triedOf(ledger: Ledger, peer: string): readonly Tried[] {
  return ledger.peers.get(peer) ?? []
}
