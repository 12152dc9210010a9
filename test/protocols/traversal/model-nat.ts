import { endpointKey, ipKey, type Endpoint } from '../../../protocols/traversal/endpoint.ts'
import type { Dependence, NatBehaviour } from '../../../protocols/traversal/nat.ts'

/** How a model NAT chooses outside ports where it does not keep them. */
export type PortChoice = 'random' | 'sequential'

/** A NAT as RFC 4787 describes it. */
export class ModelNat {
  readonly address: Uint8Array
  readonly behaviour: NatBehaviour
  /** What it does with a connection nobody inside has asked for. */
  readonly unsolicited: 'drop' | 'reset'
  readonly #nextPort: () => number
  readonly #outsides = new Map<string, Endpoint>()
  readonly #mappings = new Map<number, { inside: Endpoint; key: string }>()
  /** Remote addresses and endpoints sent to, by outside port. */
  readonly #sentTo = new Map<number, Set<string>>()

  constructor(
    address: Uint8Array,
    behaviour: NatBehaviour,
    options: { random: () => number; ports?: PortChoice; unsolicited?: 'drop' | 'reset' },
  ) {
    this.address = address
    this.behaviour = behaviour
    this.unsolicited = options.unsolicited ?? 'drop'
    let turn = 30_000
    this.#nextPort =
      options.ports === 'sequential' ? () => turn++ : () => 20_000 + Math.floor(options.random() * 40_000)
  }

  /** Outside endpoint of a packet from `inside` to `remote`; opens the way back. */
  out(inside: Endpoint, remote: Endpoint): Endpoint {
    const key = `${endpointKey(inside)}>${scopeKey(this.behaviour.mapping, remote)}`
    let outside = this.#outsides.get(key)
    if (outside === undefined) {
      let port = this.behaviour.keepsPort ? inside.port : this.#nextPort()
      const isKept = (): boolean => !this.behaviour.keepsPort && port === inside.port
      while (this.#mappings.has(port) || isKept()) port = this.#nextPort()
      outside = { ip: this.address, port }
      this.#outsides.set(key, outside)
      this.#mappings.set(port, { inside, key })
    }
    const sentTo = this.#sentTo.get(outside.port) ?? new Set<string>()
    sentTo.add(ipKey(remote.ip)).add(endpointKey(remote))
    this.#sentTo.set(outside.port, sentTo)
    return outside
  }

  /** Inside endpoint of a packet from `remote` to our `port`; null when it is not let in. */
  in(remote: Endpoint, port: number): Endpoint | null {
    const mapping = this.#mappings.get(port)
    const key = scopeKey(this.behaviour.filtering, remote)
    return mapping !== undefined && (key === '' || this.#sentTo.get(port)?.has(key) === true)
      ? mapping.inside
      : null
  }
}

/** What of `remote` a mapping or filter depends on. */
function scopeKey(dependence: Dependence, remote: Endpoint): string {
  if (dependence === 'endpoint-independent') return ''
  return dependence === 'address-dependent' ? ipKey(remote.ip) : endpointKey(remote)
}

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
