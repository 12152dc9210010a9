import test from 'ava'
import { chooseEndpoints } from '../../../protocols/traversal/endpoint-rule.ts'
import type { Endpoint } from '../../../protocols/traversal/endpoint.ts'
import { answerPunch, startPunch } from '../../../protocols/traversal/punch.ts'
import type { PunchOptions } from '../../../protocols/traversal/punch-state.ts'
import { punchFormat, type Answer, type Offer } from '../../../protocols/traversal/wire.ts'
import { PunchDriver } from './punch-driver.ts'

/* Two homes whose NATs never meet over IPv4, and that have IPv6 behind firewalls. */

const v4 = (last: number): Endpoint => ({ ip: Uint8Array.of(52, 0, 0, last), port: 41_000 })
const v6 = (network: number, host: number): Endpoint => ({
  ip: Uint8Array.of(0x20, 3, 0, 0xe8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host),
  port: 41_000,
})
const NONCE = new Uint8Array(16).fill(7)
const SYMMETRIC = { mapping: 'address-dependent', filtering: 'address-and-port-dependent' } as const
const OPTIONS: PunchOptions = {
  ownId: 'a',
  peerId: 'b',
  nonce: NONCE,
  standing: SYMMETRIC,
  peerStanding: null,
  hasV6: true,
  vouched: [v4(2).ip, v6(2, 1).ip],
}
const half = (...endpoints: Endpoint[]) => ({
  version: 1 as const,
  nonce: NONCE,
  endpoints: endpoints.map(({ ip, port }) => ({ ip, port })),
  standing: SYMMETRIC,
})
const offer = (...endpoints: Endpoint[]): Offer => ({ kind: 1, ...half(...endpoints) })
const answer = (...endpoints: Endpoint[]): Answer => ({ kind: 2, readyMs: 20, ...half(...endpoints) })

const starting = (change: Partial<PunchOptions> = {}): PunchDriver =>
  new PunchDriver(startPunch({ ...OPTIONS, ...change }, 0))
const answering = (named: Offer, change: Partial<PunchOptions> = {}): PunchDriver =>
  new PunchDriver(answerPunch({ ...OPTIONS, ...change }, named, 0))
const reasonOf = ({ outcome }: PunchDriver): string | undefined =>
  outcome?.path === 'relay' ? outcome.reason : outcome?.path
const dialled = (driver: PunchDriver): Endpoint[] => driver.of('connect').map(({ endpoint }) => endpoint)

test('where no two NATs meet, both sides dial over IPv6 and nowhere else', (t) => {
  const initiator = starting({ peerStanding: SYMMETRIC })
    .tell({ type: 'reflected', endpoints: [v6(1, 1), v4(1)] })
    .tell({ type: 'frame', bytes: punchFormat.encode(answer(v6(2, 1), v4(2))) })
    .pass(0)
  t.deepEqual(dialled(initiator), [v6(2, 1)])
  const responder = answering(offer(v6(2, 1), v4(2)))
    .tell({ type: 'reflected', endpoints: [v6(1, 1), v4(1)] })
    .tell({ type: 'frame', bytes: punchFormat.encode({ kind: 3, nonce: NONCE }) })
  t.deepEqual(dialled(responder), [v6(2, 1)])
})

test('where NATs may meet, IPv4 is dialled beside IPv6', (t) => {
  const responder = answering(offer(v6(2, 1), v4(2)), { standing: null })
    .tell({ type: 'reflected', endpoints: [v6(1, 1), v4(1)] })
    .tell({ type: 'frame', bytes: punchFormat.encode({ kind: 3, nonce: NONCE }) })
  t.deepEqual(dialled(responder), [v6(2, 1), v4(2)])
})

test('without IPv6 on one side what the NATs forbid is not tried, and the other side hears why', (t) => {
  const both = 'both-ports-unknown'
  const cases: [string, PunchDriver, told: string[]][] = [
    ['known before', starting({ peerStanding: SYMMETRIC, hasV6: false }), []],
    [
      'this side lost its address',
      starting({ peerStanding: SYMMETRIC }).tell({ type: 'reflected', endpoints: [v4(1)] }),
      [],
    ],
    [
      'this side lost it, as the answer shows',
      starting()
        .tell({ type: 'reflected', endpoints: [v4(1)] })
        .tell({ type: 'frame', bytes: punchFormat.encode(answer(v6(2, 1), v4(2))) }),
      [both],
    ],
    [
      'the other side names none',
      starting()
        .tell({ type: 'reflected', endpoints: [v6(1, 1), v4(1)] })
        .tell({ type: 'frame', bytes: punchFormat.encode(answer(v4(2))) }),
      [both],
    ],
    ['offered none', answering(offer(v4(2))), [both]],
    ['offered, and this side has none', answering(offer(v6(2, 1)), { hasV6: false }), [both]],
    [
      'offered, and this side lost its own',
      answering(offer(v6(2, 1))).tell({ type: 'reflected', endpoints: [v4(1)] }),
      [both],
    ],
  ]
  for (const [what, driver, told] of cases) {
    t.is(reasonOf(driver), both, what)
    t.deepEqual(
      driver.sent().flatMap((message) => (message.kind === 4 ? [message.code] : [])),
      told,
      what,
    )
    t.deepEqual(dialled(driver), [], what)
  }
})

test('a host has several addresses of its network in IPv6: any of them is where it is known to be, and no other', (t) => {
  const { dialled: chosen, refused } = chooseEndpoints([v6(2, 99), v6(3, 1), v4(3)], [], OPTIONS.vouched)
  t.deepEqual(chosen, [v6(2, 99)])
  t.deepEqual(
    refused.map(({ code }) => code),
    ['address-not-vouched', 'address-not-vouched'],
  )
})
