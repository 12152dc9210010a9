import test from 'ava'
import { KithError } from '../../../protocols/common/errors.ts'
import { HandshakeBudget } from '../../../protocols/secure-channel/handshake-budget.ts'
import {
  HANDSHAKE_BURST,
  HANDSHAKE_BURST_PER_NETWORK,
  HANDSHAKE_NETWORKS_MAX,
  HANDSHAKES_PER_SECOND,
  HANDSHAKES_PER_SECOND_PER_NETWORK,
} from '../../../protocols/secure-channel/limits.ts'

/** First messages `network` gets through before it is refused. */
function drain(budget: HandshakeBudget, network: string): number {
  for (let taken = 0; ; taken++) {
    try {
      budget.take(network)
    } catch (error) {
      if (!(error instanceof KithError) || error.code !== 'too-many-handshakes') throw error
      return taken
    }
  }
}

function clockAt(ms: number): { now: () => number; ms: number } {
  const clock = { ms, now: () => clock.ms }
  return clock
}

test('a network that proves nothing gets its burst and then so many a second, and others are not touched', (t) => {
  const clock = clockAt(0)
  const budget = new HandshakeBudget(clock)
  t.is(drain(budget, 'a'), HANDSHAKE_BURST_PER_NETWORK)
  clock.ms += 1000
  t.is(drain(budget, 'a'), HANDSHAKES_PER_SECOND_PER_NETWORK)
  t.is(drain(budget, 'b'), HANDSHAKE_BURST_PER_NETWORK)
  clock.ms += 3_600_000
  t.is(drain(budget, 'a'), HANDSHAKE_BURST_PER_NETWORK, 'no more than a burst was saved up')
})

test('all networks together are bounded too', (t) => {
  const clock = clockAt(0)
  const budget = new HandshakeBudget(clock)
  let taken = 0
  for (let network = 0; network < 20; network++) taken += drain(budget, `n${network}`)
  t.is(taken, HANDSHAKE_BURST)
  clock.ms += 1000
  for (let network = 20; network < 40; network++) taken += drain(budget, `n${network}`)
  t.is(taken, HANDSHAKE_BURST + HANDSHAKES_PER_SECOND)
})

test('what ends in a session is given back: members redial as often as they like', (t) => {
  const budget = new HandshakeBudget(clockAt(0))
  for (let dial = 0; dial < 10 * HANDSHAKE_BURST; dial++) budget.take('home')()
  t.is(drain(budget, 'home'), HANDSHAKE_BURST_PER_NETWORK)
})

test('an attacker with many addresses cannot make it remember more of them than it may', (t) => {
  const clock = clockAt(0)
  const budget = new HandshakeBudget(clock)
  for (let network = 0; network < 3 * HANDSHAKE_NETWORKS_MAX; network++) {
    clock.ms += 1000 / HANDSHAKES_PER_SECOND
    budget.take(`n${network}`)
  }
  t.is(budget.networks <= HANDSHAKE_NETWORKS_MAX, true)
  t.notThrows(() => budget.take('somebody else'))
})
