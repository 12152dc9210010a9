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
