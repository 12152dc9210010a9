import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { ADDRESSES_MAX } from '../../protocols/registry/limits.ts'
import { byLocality } from './addresses.ts'
import { firstToSucceed } from './attempts.ts'
import { deadline } from './deadline.ts'
import { partsOf } from './libp2p-parts.ts'
import type { MeshNode } from './mesh-node.ts'
import { SharedWork } from './shared-work.ts'

/** When the next address is tried beside one that has not answered (RFC 8305 §5). */
const NEXT_ADDRESS_MS = 250
/** All of them together. */
const RACE_MS = 5000

/**
 * Dials the addresses of peers side by side. libp2p dials them one after another: behind a firewall that swallows packets the
 * first one takes all the time there is.
 */
export class AddressRace {
  readonly #network: MeshNode
  /** Races under way, by peer and addresses. */
  readonly #shared = new SharedWork<Connection>()

  constructor(network: MeshNode) {
    this.#network = network
  }

  /**
   * The first connection to the peer at one of these full multiaddrs. @throws the error of the only address, or an AggregateError
   * of all, when none leads there; Error without addresses.
   */
  dial(peerId: string, addresses: readonly string[], signal: AbortSignal): Promise<Connection> {
    const key = [peerId, ...addresses].join(' ')
    return this.#shared.join(key, (shared) => this.#race(addresses, shared), signal)
  }

  async #race(addresses: readonly string[], parent: AbortSignal): Promise<Connection> {
    const own = new Set(this.#network.getMultiaddrs().map((address) => withoutPeer(address.toString())))
    const targets = [...new Set(addresses)]
      .filter((address) => !address.includes('/p2p-circuit') && !own.has(withoutPeer(address)))
      .map((address) => multiaddr(address))
      .toSorted((a, b) =>
        byLocality({ multiaddr: a, isCertified: false }, { multiaddr: b, isCertified: false }),
      )
      .slice(0, ADDRESSES_MAX)
    if (targets.length === 0) throw new Error('no address of it leads elsewhere')
    const failures: unknown[] = []
    let winner: Connection | undefined
    const others = new Set<AbortController>()
    const attempts = targets.map((address) => async () => {
      // Of its own, and ended on success: node:net destroys a socket whose signal aborts, however long it has stood.
      const lost = new AbortController()
      others.add(lost)
      const limit = deadline(AbortSignal.any([parent, lost.signal]), RACE_MS)
      try {
        const { signal } = limit
        const made = await partsOf(this.#network).transportManager.dial(address, { signal })
        others.delete(lost)
        winner ??= made
        // Too late: the other side sees an orderly end of a connection nobody used.
        if (winner !== made) void made.close().catch((error: Error) => made.abort(error))
        return winner
      } catch (error) {
        failures.push(error)
        throw error
      } finally {
        limit.end()
      }
    })
    try {
      return await firstToSucceed(attempts, NEXT_ADDRESS_MS, parent)
    } catch (error) {
      throw failures.length > 1 ? new AggregateError(failures, (error as Error).message) : error
    } finally {
      for (const lost of others) lost.abort(new Error('another address was quicker'))
    }
  }
}

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/.*$/, '')
}
