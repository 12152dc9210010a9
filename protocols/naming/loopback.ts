import { sha256 } from '../common/signing.ts'
import { utf8 } from '../common/bytes.ts'
import { LOOPBACK_BASE, LOOPBACK_COUNT } from './limits.ts'

/**
 * The `attempt`-th loopback address in 127.64.0.0/10 for a service on a node: from a hash of both, so that it is the same
 * after every restart and differs between two nodes on one machine.
 */
export function loopbackAddress(nodeId: string, service: string, attempt: number): string {
  const hash = sha256(utf8(`kith/loopback/1\0${nodeId}\0${service}\0${attempt}`))
  const offset = new DataView(hash.buffer).getUint32(0) % LOOPBACK_COUNT
  const address = LOOPBACK_BASE + offset
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.')
}
