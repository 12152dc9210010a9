import test from 'ava'
import { RELAY_TRIES_MAX, RelayTries } from '../../../node/transport/relay-tries.ts'
import { TRIED_PEERS_MAX } from '../../../protocols/traversal/limits.ts'
import { virtualTime } from '../../protocols/virtual-time.ts'

test('relays that were tried are told with how it ended, and one that was called off is not', (t) => {
  const time = virtualTime()
  const tries = new RelayTries(time.clock)
  const first = tries.begin('peer', 'full')
  const second = tries.begin('peer', 'good')
  const third = tries.begin('peer', 'slow')
  t.deepEqual(
    tries.of('peer').map(({ outcome }) => outcome),
    ['trying', 'trying', 'trying'],
  )
  time.pass(30)
  first('relay-full')
  second(null)
  third('cancelled')
  const at = tries.of('peer')[0]?.startedAt ?? 0
  t.deepEqual(tries.of('peer'), [
    { relay: 'full', startedAt: at, endedAt: at + 30, outcome: 'failed', reason: 'relay-full' },
    { relay: 'good', startedAt: at, endedAt: at + 30, outcome: 'connected', reason: null },
  ])
  t.deepEqual(tries.of('other'), [])
})

test('the last tries of the peers tried last are remembered, and no end of a forgotten one brings it back', (t) => {
  const tries = new RelayTries(virtualTime().clock)
  const ends = Array.from({ length: RELAY_TRIES_MAX + 1 }, (_, i) => tries.begin('peer', `relay ${i}`))
  ends[0]?.('relay-full')
  t.is(tries.of('peer').length, RELAY_TRIES_MAX)
  t.is(tries.of('peer')[0]?.relay, 'relay 1')
  for (let i = 0; i < TRIED_PEERS_MAX; i++) tries.begin(`another ${i}`, 'relay')
  t.deepEqual(tries.of('peer'), [])
  ends[3]?.(null)
  t.deepEqual(tries.of('peer'), [])
  t.is(tries.of('another 0').length, 1)
})
