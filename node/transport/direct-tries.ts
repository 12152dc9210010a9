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
import { firstToSucceed } from './attempts.ts'

/**
 * When the next candidate is tried beside those that have not answered: a dial and its handshake are done by then, whoever is less
 * than 250 ms away. Firewalls swallow what is sent to an announced address of IPv6, and a punch then need not wait for that.
 */
const NEXT_CANDIDATE_MS = 500

/** A candidate was tried for nothing; the message is the code. */
class LedNowhere extends Error {}

/** What looking for a direct way needs. */
export interface DirectTriesInit {
  /** Dials an announced address, its peer id included. */
  readonly dial: (peerId: string, address: string, signal: AbortSignal) => Promise<unknown>
  /** Whether a direct connection to the peer stands. */
  readonly isDirect: (peerId: string) => boolean
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

  /** Tries all candidates, the best first. Null when one led to a connection, otherwise why the last of them did not. */
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
    const won = new AbortController()
    const all = AbortSignal.any([signal, won.signal])
    let last: TraversalCode = 'punch-cancelled'
    const tries = ordered.map((candidate) => async () => {
      const failure = await this.#try(peerId, candidate, addressed.get(candidate), all)
      if (failure === null) return
      if (candidate === ordered.at(-1)) last = failure
      throw new LedNowhere(failure)
    })
    try {
      await firstToSucceed(tries, NEXT_CANDIDATE_MS, signal)
      return null
    } catch (error) {
      if (signal.aborted) return 'punch-cancelled'
      if (!(error instanceof LedNowhere)) throw error
      return last
    } finally {
      won.abort(new Error('another way was quicker'))
    }
  }

  /** Tries one, and writes down how it ended. */
  async #try(
    peerId: string,
    candidate: Candidate,
    address: string | undefined,
    signal: AbortSignal,
  ): Promise<TraversalCode | null> {
    const { clock, punch } = this.#init
    const id = beginTry(this.#ledger, peerId, candidate, clock.now())
    const failure =
      address === undefined ? await punch(peerId, signal) : await this.#dial(peerId, address, signal)
    endTry(this.#ledger, peerId, id, failure, clock.now())
    return failure
  }

  #remember(peerId: string, addresses: string): void {
    this.#dialled.delete(peerId)
    this.#dialled.set(peerId, addresses)
    for (const oldest of this.#dialled.keys()) {
      if (this.#dialled.size <= TRIED_PEERS_MAX) break
      this.#dialled.delete(oldest)
    }
  }

  async #dial(peerId: string, address: string, signal: AbortSignal): Promise<TraversalCode | null> {
    try {
      await this.#init.dial(peerId, `${address}/p2p/${peerId}`, signal)
      return null
    } catch (error) {
      if (signal.aborted) return 'punch-cancelled'
      if (this.#init.isDirect(peerId)) return null
      const { code, message } = error as Error & { code?: string }
      return code === 'ECONNREFUSED' || message.includes('ECONNREFUSED')
        ? 'endpoint-refused'
        : 'endpoint-silent'
    }
  }
}
