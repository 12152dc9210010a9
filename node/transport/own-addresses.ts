import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import type { Timers } from '../../protocols/common/ports.ts'
import { ipBytes } from '../../bootstrap/ip-bytes.ts'
import { partsOf } from './libp2p-parts.ts'
import type { MeshNode } from './mesh-node.ts'

/** How often the interfaces are compared with what they were: reading them takes 50 µs. */
const LOOK_MS = 2000

/**
 * Watches this machine's addresses. libp2p keeps public addresses to itself until somebody far away confirmed them, by rules no
 * small mesh meets: a node on a public address would tell others of its loopback address only. Ours are told at once; whether
 * they can be reached is found out by members. `changed` is told when interfaces came, went or moved. Returns the way to stop.
 */
export function watchOwnAddresses(network: MeshNode, timers: Timers, changed: () => void): () => void {
  const { addressManager, transportManager } = partsOf(network)
  const confirm = (): void => {
    for (const address of transportManager.getAddrs())
      addressManager.confirmObservedAddr(address, { type: 'transport', ttl: Number.MAX_SAFE_INTEGER })
  }
  const present = (): string =>
    ownAddresses()
      .map((ip) => ip.join('.'))
      .toSorted()
      .join(' ')
  let last = present()
  confirm()
  return timers.every(LOOK_MS, () => {
    const now = present()
    if (now === last) return
    last = now
    confirm()
    changed()
  })
}

/** Addresses of all interfaces but loopback, 4 or 16 bytes. */
export function ownAddresses(): Uint8Array[] {
  return interfaceAddresses()
    .filter(({ internal }) => !internal)
    .flatMap(({ address }) => ipBytes(address) ?? [])
}

/** Addresses of all interfaces, loopback too, as the system writes them, without zones. */
export function ownAddressTexts(): Set<string> {
  return new Set(interfaceAddresses().map(({ address }) => address.split('%')[0] ?? address))
}

function interfaceAddresses(): NetworkInterfaceInfo[] {
  return Object.values(networkInterfaces())
    .flat()
    .filter((each) => each !== undefined)
}
