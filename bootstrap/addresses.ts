import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { keyFromPeerId } from '../protocols/common/peer-id.ts'
import { BootstrapError } from './errors.ts'
import { ADDRESS_CHARACTERS_MAX, ADDRESS_LIST_MAX } from './limits.ts'

/** A place to dial, and whom to expect there. */
export interface BootstrapAddress {
  /** Peer id text of the last /p2p/: the peer behind a relay, not the relay. */
  readonly peer: string
  readonly key: Uint8Array
  /** Canonical multiaddr text. */
  readonly address: string
}

/**
 * Reads one address that must name an Ed25519 peer: Noise IK encrypts to the key before anything is said.
 * @throws BootstrapError `address-malformed`, `address-without-peer`, `address-wrong-key-type`.
 */
export function parseBootstrapAddress(text: string): BootstrapAddress {
  const shown = `"${text.slice(0, 80)}"`
  if (text.length > ADDRESS_CHARACTERS_MAX)
    throw new BootstrapError('address-malformed', `${shown}… is too long`)
  let parsed: Multiaddr
  let components: { name: string; value?: string }[]
  try {
    parsed = multiaddr(text.trim())
    components = parsed.getComponents()
  } catch (cause) {
    throw new BootstrapError('address-malformed', `${shown} is not a multiaddr`, { cause })
  }
  const last = components.at(-1)
  if (last?.name !== 'p2p' || last.value === undefined || components.length < 2) {
    throw new BootstrapError(
      'address-without-peer',
      `${shown} does not end with /p2p/PEER after a place to dial`,
    )
  }
  try {
    return { peer: last.value, key: keyFromPeerId(last.value), address: parsed.toString() }
  } catch (cause) {
    throw new BootstrapError('address-wrong-key-type', `${shown}: ${last.value} is no Ed25519 peer id`, {
      cause,
    })
  }
}

/**
 * Reads a list; repeated addresses count once.
 * @throws BootstrapError as `parseBootstrapAddress`, and `address-list-too-long`.
 */
export function parseBootstrapAddresses(texts: readonly string[]): BootstrapAddress[] {
  if (texts.length > ADDRESS_LIST_MAX) {
    throw new BootstrapError(
      'address-list-too-long',
      `${texts.length} addresses, the limit is ${ADDRESS_LIST_MAX}`,
    )
  }
  const byAddress = new Map<string, BootstrapAddress>()
  for (const text of texts) {
    const parsed = parseBootstrapAddress(text)
    byAddress.set(parsed.address, parsed)
  }
  return [...byAddress.values()]
}

/** Addresses of a list that hold, for lists from outside (a join reply, an old store), where one bad line must not cost the rest. */
export function validBootstrapAddresses(texts: readonly string[]): BootstrapAddress[] {
  return texts.slice(0, ADDRESS_LIST_MAX).flatMap((text) => {
    try {
      return [parseBootstrapAddress(text)]
    } catch (error) {
      if (error instanceof BootstrapError) return []
      throw error
    }
  })
}
