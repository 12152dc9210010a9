import { toHex } from '../common/bytes.ts'
import type { TraversalCode } from './errors.ts'
import { NONCES_MAX, OFFERING_PEERS_MAX, OFFERS_MAX, OFFERS_WINDOW_MS } from './limits.ts'

interface Offering {
  /** Of the newest OFFERs, oldest first. */
  readonly nonces: string[]
  windowSince: number
  count: number
}

/** Whose OFFERs were answered lately. */
export interface OfferGate {
  /** In the order in which peers were last heard of. */
  readonly peers: Map<string, Offering>
}

/** A gate that knows nobody. */
export function createOfferGate(): OfferGate {
  return { peers: new Map() }
}

/**
 * Whether an OFFER is answered: null, or the code of the refusal. Each answered OFFER makes this node dial up to `CONNECTS_MAX`
 * times, so one peer gets `OFFERS_MAX` in `OFFERS_WINDOW_MS`, and each nonce counts once.
 */
export function admitOffer(
  gate: OfferGate,
  peer: string,
  nonce: Uint8Array,
  now: number,
): Extract<TraversalCode, 'exchange-replayed' | 'exchange-flood'> | null {
  const offering = gate.peers.get(peer) ?? { nonces: [], windowSince: now, count: 0 }
  gate.peers.delete(peer)
  gate.peers.set(peer, offering)
  for (const oldest of gate.peers.keys()) {
    if (gate.peers.size <= OFFERING_PEERS_MAX) break
    gate.peers.delete(oldest)
  }
  const name = toHex(nonce)
  if (offering.nonces.includes(name)) return 'exchange-replayed'
  if (now - offering.windowSince >= OFFERS_WINDOW_MS) Object.assign(offering, { windowSince: now, count: 0 })
  if (offering.count >= OFFERS_MAX) return 'exchange-flood'
  offering.count++
  offering.nonces.push(name)
  if (offering.nonces.length > NONCES_MAX) offering.nonces.shift()
  return null
}
