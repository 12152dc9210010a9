import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock } from '../../protocols/common/ports.ts'
import {
  beginTry,
  createLedger,
  endTry,
  noteRefused,
  orderCandidates,
  triedOf,
  type Candidate,
  type OwnPlaces,
  type Tried,
} from '../../protocols/traversal/candidates.ts'
import type { TraversalCode } from '../../protocols/traversal/errors.ts'
import { TRIED_PEERS_MAX } from '../../protocols/traversal/limits.ts'
import { endpointOf } from './addresses.ts'
import type { MeshNode } from './mesh-node.ts'

/** One address; its SYN is sent again after 1 and 3 s. */
const ADDRESS_TIMEOUT_MS = 4000

/** What looking for a direct way needs. */
export interface DirectTriesInit {
  readonly network: MeshNode
  /** Addresses a member announced, without its peer id. */
  readonly addressesOf: (peerId: string) => readonly string[]
  readonly own: () => OwnPlaces
  /** Both sides dial at once; null when it led to a connection. */
  readonly punch: (peerId: string, signal: AbortSignal) => Promise<TraversalCode | null>
  readonly clock: Clock
}

/** Looks for a direct way to a peer by all candidates, and remembers what was tried. */
export class DirectTries {
  readonly #init: DirectTriesInit
  readonly #ledger = createLedger()
  /** Addresses of the last try, by peer; as many as the ledger remembers. */
  readonly #dialled = new Map<string, string>()

  constructor(init: DirectTriesInit) {
    this.#init = init
  }

  /** What was tried to reach the peer, oldest first. */
  tried(peerId: string): readonly Tried[] {
    return triedOf(this.#ledger, peerId)
  }

  /** Whether the peer announces other addresses than were tried last: a port was mapped or forwarded for it, or it moved. */
  hasNews(peerId: string): boolean {
    const last = this.#dialled.get(peerId)
    return last !== undefined && last !== this.#init.addressesOf(peerId).join(' ')
  }

  /** The peer began a punch, and it led to a socket: this side tried too. */
  met(peerId: string): void {
    const { clock } = this.#init
    const isOurs = this.tried(peerId).some(({ way, outcome }) => way === 'punch' && outcome === 'trying')
    if (isOurs) return // it ends by itself
    const id = beginTry(this.#ledger, peerId, { way: 'punch', endpoint: null, relay: null }, clock.now())
    endTry(this.#ledger, peerId, id, null, clock.now())
  }

  /** Tries one candidate after another, the best first. Null when one led to a connection, otherwise why the last one did not. */
  async tryAll(peerId: string, signal: AbortSignal): Promise<TraversalCode | null> {
    const { addressesOf, own, clock } = this.#init
    this.#remember(peerId, addressesOf(peerId).join(' '))
    const addressed = new Map<Candidate, string>()
    for (const address of addressesOf(peerId)) {
      const endpoint = endpointOf(address)
      if (endpoint !== undefined) addressed.set({ way: 'public', endpoint, relay: null }, address)
    }
    const punch: Candidate = { way: 'punch', endpoint: null, relay: null }
    const { ordered, refused } = orderCandidates([...addressed.keys(), punch], own())
    noteRefused(this.#ledger, peerId, refused, clock.now())
    let reason: TraversalCode = 'no-endpoint'
    for (const candidate of ordered) {
      if (signal.aborted) return 'punch-cancelled'
      const id = beginTry(this.#ledger, peerId, candidate, clock.now())
      const address = addressed.get(candidate)
      const failure =
        address === undefined
          ? await this.#init.punch(peerId, signal)
          : await this.#dial(peerId, address, signal)
      endTry(this.#ledger, peerId, id, failure, clock.now())
      if (failure === null) return null
      reason = failure
    }
    return reason
  }

  #remember(peerId: string, addresses: string): void {
    this.#dialled.delete(peerId)
    this.#dialled.set(peerId, addresses)
    for (const oldest of this.#dialled.keys()) {
      if (this.#dialled.size <= TRIED_PEERS_MAX) break
      this.#dialled.delete(oldest)
    }
  }

  async #dial(peerId: string, address: string, parent: AbortSignal): Promise<TraversalCode | null> {
    const signal = AbortSignal.any([parent, AbortSignal.timeout(ADDRESS_TIMEOUT_MS)])
    try {
      await this.#init.network.dial(multiaddr(`${address}/p2p/${peerId}`), { signal, force: true })
      return null
    } catch (error) {
      if (this.#isDirect(peerId)) return null
      const { code, message } = error as Error & { code?: string }
      return code === 'ECONNREFUSED' || message.includes('ECONNREFUSED')
        ? 'endpoint-refused'
        : 'endpoint-silent'
    }
  }

  #isDirect(peerId: string): boolean {
    const open = this.#init.network.getConnections(peerIdFromString(peerId))
    return open.some(({ direct, status }) => direct && status === 'open')
  }
}
