import { networkInterfaces } from 'node:os'
import test from 'ava'
import { endpointsTowards } from '../../../node/traversal/own-v6.ts'
import { ipText } from '../../../node/traversal/socket-endpoint.ts'
import type { Endpoint } from '../../../protocols/traversal/endpoint.ts'

const at = (...first: number[]): Endpoint => ({
  ip: Uint8Array.from({ length: 16 }, (_, i) => first[i] ?? 0),
  port: 9,
})
const V4: Endpoint = { ip: Uint8Array.of(52, 0, 0, 1), port: 40_000 }
const seen = (): Promise<readonly Endpoint[]> => Promise.resolve([V4])
const nobody = (): Promise<never> => Promise.reject(new Error('nobody says it'))

test('where nothing leads to the peer over IPv6, reflectors alone say where this node is seen', async (t) => {
  const loopback = at()
  loopback.ip[15] = 1
  for (const peer of [null, loopback, at(0xfd, 0x11, 0x22), at(0xfe, 0x80)]) {
    t.deepEqual(await endpointsTowards(peer, 7, seen), [V4])
    await t.throwsAsync(endpointsTowards(peer, 7, nobody), { message: 'nobody says it' })
  }
})

test('an address in IPv6 is one of this machine, comes first, and needs no reflector', async (t) => {
  const [first, ...others] = await endpointsTowards(at(0x2a, 0x11), 7, seen)
  // Only a machine that has IPv6 shows it here; the lab's machines do.
  if (first === V4) return t.deepEqual(others, [])
  const texts = Object.values(networkInterfaces()).flatMap(
    (each) => each?.map(({ address }) => address) ?? [],
  )
  t.true(texts.includes(new URL(`http://[${ipText(first?.ip ?? V4.ip)}]`).hostname.slice(1, -1)))
  t.is(first?.port, 7)
  t.deepEqual(others, [V4])
  t.deepEqual(await endpointsTowards(at(0x2a, 0x11), 7, nobody), [first])
})
