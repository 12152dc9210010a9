import test from 'ava'
import type { EventInput } from '../../protocols/common/ports.ts'
import { BACKOFF_MAX_MS, RECENT_MS } from '../../bootstrap/limits.ts'
import {
  createReconnect,
  lastFailure,
  step,
  type ReconnectEvent,
  type Target,
} from '../../bootstrap/reconnect.ts'
import { ReconnectLoop } from '../../bootstrap/reconnect-loop.ts'
import { seededRandom } from '../protocols/membership/world.ts'

/* What an unproved sighting of a peer does to the reconnect loop. */

const look: ReconnectEvent = {
  type: 'look',
  wanted: [{ peer: 'a', addresses: ['/x'] }],
  fallback: [],
  connected: new Set(),
}
const refused = { code: 'dial-refused', text: '' } as const

test('a sighting brings about one dial and leaves the back-off as it is, which a hint does not', (t) => {
  const dialsIn = (event: ReconnectEvent): number => {
    const state = createReconnect()
    let dials = 0
    const start = RECENT_MS * 2
    for (let now = 0; now < start + BACKOFF_MAX_MS; now += 250) {
      if (now === start) {
        dials = 0
        step(state, event, now, () => 0.99)
      }
      for (const { peer } of step(state, look, now, () => 0.99)) {
        dials++
        step(state, { type: 'dialled', peer, failure: refused }, now, () => 0.99)
      }
    }
    return dials
  }
  t.is(dialsIn({ type: 'sighted', peer: 'nobody' }), 1)
  t.is(dialsIn({ type: 'sighted', peer: 'a' }), 2)
  t.true(dialsIn({ type: 'hint', peer: 'a' }) > 10)
  const state = createReconnect()
  step(state, look, 0, () => 0)
  t.deepEqual(
    step(state, { type: 'sighted', peer: 'a' }, 0, () => 0),
    [],
    'one under way is enough',
  )
  t.is(lastFailure(state, 'a'), null)
})

test('a dial to old addresses gives way to where the peer was just seen; one that tries them already does not', async (t) => {
  const dialled: { target: Target; signal: AbortSignal }[] = []
  const events: EventInput[] = []
  const ticks: (() => void)[] = []
  let addresses = ['/old']
  let now = 0
  const loop = new ReconnectLoop({
    clock: { now: () => now },
    timers: { every: (_, run) => (ticks.push(run), () => undefined), after: () => () => undefined },
    random: seededRandom('sighted'),
    emit: (event) => events.push(event),
    wanted: () => [{ peer: 'a', addresses }],
    fallback: () => [],
    connected: () => [],
    dial: (target, signal) => {
      dialled.push({ target, signal })
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      })
    },
    failed: () => t.fail('nobody failed: the dial was given up'),
  })
  loop.start()
  addresses = ['/new', '/old']
  loop.sighted('a', ['/new'])
  await new Promise((resolve) => void setImmediate(resolve))
  t.true(dialled[0]?.signal.aborted)
  now += 1
  ticks[0]?.()
  t.deepEqual(dialled[1]?.target.addresses, addresses)
  loop.sighted('a', ['/new'])
  t.false(dialled[1]?.signal.aborted)
  t.deepEqual(events, [])
  await loop.stop()
})
