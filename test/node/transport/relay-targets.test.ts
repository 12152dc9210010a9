import test from 'ava'
import {
  RelayTargets,
  RESTING_MAX,
  TARGET_ADDRESSES_MAX,
  TARGET_REST_MS,
} from '../../../node/transport/relay-targets.ts'
import type { RelayError } from '../../../protocols/relay/errors.ts'
import { virtualTime, type VirtualTime } from '../../protocols/virtual-time.ts'

interface World {
  readonly time: VirtualTime
  readonly dialled: string[][]
  /** `made`, or why not. */
  reach(peerId: string): Promise<string>
}

function world(announced: Readonly<Record<string, readonly string[]>>, isAway = false): World {
  const time = virtualTime()
  const dialled: string[][] = []
  const targets = new RelayTargets({
    announcedBy: (id) => announced[id] ?? (id.startsWith('away') ? ['/ip4/9.9.9.9/tcp/4701'] : undefined),
    dial(_, addresses) {
      dialled.push([...addresses])
      return isAway ? Promise.reject(new Error('silent')) : Promise.resolve()
    },
    clock: time.clock,
  })
  const reach = (peerId: string): Promise<string> =>
    targets.reach(peerId, new AbortController().signal).then(
      () => 'made',
      (error: RelayError) => error.code ?? error.message,
    )
  return { time, dialled, reach }
}

/** All that is not on the internet: the relay's own network and machine, providers' NATs, names. */
const INSIDE = [
  '/ip4/192.168.1.2/tcp/4701',
  '/ip4/10.0.0.1/tcp/22',
  '/ip4/172.16.0.1/tcp/80',
  '/ip4/100.64.0.1/tcp/4701',
  '/ip4/169.254.169.254/tcp/80',
  '/ip4/127.0.0.1/tcp/6379',
  '/ip4/0.0.0.0/tcp/80',
  '/ip6/::1/tcp/80',
  '/ip6/::ffff:10.0.0.1/tcp/80',
  '/ip6/fd00::1/tcp/80',
  '/ip6/fe80::1/tcp/80',
  '/dns4/router.lan/tcp/80',
]

for (const address of INSIDE)
  test(`a relay does not dial ${address} for another member`, async (t) => {
    const { dialled, reach } = world({ target: [address] })
    t.is(await reach('target'), 'relay-target-away')
    t.deepEqual(dialled, [])
  })

test('of what a target announces a relay dials the first public addresses', async (t) => {
  const open = [
    '/ip4/5.6.7.8/tcp/443',
    '/ip6/2a00::7/tcp/4701',
    '/ip4/5.6.7.9/tcp/4701',
    '/ip4/5.6.8.0/tcp/1',
  ]
  const { dialled, reach } = world({ target: [...INSIDE.slice(0, 4), ...open] })
  t.is(await reach('target'), 'made')
  t.deepEqual(dialled, [open.slice(0, TARGET_ADDRESSES_MAX).map((address) => `${address}/p2p/target`)])
})

test('whom the table does not know is not looked for', async (t) => {
  const { dialled, reach } = world({})
  t.is(await reach('stranger'), 'relay-target-away')
  t.deepEqual(dialled, [])
})

test('a target that could not be reached rests, however often members ask', async (t) => {
  const { time, dialled, reach } = world({}, true)
  t.is(await reach('away'), 'silent')
  for (let i = 0; i < 240; i++) t.is(await reach('away'), 'relay-target-away')
  t.is(dialled.length, 1)
  t.is(await reach('away too'), 'silent', 'another one is not held up')
  time.pass(TARGET_REST_MS)
  t.is(await reach('away'), 'silent')
  t.is(dialled.length, 3)
})

test('as many targets rest as there is room for; then the one that rests longest is dialled again', async (t) => {
  const { reach } = world({}, true)
  for (let i = 0; i <= RESTING_MAX; i++) t.is(await reach(`away ${i}`), 'silent')
  t.is(await reach('away 1'), 'relay-target-away')
  t.is(await reach('away 0'), 'silent')
})
