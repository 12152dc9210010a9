import test from 'ava'
import * as fc from 'fast-check'
import { CLOCK_SKEW_MS } from '../../../protocols/replay/limits.ts'
import { FirstMessageGuard, type FirstMessage } from '../../../protocols/replay/machine.ts'

const NOW = 1_800_000_000_000

function message(ephemeral: string, timeMs = NOW, peer = 'p'): FirstMessage {
  return { peer, ephemeral, timeMs }
}

for (const [name, offsetMs, expected] of [
  ['the same time', 0, true],
  ['two minutes late', -CLOCK_SKEW_MS, true],
  ['two minutes early', CLOCK_SKEW_MS, true],
  ['later than two minutes', -CLOCK_SKEW_MS - 1, false],
  ['earlier than two minutes', CLOCK_SKEW_MS + 1, false],
  ['a day behind', -86_400_000, false],
  ['1970', -NOW, false],
] as const) {
  test(`a message from ${name} is ${expected ? 'accepted' : 'refused with an answer'}`, (t) => {
    const verdict = new FirstMessageGuard().admit(message('e', NOW + offsetMs), NOW)
    t.deepEqual(verdict, expected ? { ok: true } : { ok: false, code: 'clock-skew', answer: true, offsetMs })
  })
}

test('the same ephemeral key is refused in silence as long as its time would pass, and by the time after that', (t) => {
  const guard = new FirstMessageGuard()
  t.true(guard.admit(message('e'), NOW).ok)
  for (const after of [0, 1, 60_000, CLOCK_SKEW_MS]) {
    t.like(guard.admit(message('e'), NOW + after), { code: 'handshake-replayed', answer: false })
  }
  t.like(guard.admit(message('e'), NOW + CLOCK_SKEW_MS + 1001), { code: 'clock-skew' })
})

test('a skewed message draws one answer and then silence', (t) => {
  const guard = new FirstMessageGuard()
  t.like(guard.admit(message('e', 0), NOW), { code: 'clock-skew', answer: true })
  t.like(guard.admit(message('e', 0), NOW + 5), { code: 'handshake-replayed', answer: false })
})

test('parallel dials of one peer pass, also when they arrive out of order', (t) => {
  const guard = new FirstMessageGuard()
  for (const [i, timeMs] of [NOW, NOW - 50, NOW + 20, NOW - 1000].entries()) {
    t.true(guard.admit(message(`e${i}`, timeMs), NOW).ok)
  }
})

test('after our clock was set back, a message older than the newest accepted one is refused in silence', (t) => {
  const guard = new FirstMessageGuard()
  const hourMs = 3_600_000
  t.true(guard.admit(message('old'), NOW).ok)
  t.true(guard.admit(message('new', NOW + hourMs), NOW + hourMs).ok)
  t.like(guard.admit(message('recorded', NOW + 5), NOW), { code: 'handshake-replayed', answer: false })
  t.true(guard.admit(message('other peer', NOW + 5, 'q'), NOW).ok)
})

test('a full cache refuses, forgets no live entry, and recovers when entries expire', (t) => {
  const guard = new FirstMessageGuard({ seenMax: 3, floorsMax: 10 })
  for (const name of ['a', 'b', 'c']) t.true(guard.admit(message(name), NOW).ok)
  t.like(guard.admit(message('d'), NOW), { code: 'replay-cache-full', answer: false })
  for (const name of ['a', 'b', 'c'])
    t.like(guard.admit(message(name), NOW + 1), { code: 'handshake-replayed' })
  const later = NOW + CLOCK_SKEW_MS + 1
  t.true(guard.admit(message('e', later), later).ok)
})

test('a full table of floors refuses new peers only, and makes room for those long silent', (t) => {
  const guard = new FirstMessageGuard({ seenMax: 100, floorsMax: 2 })
  t.true(guard.admit(message('a', NOW, 'p'), NOW).ok)
  t.true(guard.admit(message('b', NOW, 'q'), NOW).ok)
  t.like(guard.admit(message('c', NOW, 'r'), NOW), { code: 'replay-cache-full' })
  t.true(guard.admit(message('d', NOW, 'p'), NOW).ok)
  const later = NOW + 2 * CLOCK_SKEW_MS + 1
  t.true(guard.admit(message('e', later, 'r'), later).ok)
})

test('whatever arrives in whatever order, no ephemeral key is accepted twice and the memories stay bounded', (t) => {
  const step = fc.record({
    key: fc.nat(12),
    peer: fc.nat(3),
    time: fc.integer({ min: -200_000, max: 200_000 }),
    passMs: fc.nat(90_000),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const guard = new FirstMessageGuard({ seenMax: 8, floorsMax: 3 })
      const accepted = new Set<string>()
      const sent = new Map<string, FirstMessage>()
      let now = NOW
      for (const { key, peer, time, passMs } of steps) {
        now += passMs
        // A recording keeps its first time and peer: they are authenticated.
        const first = sent.get(`${key}`) ?? message(`${key}`, now + time, `${peer}`)
        sent.set(`${key}`, first)
        if (guard.admit(first, now).ok) {
          t.false(accepted.has(first.ephemeral))
          accepted.add(first.ephemeral)
        }
        t.true(guard.sizes.seen <= 8 && guard.sizes.floors <= 3)
      }
    }),
    { numRuns: 500 },
  )
})
