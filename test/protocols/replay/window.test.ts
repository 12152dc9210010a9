import test from 'ava'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { WINDOW_BITS } from '../../../protocols/replay/limits.ts'
import { ReplayWindow } from '../../../protocols/replay/window.ts'

const USABLE = WINDOW_BITS - 32

test('the window tells the last 2,016 counters apart, whatever the order', (t) => {
  const window = new ReplayWindow()
  t.is(window.usable, USABLE)
  t.is(window.check(0), 'fresh')
  t.true(window.commit(USABLE))
  t.is(window.check(USABLE), 'duplicate')
  t.is(window.check(1), 'fresh', 'the oldest that is told apart')
  t.is(window.check(0), 'old')
  t.true(window.commit(1))
  t.false(window.commit(1), 'a copy that was verified at the same time')
  t.true(window.commit(1_000_000), 'a jump over the whole ring')
  t.is(window.check(1_000_000 - USABLE), 'old')
  t.is(window.check(1_000_000 - USABLE + 1), 'fresh')
})

test('a check alone changes nothing: forged counters do not move the window', (t) => {
  const window = new ReplayWindow()
  window.commit(5)
  const before = toHex(window.snapshot())
  for (const forged of [Number.MAX_SAFE_INTEGER, 6, 5, 0, 10_000]) window.check(forged)
  t.is(toHex(window.snapshot()), before)
})

test('counters end below 2^53', (t) => {
  const window = new ReplayWindow()
  for (const counter of [-1, 0.5, Number.NaN, 2 ** 53, 2 ** 64, Infinity])
    t.is(window.check(counter), 'out-of-range')
  t.true(window.commit(2 ** 53 - 1))
  t.is(window.check(2 ** 53 - 1), 'duplicate')
  t.is(window.check(2 ** 53 - 2), 'fresh')
  t.is(ReplayWindow.restore(window.snapshot()).greatest, 2 ** 53 - 1)
})

test('300,000 counters near the top of the window, compared with a set, through restarts', (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.log(`seed ${seed}`)
  let state = seed
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  let window = new ReplayWindow()
  let greatest = -1
  let seen = new Set<number>()
  let accepted = 0
  for (let i = 0; i < 300_000; i++) {
    const kind = random(100)
    const ahead = kind === 0 ? random(5 * WINDOW_BITS) : random(40)
    const counter = kind < 40 ? greatest + 1 + ahead : Math.max(0, greatest - random(USABLE + 60))
    const expected =
      counter > greatest
        ? 'fresh'
        : counter <= greatest - USABLE
          ? 'old'
          : seen.has(counter)
            ? 'duplicate'
            : 'fresh'
    const verdict = window.check(counter)
    if (verdict !== expected) t.fail(`${counter} after ${greatest}: ${verdict}, expected ${expected}`)
    if (window.commit(counter) !== (expected === 'fresh')) t.fail(`commit of ${counter}`)
    if (expected !== 'fresh') continue
    accepted++
    seen.add(counter)
    greatest = Math.max(greatest, counter)
    if (i % 10_000 === 0) {
      window = ReplayWindow.restore(window.snapshot())
      seen = new Set([...seen].filter((counter) => counter > greatest - USABLE))
    }
  }
  t.is(window.greatest, greatest)
  t.true(accepted > 100_000, `${accepted} accepted`)
})

test('a window that kept only the greatest counter refuses all up to it', (t) => {
  const counters = fc.oneof(fc.nat(5000), fc.maxSafeNat())
  fc.assert(
    fc.property(counters, fc.nat(300), (greatest, below) => {
      const window = ReplayWindow.seenUpTo(greatest, 256)
      t.not(window.check(Math.max(0, greatest - below)), 'fresh')
      if (greatest + 1 < 2 ** 53) t.true(window.commit(greatest + 1))
      t.is(toHex(ReplayWindow.restore(window.snapshot(), 256).snapshot()), toHex(window.snapshot()))
    }),
  )
  t.is(ReplayWindow.seenUpTo(-1).check(0), 'fresh')
})

const GOLDEN = new ReplayWindow(64)
for (const counter of [3, 34, 70]) GOLDEN.commit(counter)

test('the bytes of a window stay: version, next counter, ring', (t) => {
  t.is(toHex(new ReplayWindow(64).snapshot()), '0100000000000000000000000000000000')
  t.is(toHex(GOLDEN.snapshot()), '0100000000000000470000004000000004')
  const again = ReplayWindow.restore(fromHex('0100000000000000470000004000000004'), 64)
  for (let counter = 0; counter < 100; counter++) t.is(again.check(counter), GOLDEN.check(counter))
})

test('bytes that are no window are refused, whatever they are', (t) => {
  const restores = (bytes: Uint8Array): void => {
    let window: ReplayWindow
    try {
      window = ReplayWindow.restore(bytes, 64)
    } catch (error) {
      if (error instanceof MalformedError) return
      throw error
    }
    t.is(toHex(window.snapshot()), toHex(bytes))
    // Whatever it holds, the counter after the greatest is fresh and the greatest is not.
    if (window.greatest >= 0) t.is(window.check(window.greatest), 'duplicate')
    if (window.greatest < 2 ** 53 - 1) t.is(window.check(window.greatest + 1), 'fresh')
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), restores))
  const golden = GOLDEN.snapshot()
  fc.assert(
    fc.property(fc.nat(golden.length - 1), fc.nat(255), (at, value) => restores(golden.with(at, value))),
    { numRuns: 500 },
  )
  for (const hex of [
    '0100000000000000000000000000000001', // empty, with a bit
    '0100000000000000470000000000000004', // the greatest is not marked
    '010000000000000047000000c000000004', // a bit above the greatest
    '0100200000000000010000004000000004', // above 2^53
    '0200000000000000470000004000000004', // another version
  ])
    t.throws(() => ReplayWindow.restore(fromHex(hex), 64), { instanceOf: MalformedError }, hex)
})
