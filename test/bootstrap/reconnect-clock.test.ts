import test from 'ava'
import { BACKOFF_MAX_MS } from '../../bootstrap/limits.ts'
import { createReconnect, step, type ReconnectEvent } from '../../bootstrap/reconnect.ts'

const NOW = 1_800_000_000_000
const look: ReconnectEvent = {
  type: 'look',
  wanted: [{ peer: 'a', addresses: ['/x'] }],
  fallback: [],
  connected: new Set(),
}

test('a clock that is set back an hour does not keep a peer undialled for that hour', (t) => {
  const state = createReconnect()
  t.is(step(state, look, NOW, () => 0.9).length, 1)
  step(state, { type: 'dialled', peer: 'a', failure: { code: 'dial-refused', text: '' } }, NOW, () => 0.9)
  const back = NOW - 3_600_000
  t.deepEqual(
    step(state, look, back, () => 0.9),
    [],
  )
  t.is(step(state, look, back + BACKOFF_MAX_MS, () => 0.9).length, 1)
})

test('a peer that accepts every connection and closes it at once is dialled ever less often', (t) => {
  const state = createReconnect()
  let dials = 0
  for (let now = NOW; now < NOW + 600_000; now += 250) {
    for (const effect of step(state, look, now, () => 0.5)) {
      dials++
      step(state, { type: 'dialled', peer: effect.peer, failure: null }, now, () => 0.5)
    }
  }
  t.true(dials < 120, `${dials} dials in ten minutes`)
})

test('a connection that lasted is dialled again at once when it is lost', (t) => {
  const state = createReconnect()
  const connected: ReconnectEvent = { ...look, connected: new Set(['a']) }
  step(state, look, NOW, () => 0.5)
  step(state, { type: 'dialled', peer: 'a', failure: null }, NOW, () => 0.5)
  for (let now = NOW; now <= NOW + 10_000; now += 250) step(state, connected, now, () => 0.5)
  step(state, look, NOW + 10_250, () => 0.9)
  t.is(step(state, look, NOW + 10_500, () => 0.9).length, 1)
})
