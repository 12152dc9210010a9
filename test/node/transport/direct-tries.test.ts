import test from 'ava'
import { DirectTries, type DirectTriesInit } from '../../../node/transport/direct-tries.ts'
import { steadyClock } from '../../../node/system-ports.ts'
import type { TraversalCode } from '../../../protocols/traversal/errors.ts'

const PUBLIC = ['/ip4/52.0.0.1/tcp/4701', '/ip6/2003:e8::1/tcp/4701', '/ip4/52.0.0.2/tcp/4701']
const signal = new AbortController().signal

/** Never answers; ends when it is no longer wanted. */
function silence(_peer: string, _address: string, wanted: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    wanted.addEventListener('abort', () => reject(wanted.reason as Error), { once: true }),
  )
}

function refusal(): Promise<never> {
  return Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
}

function tries(change: Partial<DirectTriesInit>) {
  const of = new DirectTries({
    dial: silence,
    isDirect: () => false,
    addressesOf: () => PUBLIC,
    own: () => ({ addresses: [], endpoints: [] }),
    punch: () => Promise.resolve('port-unknown'),
    clock: steadyClock,
    ...change,
  })
  const told = (): string[] =>
    of.tried('p').map(({ way, outcome, reason }) => [way, outcome, reason ?? ''].join(' ').trim())
  return { of, told }
}

test('a punch does not wait for addresses a firewall swallows all that is sent to', async (t) => {
  const started = performance.now()
  const { of, told } = tries({ punch: () => Promise.resolve(null) })
  t.is(await of.tryAll('p', signal), null)
  t.true(performance.now() - started < 3000)
  await Promise.resolve()
  t.deepEqual(told(), [...PUBLIC.map(() => 'public failed punch-cancelled'), 'punch connected'])
})

test('an address that answers is enough: nothing else is begun, and what waits is given up', async (t) => {
  const asked: string[] = []
  const { of, told } = tries({
    dial: (peer, address, wanted) => {
      asked.push(address)
      return address.includes('52.0.0.1') ? Promise.resolve() : silence(peer, address, wanted)
    },
  })
  t.is(await of.tryAll('p', signal), null)
  await Promise.resolve()
  t.deepEqual(asked, [`${PUBLIC[1]}/p2p/p`, `${PUBLIC[0]}/p2p/p`], 'IPv6 first')
  t.deepEqual(told(), ['public failed punch-cancelled', 'public connected'])
})

test('what refuses is followed at once, and the punch says why there is no way', async (t) => {
  const { of, told } = tries({ dial: refusal })
  const started = performance.now()
  t.is(await of.tryAll('p', signal), 'port-unknown')
  t.true(performance.now() - started < 400)
  t.deepEqual(told(), [...PUBLIC.map(() => 'public failed endpoint-refused'), 'punch failed port-unknown'])
})

test('a try that is no longer wanted ends, and says that', async (t) => {
  const unwanted = new AbortController()
  const punch = (_: string, wanted: AbortSignal): Promise<TraversalCode> =>
    silence('', '', wanted).catch(() => 'punch-cancelled')
  const { of } = tries({ addressesOf: () => [], punch })
  const ended = of.tryAll('p', unwanted.signal)
  unwanted.abort(new Error('the node is stopping'))
  t.is(await ended, 'punch-cancelled')
})
