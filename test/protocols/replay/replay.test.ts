import test from 'ava'
import * as fc from 'fast-check'
import { fromHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { AuthorWindow } from '../../../protocols/replay/author-window.ts'
import { openFirstMessageGuard, StateKeeper } from '../../../protocols/replay/keeper.ts'
import { CLOCK_SKEW_MS, LEAD_RESERVE_MS, SAVE_EVERY_MS } from '../../../protocols/replay/limits.ts'
import { FirstMessageGuard, type FirstMessage } from '../../../protocols/replay/machine.ts'
import { authorStateFormat, guardStateFormat } from '../../../protocols/replay/wire.ts'
import { count, obeys } from '../admission/format-laws.ts'

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
  const guard = new FirstMessageGuard({ seenMax: 3, seenPerPeerMax: 3, floorsMax: 10 })
  for (const name of ['a', 'b', 'c']) t.true(guard.admit(message(name), NOW).ok)
  t.like(guard.admit(message('d'), NOW), { code: 'replay-cache-full', answer: false })
  for (const name of ['a', 'b', 'c'])
    t.like(guard.admit(message(name), NOW + 1), { code: 'handshake-replayed' })
  const later = NOW + CLOCK_SKEW_MS + 1
  t.true(guard.admit(message('e', later), later).ok)
})

test('a peer that dials in a loop fills its own share, and nobody else waits for it', (t) => {
  const guard = new FirstMessageGuard({ seenMax: 100, seenPerPeerMax: 2, floorsMax: 10 })
  for (const name of ['a', 'b']) t.true(guard.admit(message(name), NOW).ok)
  t.like(guard.admit(message('c'), NOW), { code: 'too-many-first-messages', answer: false })
  t.like(guard.admit(message('a'), NOW), { code: 'handshake-replayed' })
  t.true(guard.admit(message('d', NOW, 'q'), NOW).ok)
  const later = NOW + CLOCK_SKEW_MS + 1001
  t.true(
    guard.admit(message('e', later), later).ok,
    'room again once its messages are too old to be replayed',
  )
})

test('a full table of floors refuses new peers only, and makes room for those long silent', (t) => {
  const guard = new FirstMessageGuard({ seenMax: 100, seenPerPeerMax: 100, floorsMax: 2 })
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
      const guard = new FirstMessageGuard({ seenMax: 8, seenPerPeerMax: 4, floorsMax: 3 })
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

/** A guard that has run on this disk, written as often as it changed. */
function durable(disk: Uint8Array | undefined, now: number): FirstMessageGuard {
  const guard = FirstMessageGuard.restore(disk, now)
  guard.snapshot(now, false).written()
  return guard
}

test('a durable guard accepts nobody before its first write, nor after its last', (t) => {
  const guard = FirstMessageGuard.restore(undefined, NOW)
  t.true(guard.isDirty)
  t.like(guard.admit(message('a', NOW + 1), NOW + 1), { code: 'replay-memory-unsaved', answer: false })
  guard.snapshot(NOW, false).written()
  t.false(guard.isDirty)
  t.true(guard.admit(message('b', NOW + 2), NOW + 2).ok)
  t.true(guard.isDirty)
  const last = guard.snapshot(NOW + 3, true)
  t.like(guard.admit(message('c', NOW + 4), NOW + 4), { code: 'replay-memory-unsaved' })
  last.written()
  t.like(guard.admit(message('c', NOW + 5), NOW + 5), { code: 'replay-memory-unsaved' })
})

test('after a stop strangers are served at once and known peers once their clock passes the start', (t) => {
  const guard = durable(undefined, NOW)
  t.true(guard.admit(message('a', NOW + 10), NOW + 10).ok)
  const again = durable(guard.snapshot(NOW + 20, true).bytes, NOW + 30)
  t.true(again.admit(message('b', NOW + 25, 'stranger'), NOW + 30).ok)
  t.like(again.admit(message('a', NOW + 10), NOW + 31), { code: 'message-before-start', answer: false })
  t.true(again.admit(message('c', NOW + 31), NOW + 31).ok)
})

test('a peer whose clock is seconds behind waits for them after a crash, and not after a stop', (t) => {
  for (const clean of [true, false]) {
    const guard = durable(undefined, NOW)
    t.true(guard.admit(message('a', NOW - 5000), NOW).ok)
    const again = durable(guard.snapshot(NOW, clean).bytes, NOW + 1000)
    const at = (now: number) => again.admit(message(`${now}`, now - 5000), now)
    t.like(at(NOW + 1001), clean ? { ok: true } : { code: 'message-before-start' })
    t.true(at(NOW + 6000 + LEAD_RESERVE_MS + 1).ok)
  }
})

test('after a crash everybody waits half a second, peers with a clock behind for as long as it is, and no longer', (t) => {
  const guard = durable(undefined, NOW)
  t.true(guard.admit(message('slow', NOW - 50_000, 'slow'), NOW).ok)
  const { bytes, written } = guard.snapshot(NOW, false)
  written()
  const again = durable(bytes, NOW + 1000)
  const soon = NOW + 1000 + LEAD_RESERVE_MS
  t.like(again.admit(message('a', soon, 'new'), soon), { code: 'message-before-start' })
  t.true(again.admit(message('b', soon + 1, 'new'), soon + 1).ok)
  t.true(
    again.admit(message('c', soon - 49_000, 'slow'), soon + 1000).ok,
    'a known slow clock is allowed for',
  )
  t.like(again.admit(message('d', soon - 60_000, 'other'), soon), { code: 'message-before-start' })
})

test('a clock ahead is accepted once the disk knows it, and not before', (t) => {
  const guard = durable(undefined, NOW)
  const ahead = (name: string, now: number): ReturnType<FirstMessageGuard['admit']> =>
    guard.admit(message(name, now + 30_000), now)
  t.like(ahead('a', NOW), { code: 'replay-memory-unsaved', answer: false })
  t.like(ahead('b', NOW + 1), { code: 'replay-memory-unsaved' })
  t.true(guard.isDirty)
  guard.snapshot(NOW + 2, false).written()
  t.true(ahead('c', NOW + 3).ok)
  t.true(ahead('d', NOW + 4).ok)
})

test('a lost memory lets nobody in for two minutes', (t) => {
  const guard = FirstMessageGuard.afterLoss(NOW)
  guard.snapshot(NOW, false).written()
  for (const afterMs of [1000, 60_000, 119_000]) {
    const now = NOW + afterMs
    t.like(guard.admit(message(`${afterMs}`, now), now), { code: 'message-before-start' })
  }
  t.true(guard.admit(message('late', NOW + 120_001), NOW + 120_001).ok)
})

test('an orderly stop soon after a crash or a loss does not let in what came before it', (t) => {
  const crashed = durable(undefined, NOW)
  t.like(crashed.admit(message('a', NOW + 400, 'p'), NOW), { ok: true }, 'ahead, within the reserve')
  const { bytes } = FirstMessageGuard.restore(undefined, NOW).snapshot(NOW, false) // written before it came
  const second = durable(bytes, NOW + 10)
  const third = durable(second.snapshot(NOW + 20, true).bytes, NOW + 30)
  t.like(third.admit(message('a', NOW + 400, 'p'), NOW + 40), { code: 'message-before-start' })
  const lost = FirstMessageGuard.afterLoss(NOW)
  lost.snapshot(NOW, false).written()
  const after = durable(lost.snapshot(NOW + 1000, true).bytes, NOW + 2000)
  t.like(after.admit(message('b', NOW + 100_000), NOW + 3000), { code: 'message-before-start' })
  const later = NOW + 4 * CLOCK_SKEW_MS
  const fourth = durable(durable(bytes, NOW).snapshot(later, true).bytes, later + 1)
  t.true(fourth.admit(message('c', later + 1), later + 1).ok, 'after four minutes it is over')
})

test('the memories keep their bytes, come back as they were, and damaged ones are refused as such', (t) => {
  const sender = fc.string({ minLength: 1, maxLength: 60 })
  const common = { version: fc.constant(1 as const), at: count, clean: fc.boolean(), reserve: count }
  const times = { sender, newest: count, lead: fc.maxSafeInteger() }
  obeys(
    t,
    guardStateFormat,
    fc.record({ ...common, senders: fc.array(fc.record(times), { maxLength: 5 }) }),
    '85011b000001a3185c5000f41901f482836161 1b000001a3185c5000391d4b83616b1b000001a3185c5001 00'.replaceAll(
      ' ',
      '',
    ),
  )
  obeys(
    t,
    authorStateFormat,
    fc.record({
      ...common,
      authors: fc.array(fc.record({ ...times, incarnation: count, next: count }), { maxLength: 5 }),
    }),
    '85011b000001a3185c5000f500818561611b000001a3185c50001903e8 0107'.replaceAll(' ', ''),
  )
  t.throws(() => FirstMessageGuard.restore(fromHex('00'), NOW), { instanceOf: MalformedError })
  const limits = { authorsMax: 2, pastMs: 1000, futureMs: 1000 }
  t.throws(() => AuthorWindow.restore(fromHex('00'), NOW, limits), { instanceOf: MalformedError })
})

test('a keeper writes before the memory is used, at most every five seconds, and once when it stops', async (t) => {
  const disk = new Map<string, Uint8Array>()
  const guard = FirstMessageGuard.restore(undefined, NOW)
  let tick = (): void => undefined
  let fails = false
  const errors: unknown[] = []
  const store = memoryStore(disk)
  const keeper = await StateKeeper.start({
    memory: guard,
    key: 'replay/guard',
    store: {
      ...store,
      put: (key, value) => (fails ? Promise.reject(new Error('disk full')) : store.put(key, value)),
    },
    clock: { now: () => NOW },
    timers: {
      every(intervalMs, run) {
        t.is(intervalMs, SAVE_EVERY_MS)
        tick = run
        return () => (tick = () => undefined)
      },
      after: () => () => undefined,
    },
    onError: (error) => errors.push(error),
  })
  const saved = (): ReturnType<typeof guardStateFormat.decode> =>
    guardStateFormat.decode(disk.get('replay/guard') as Uint8Array)
  t.like(saved(), { clean: false, senders: [] })
  t.true(guard.admit(message('a', NOW + 1), NOW + 1).ok)
  fails = true
  tick()
  await new Promise(setImmediate)
  t.is((errors[0] as Error).message, 'disk full')
  t.true(guard.isDirty, 'what could not be written is tried again')
  fails = false
  tick()
  await new Promise(setImmediate)
  t.is(saved().senders.length, 1)
  t.false(guard.isDirty)
  await keeper.stop()
  t.like(saved(), { clean: true, reserve: 0 })
})

const CONTROL = { authorsMax: 3, pastMs: 600_000, futureMs: 60_000 }

for (const [name, before, after, code] of [
  ['a late one within the window', { seq: 9 }, { seq: 5 }, null],
  ['a number twice', { seq: 9 }, { seq: 9 }, 'message-replayed'],
  ['a number far below the newest', { seq: 900 }, { seq: 5 }, 'message-outdated'],
  ['an earlier incarnation', { incarnation: 2 }, { incarnation: 1, seq: 99 }, 'message-outdated'],
  [
    'a later incarnation, from its first number',
    { incarnation: 1, seq: 99 },
    { incarnation: 2, seq: 0 },
    null,
  ],
  ['a date behind the window', {}, { seq: 2, timeMs: NOW - 600_001 }, 'message-outdated'],
  ['a date ahead of it', {}, { seq: 2, timeMs: NOW + 60_001 }, 'message-from-the-future'],
] as const) {
  test(`a control message with ${name} is ${code === null ? 'accepted' : `refused: ${code}`}`, (t) => {
    const window = new AuthorWindow(CONTROL)
    const base = { author: 'a', incarnation: 1, seq: 1, timeMs: NOW }
    t.true(window.commit({ ...base, ...before }, NOW).ok)
    const verdict = window.check({ ...base, ...after }, NOW)
    t.is(verdict.ok ? null : verdict.code, code)
    t.deepEqual(window.commit({ ...base, ...after }, NOW), verdict)
  })
}

test('checking messages nobody signed costs no memory', (t) => {
  const window = AuthorWindow.restore(undefined, NOW, CONTROL)
  window.snapshot(NOW, false).written()
  for (let i = 0; i < 100; i++)
    t.true(window.check({ author: `forged ${i}`, incarnation: 1, seq: 1, timeMs: NOW + 50_000 }, NOW).ok)
  t.is(window.size, 0)
  t.false(window.isDirty)
  t.is(authorStateFormat.decode(window.snapshot(NOW, false).bytes).authors.length, 0)
})

test('a node opens its guard from the store, and a damaged one with an error and two silent minutes', async (t) => {
  const disk = new Map<string, Uint8Array>()
  const errors: unknown[] = []
  const timers = { every: () => () => undefined, after: () => () => undefined }
  const opened = (now: number) =>
    openFirstMessageGuard({
      store: memoryStore(disk),
      clock: { now: () => now },
      timers,
      onError: (error) => errors.push(error),
    })
  const first = await opened(NOW)
  t.true(first.guard.admit(message('a', NOW + 1), NOW + 1).ok)
  await first.keeper.stop()
  const second = await opened(NOW + 1000)
  t.like(second.guard.admit(message('a', NOW + 1), NOW + 1001), { code: 'message-before-start' })
  t.true(second.guard.admit(message('b', NOW + 1001), NOW + 1001).ok)
  t.deepEqual(errors, [])
  for (const key of disk.keys()) disk.set(key, Uint8Array.of(0))
  const third = await opened(NOW + 2000)
  t.true(errors[0] instanceof MalformedError)
  t.like(third.guard.admit(message('c', NOW + 3000), NOW + 3000), { code: 'message-before-start' })
})
