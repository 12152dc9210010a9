import { parseBootstrapAddress, type BootstrapAddress } from '../../bootstrap/addresses.ts'
import type { LanPeer } from '../../bootstrap/lan-tags.ts'
import { LAN_JOIN_MS } from '../../bootstrap/limits.ts'
import type { EmitEvent } from '../../protocols/common/ports.ts'
import { steadyClock, systemClock, systemRandom, systemTimers } from '../system-ports.ts'
import { Nearby } from './nearby.ts'

/** Whom to look for before there is a membership: an invite names its mesh and its doors. */
export interface NearbyDoorsInit {
  readonly meshId: Uint8Array
  readonly peers: readonly LanPeer[]
  /** Multiaddrs at which this machine is going to listen: on other interfaces it does not look. */
  readonly listen: readonly string[]
  readonly emit: EmitEvent
  readonly signal?: AbortSignal | undefined
  /** On the loopback interface and nowhere else, for tests. */
  readonly loopback?: boolean
}

/** Looks for these peers on the LAN for `LAN_JOIN_MS`, saying nothing of this machine; where they are. */
export async function findNearbyDoors(init: NearbyDoorsInit): Promise<BootstrapAddress[]> {
  const found = new Set<string>()
  const nearby = new Nearby({
    meshId: init.meshId,
    selfKey: null,
    listening: () => init.listen,
    peers: () => init.peers,
    connected: () => [],
    found: (peer) => found.add(peer),
    wallClock: systemClock,
    steadyClock,
    timers: systemTimers,
    random: systemRandom,
    emit: init.emit,
    ...(init.loopback === undefined ? {} : { loopback: init.loopback }),
  })
  nearby.start()
  // A timer of its own: systemTimers do not keep a process alive, and a joiner has nothing else that would.
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, LAN_JOIN_MS)
    function done(): void {
      clearTimeout(timer)
      init.signal?.removeEventListener('abort', done)
      resolve()
    }
    if (init.signal?.aborted === true) done()
    else init.signal?.addEventListener('abort', done, { once: true })
  })
  const doors = [...found].flatMap((peer) => nearby.addressesOf(peer).map(parseBootstrapAddress))
  await nearby.stop()
  return doors
}
