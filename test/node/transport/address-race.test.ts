import { createServer, type AddressInfo } from 'node:net'
import test from 'ava'
import { AddressRace } from '../../../node/transport/address-race.ts'
import { ADDRESSES_MAX } from '../../../protocols/registry/limits.ts'
import { side } from '../../protocols/secure-channel/mesh.ts'
import { meshNode } from './mesh.ts'

/** A port of this machine nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

test('a peer that names more addresses than are tried is found among the first of them only', async (t) => {
  const [one, other] = [await meshNode(t, side()), await meshNode(t, side())]
  const id = other.peerId.toString()
  const good = other.getMultiaddrs()[0]?.toString() ?? ''
  const closed: string[] = []
  for (let i = 0; i < ADDRESSES_MAX; i++) closed.push(`/ip4/127.0.0.1/tcp/${await closedPort()}/p2p/${id}`)
  const race = new AddressRace(one)
  const signal = AbortSignal.timeout(10_000)
  const error = await t.throwsAsync(race.dial(id, [...closed, good], signal))
  t.is((error as AggregateError).errors.length, ADDRESSES_MAX)
  t.is(one.getConnections().length, 0)
  const made = await race.dial(id, [...closed.slice(1), good], signal)
  t.is(made.remotePeer.toString(), id)
})
