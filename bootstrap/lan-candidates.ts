import {
  CANDIDATE_PEERS_MAX,
  CANDIDATES_PER_PEER_MAX,
  SIGHTED_AGAIN_MS,
  SIGHTED_DIALS_MAX,
  SIGHTED_DIALS_PER_PEER,
} from './limits.ts'

const MINUTE_MS = 60_000

interface Candidate {
  readonly address: string
  endsAt: number
}

/** Addresses seen on the LAN, by peer, each for as long as its record lives; and how often a sighting may bring about a dial. Times in ms. */
export class LanCandidates {
  /** In the order in which peers were last seen. */
  readonly #byPeer = new Map<string, Candidate[]>()
  #dials = {
    since: Number.NEGATIVE_INFINITY,
    total: 0,
    byPeer: new Map<string, { count: number; at: number }>(),
  }

  /** Remembers where a peer was seen; whether any of it is news. */
  add(peer: string, addresses: readonly string[], endsAt: number, now: number): boolean {
    const held = (this.#byPeer.get(peer) ?? []).filter((candidate) => candidate.endsAt > now)
    const isNews = addresses.some((address) => held.every((candidate) => candidate.address !== address))
    const kept = held.filter(({ address }) => !addresses.includes(address))
    kept.push(...addresses.map((address) => ({ address, endsAt })))
    kept.sort((a, b) => b.endsAt - a.endsAt)
    this.#byPeer.delete(peer)
    this.#byPeer.set(peer, kept.slice(0, CANDIDATES_PER_PEER_MAX))
    for (const oldest of this.#byPeer.keys()) {
      if (this.#byPeer.size <= CANDIDATE_PEERS_MAX) break
      this.#byPeer.delete(oldest)
    }
    return isNews
  }

  /** Where the peer was seen lately, without /p2p/; the newest first. */
  addressesOf(peer: string, now: number): string[] {
    return (this.#byPeer.get(peer) ?? []).filter(({ endsAt }) => endsAt > now).map(({ address }) => address)
  }

  /** Peers that were seen lately. */
  peers(now: number): string[] {
    for (const [peer, candidates] of this.#byPeer)
      if (candidates.every(({ endsAt }) => endsAt <= now)) this.#byPeer.delete(peer)
    return [...this.#byPeer.keys()]
  }

  /** Whether a sighting of this peer may bring about a dial now; counts it. */
  takeDial(peer: string, isNews: boolean, now: number): boolean {
    if (Math.abs(now - this.#dials.since) >= MINUTE_MS)
      this.#dials = { since: now, total: 0, byPeer: new Map() }
    const { byPeer, total } = this.#dials
    const { count, at } = byPeer.get(peer) ?? { count: 0, at: Number.NEGATIVE_INFINITY }
    if (total >= SIGHTED_DIALS_MAX || count >= SIGHTED_DIALS_PER_PEER) return false
    if (!isNews && now - at < SIGHTED_AGAIN_MS) return false
    byPeer.set(peer, { count: count + 1, at: now })
    this.#dials.total++
    return true
  }
}
