import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import test from 'ava'
import { AddressRace } from '../../../node/transport/address-race.ts'
import { ADDRESSES_MAX } from '../../../protocols/registry/limits.ts'
import { side } from '../../protocols/secure-channel/mesh.ts'
import { meshNode } from './mesh.ts'

/** Ports of this machine nobody listens on; held all at once before, so that no two are the same. */
async function closedPorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

test('a peer that names more addresses than are tried is found among the first of them only', async (t) => {
  const [one, other] = [await meshNode(t, side()), await meshNode(t, side())]
  const id = other.peerId.toString()
  const good = other.getMultiaddrs()[0]?.toString() ?? ''
  const ports = await closedPorts(ADDRESSES_MAX)
  const closed = ports.map((port) => `/ip4/127.0.0.1/tcp/${port}/p2p/${id}`)
  const race = new AddressRace(one)
  const signal = AbortSignal.timeout(10_000)
  const error = await t.throwsAsync(race.dial(id, [...closed, good], signal))
  t.is((error as AggregateError).errors.length, ADDRESSES_MAX)
  t.is(one.getConnections().length, 0)
  const made = await race.dial(id, [...closed.slice(1), good], signal)
  t.is(made.remotePeer.toString(), id)
})
