import { scopeOf } from '../../protocols/traversal/endpoint.ts'
import { RelayError } from '../../protocols/relay/errors.ts'
import type { Clock } from '../../protocols/common/ports.ts'
import { endpointOf, fullAddresses } from './addresses.ts'

/** Addresses of a target a relay dials for somebody else: one in IPv4 and one in IPv6, or a router's port beside the own one. */
export const TARGET_ADDRESSES_MAX = 2
/** After a dial for others that led nowhere the target rests: whoever asks, this node sends at most that many SYNs to what a member announced. */
export const TARGET_REST_MS = 10_000
/** Targets that rest; at the limit the one that rests longest may be dialled again. */
export const RESTING_MAX = 1_024

/** What a relay that dials for others needs. */
export interface RelayTargetsInit {
  /** What the table's current members announce, without the peer id; undefined for whom it does not know, and for one that left. */
  readonly announcedBy: (peerId: string) => readonly string[] | undefined
  /** Dials full multiaddrs. */
  readonly dial: (peerId: string, addresses: readonly string[], signal: AbortSignal) => Promise<unknown>
  /** Never goes back. */
  readonly clock: Clock
}

/**
 * Connections a relay makes because another member asks for a way to a third. Where they lead is what that third wrote into its
 * registration: so only to members of the table, without a question to the DHT, and only to public addresses; what is in this
 * relay's own network, or on this machine, is none of theirs.
 */
export class RelayTargets {
  readonly #init: RelayTargetsInit
  /** When targets may be dialled again, in the order in which they failed. */
  readonly #restingUntil = new Map<string, number>()

  constructor(init: RelayTargetsInit) {
    this.#init = init
  }

  /** Connects directly to a member for another one. @throws RelayError `relay-target-away`; what the dial throws. */
  async reach(peerId: string, signal: AbortSignal): Promise<void> {
    const { announcedBy, dial, clock } = this.#init
    if (clock.now() < (this.#restingUntil.get(peerId) ?? 0))
      throw new RelayError('relay-target-away', `${peerId} could not be reached a moment ago`)
    const dialled = publicAddresses(announcedBy(peerId) ?? [])
    if (dialled.length === 0)
      throw new RelayError('relay-target-away', `${peerId} announces no public address`)
    try {
      await dial(peerId, fullAddresses(dialled, peerId), signal)
    } catch (error) {
      this.#rest(peerId)
      throw error
    }
  }

  #rest(peerId: string): void {
    this.#restingUntil.delete(peerId)
    this.#restingUntil.set(peerId, this.#init.clock.now() + TARGET_REST_MS)
    for (const longest of this.#restingUntil.keys()) {
      if (this.#restingUntil.size <= RESTING_MAX) break
      this.#restingUntil.delete(longest)
    }
  }
}

/** Those on the internet, the first few. */
function publicAddresses(addresses: readonly string[]): string[] {
  return addresses
    .filter((address) => {
      const endpoint = endpointOf(address)
      return endpoint !== undefined && scopeOf(endpoint.ip) === 'public'
    })
    .slice(0, TARGET_ADDRESSES_MAX)
}
