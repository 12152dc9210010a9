import { networkInterfaces } from 'node:os'
import test from 'ava'
import { ownV6Towards } from '../../../node/traversal/own-v6.ts'
import { ipText } from '../../../node/traversal/socket-endpoint.ts'

const at = (...first: number[]) => ({ ip: Uint8Array.from({ length: 16 }, (_, i) => first[i] ?? 0), port: 9 })

test('without a way there, or with an address of this host or network alone, there is no own address', async (t) => {
  const loopback = at()
  loopback.ip[15] = 1
  t.is(await ownV6Towards(loopback), null)
  t.is(await ownV6Towards(at(0xfd, 0x11, 0x22)), null)
  t.is(await ownV6Towards(at(0xfe, 0x80)), null)
})

test('what is given is an address of this machine', async (t) => {
  const own = await ownV6Towards(at(0x2a, 0x11))
  const texts = Object.values(networkInterfaces()).flatMap(
    (each) => each?.map(({ address }) => address) ?? [],
  )
  t.true(own === null || texts.includes(new URL(`http://[${ipText(own)}]`).hostname.slice(1, -1)))
})
