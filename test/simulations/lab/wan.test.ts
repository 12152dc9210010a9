import test from 'ava'
import * as fc from 'fast-check'
import { HELD_BYTES_MAX, OFFLOAD_HEAD_BYTES, QUEUE_MS, Wan } from '../../../simulations/lab/wan.ts'

/** A packet for a site, with a number to know it by. */
function packet(to: number, n: number, sizeBytes = 100): Uint8Array {
  const bytes = new Uint8Array(OFFLOAD_HEAD_BYTES + sizeBytes)
  bytes[OFFLOAD_HEAD_BYTES] = 0x45
  bytes.set([11, 0, to, 1], OFFLOAD_HEAD_BYTES + 16)
  new DataView(bytes.buffer).setUint32(OFFLOAD_HEAD_BYTES + 24, n)
  return bytes
}

interface Arrival {
  readonly at: number
  readonly to: number
  readonly n: number
}

/** An internet that writes down what arrives when. */
function watched(seed: string, sites: number, takes = true) {
  const arrivals: Arrival[] = []
  let now = 0
  const wan = new Wan(seed, sites, (to, bytes) => {
    arrivals.push({
      at: now,
      to,
      n: new DataView(bytes.buffer, bytes.byteOffset).getUint32(OFFLOAD_HEAD_BYTES + 24),
    })
    return takes
  })
  const run = (until: number): void => {
    for (let due = wan.dueAt; due !== null && due <= until; due = wan.dueAt) {
      now = due
      wan.run(due)
    }
    now = until
  }
  return { wan, arrivals, run }
}

test('a path without settings delivers at once, to the site whose address it is', (t) => {
  const { wan, arrivals } = watched('1', 3)
  wan.accept(0, packet(2, 7), 10)
  t.deepEqual(arrivals, [{ at: 0, to: 2, n: 7 }])
  t.is(wan.dueAt, null)
})

test('what a device does not take is counted as dropped', (t) => {
  const { wan } = watched('1', 2, false)
  wan.accept(0, packet(1, 1), 0)
  t.deepEqual(wan.counts(0, 1), { delivered: 0, lost: 0, blocked: 0, dropped: 1 })
})

test('packets to nobody, too short or of another protocol vanish', (t) => {
  const { wan, arrivals } = watched('1', 2)
  wan.accept(0, packet(9, 1), 0)
  wan.accept(0, packet(1, 1).subarray(0, 20), 0)
  const v6 = packet(1, 1)
  v6[OFFLOAD_HEAD_BYTES] = 0x60
  wan.accept(0, v6, 0)
  const elsewhere = packet(1, 1)
  elsewhere[OFFLOAD_HEAD_BYTES + 16] = 8
  wan.accept(0, elsewhere, 0)
  t.deepEqual(arrivals, [])
})

test('a delayed packet is a copy: the reader uses its buffer again', (t) => {
  const { wan, arrivals, run } = watched('1', 2)
  wan.set(0, 1, { delayMs: 25 })
  const bytes = packet(1, 1)
  wan.accept(0, bytes, 100)
  bytes.fill(0)
  run(200)
  t.deepEqual(arrivals, [{ at: 125, to: 1, n: 1 }])
})

test('with jitter packets of a pair arrive late, within its bound, and in order', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.nat(5), { minLength: 1, maxLength: 50 }), (seed, gaps) => {
      const { wan, arrivals, run } = watched(seed, 2)
      wan.set(0, 1, { delayMs: 10, jitterMs: 30 })
      const sent: number[] = []
      for (const [n, gap] of gaps.entries()) {
        const at = (sent.at(-1) ?? 0) + gap
        sent.push(at)
        wan.accept(0, packet(1, n), at)
      }
      run(10_000)
      t.deepEqual(
        arrivals.map(({ n }) => n),
        gaps.map((_, n) => n),
      )
      for (const { n, at } of arrivals) t.true(at >= (sent[n] ?? 0) + 10 && at < (sent[n] ?? 0) + 40)
    }),
  )
})

test('the same seed loses the same packets, another one others, and as many as it should', (t) => {
  const lost = (seed: string): number[] => {
    const { wan, arrivals } = watched(seed, 2)
    wan.set(0, 1, { lossRate: 0.2 })
    for (let n = 0; n < 2_000; n++) wan.accept(0, packet(1, n), n)
    t.is(wan.counts(0, 1).lost + arrivals.length, 2_000)
    return arrivals.map(({ n }) => n)
  }
  t.deepEqual(lost('a'), lost('a'))
  t.notDeepEqual(lost('a'), lost('b'))
  t.true(lost('a').length > 1_500 && lost('a').length < 1_700)
})

test('one way can be cut while the other is open; what is under way arrives', (t) => {
  const { wan, arrivals, run } = watched('1', 2)
  wan.set(0, 1, { delayMs: 5 })
  wan.accept(0, packet(1, 1), 0)
  wan.set(0, 1, { isBlocked: true })
  wan.accept(0, packet(1, 2), 1)
  wan.accept(1, packet(0, 3), 1)
  run(10)
  t.deepEqual(
    arrivals.map(({ n }) => n),
    [3, 1],
  )
  t.deepEqual(wan.counts(0, 1), { delivered: 1, lost: 0, blocked: 1, dropped: 0 })
})

test('a slow path carries what it is told to, and drops what would wait too long', (t) => {
  const { wan, arrivals, run } = watched('1', 2)
  wan.set(0, 1, { bytesPerSecond: 100_000 })
  for (let n = 0; n < 100; n++) wan.accept(0, packet(1, n, 1_000), 0)
  run(10_000)
  // Packets of 10 ms each: those that begin to be sent within the queue's time.
  t.is(arrivals.length, QUEUE_MS / 10 + 1)
  t.is(arrivals.at(-1)?.at, QUEUE_MS + 10)
  t.is(wan.counts(0, 1).dropped, 100 - arrivals.length)
})

test('what all paths hold together has a bound', (t) => {
  const { wan } = watched('1', 2)
  wan.set(0, 1, { delayMs: 1_000 })
  const size = 60_000
  const fit = Math.floor(HELD_BYTES_MAX / (size + OFFLOAD_HEAD_BYTES))
  for (let n = 0; n < fit + 3; n++) wan.accept(0, packet(1, n, size), 0)
  t.is(wan.counts(0, 1).dropped, 3)
})
