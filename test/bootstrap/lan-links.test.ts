import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import test from 'ava'
import { LAN_LINKS_MAX } from '../../bootstrap/limits.ts'
import { lanInterfaces, type LanInterface } from '../../node/transport/lan-interfaces.ts'
import { LanSockets } from '../../node/transport/lan-socket.ts'
import type { EventInput } from '../../protocols/common/ports.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test.serial(
  'so many links are used as the limit allows, two of each interface; later interfaces are left out',
  (t) => {
    const { networkInterfaces } = os
    t.teardown(() => {
      os.networkInterfaces = networkInterfaces
      syncBuiltinESMExports()
    })
    /** On a machine with so many interfaces, each with both families. */
    const used = (count: number): string[] => {
      const own: os.NetworkInterfaceInfo[] = [
        {
          family: 'IPv4',
          address: '127.0.0.1',
          netmask: '255.0.0.0',
          cidr: '127.0.0.1/8',
          mac: '',
          internal: true,
        },
        {
          family: 'IPv6',
          address: '2001:db8::1',
          netmask: 'ffff:ffff::',
          cidr: '2001:db8::1/32',
          mac: '',
          internal: true,
          scopeid: 0,
        },
      ]
      os.networkInterfaces = () => Object.fromEntries(range(count).map((n) => [`br${n}`, own]))
      syncBuiltinESMExports()
      return lanInterfaces({ loopback: true }).flatMap(({ name, addresses }) => addresses.map(() => name))
    }
    const all = range(LAN_LINKS_MAX / 2).flatMap((n) => [`br${n}`, `br${n}`])
    t.is(all.length, LAN_LINKS_MAX)
    t.deepEqual(used(LAN_LINKS_MAX / 2), all)
    t.deepEqual(used(LAN_LINKS_MAX / 2 + 1), all)
  },
)

test.serial(
  'of links that cannot be opened so many are told in a run, however many new names come',
  async (t) => {
    const events: EventInput[] = []
    const sockets = new LanSockets({
      onPacket: () => undefined,
      onReady: () => t.fail('no interface here has such an address'),
      emit: (event) => void events.push(event),
      clock: { now: () => 0 },
    })
    t.teardown(() => sockets.close())
    const failing = (n: number): LanInterface => ({ name: `veth${n}`, addresses: ['192.0.2.1'], subnets: [] })
    /** Containers start, their links fail, and they are gone. */
    const comeAndGo = async (numbers: readonly number[]): Promise<number> => {
      sockets.update(numbers.map(failing))
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve))
      sockets.update([])
      return events.length
    }
    t.is(await comeAndGo(range(LAN_LINKS_MAX - 1)), LAN_LINKS_MAX - 1)
    t.is(await comeAndGo([LAN_LINKS_MAX]), LAN_LINKS_MAX)
    t.is(await comeAndGo([LAN_LINKS_MAX + 1]), LAN_LINKS_MAX, 'one more is not told')
    t.true(events.every(({ kind, reason }) => kind === 'lan.unavailable' && reason === 'lan-unavailable'))
  },
)
