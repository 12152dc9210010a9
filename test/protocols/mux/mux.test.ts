import test from 'ava'
import * as fc from 'fast-check'
import { concat, fromHex, toHex } from '../../../protocols/common/bytes.ts'
import type { Channel } from '../../../protocols/mux/channel.ts'
import { MuxError } from '../../../protocols/mux/errors.ts'
import {
  INITIAL_WINDOW_BYTES,
  KEPT_ARRAYS_MAX,
  MAX_WINDOW_BYTES,
  WINDOW_POOL_BYTES,
} from '../../../protocols/mux/limits.ts'
import { Mux } from '../../../protocols/mux/machine.ts'
import {
  decodeHeader,
  decodeProtocolName,
  encodeHeader,
  FRAME,
  type FrameHeader,
} from '../../../protocols/mux/wire.ts'
import { muxPair } from './pair.ts'

/** What the user of a channel was told. */
interface Heard {
  readonly bytes: Uint8Array[]
  sizeBytes: number
  ends: number
  resets: Error[]
  drains: number
}

/** Listens to a channel; what came is consumed at once unless `hold`. */
function listen(channel: Channel, hold = false): Heard {
  const heard: Heard = { bytes: [], sizeBytes: 0, ends: 0, resets: [], drains: 0 }
  channel.use({
    onData(bytes) {
      heard.bytes.push(bytes)
      heard.sizeBytes += bytes.length
      if (!hold) channel.consumed(bytes.length)
    },
    onEnd: () => void heard.ends++,
    onReset: (error) => void heard.resets.push(error),
    onDrain: () => void heard.drains++,
  })
  return heard
}

const GOLDEN: readonly (readonly [FrameHeader, string])[] = [
  [{ type: FRAME.data, fin: false, length: 65_536, channel: 1 }, '0001000000000001'],
  [{ type: FRAME.data, fin: true, length: 0, channel: 0xffffffff }, '80000000ffffffff'],
  [{ type: FRAME.open, fin: false, length: 22, channel: 3 }, '0100001600000003'],
  [{ type: FRAME.window, fin: false, length: 0xffffff, channel: 2 }, '02ffffff00000002'],
  [{ type: FRAME.reset, fin: false, length: 0, channel: 2 }, '0300000000000002'],
  [{ type: FRAME.goAway, fin: false, length: 0, channel: 0 }, '0400000000000000'],
]

for (const [header, hex] of GOLDEN) {
  test(`golden frame header ${hex}`, (t) => {
    t.is(toHex(encodeHeader(header.type, header.fin, header.length, header.channel)), hex)
    t.deepEqual(decodeHeader(fromHex(hex)), header)
  })
}

test('an opening with data and end has golden bytes', (t) => {
  const { near, wire } = muxPair()
  const channel = near.open('/kith/abababab/tunnel/1')
  channel.write(Uint8Array.of(1, 2))
  channel.end()
  t.is(
    toHex(concat(...wire.toFar)),
    `0100001700000001${Buffer.from('/kith/abababab/tunnel/1').toString('hex')}00000002000000010102` +
      '8000000000000001',
  )
})

test('any eight bytes are a header that encodes back, or a mux-frame error', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (bytes) => {
      try {
        const header = decodeHeader(bytes)
        t.deepEqual(encodeHeader(header.type, header.fin, header.length, header.channel), bytes)
      } catch (error) {
        t.true(error instanceof MuxError && error.code === 'mux-frame')
      }
    }),
    { numRuns: 3000 },
  )
  t.throws(() => decodeProtocolName(Uint8Array.of(0x2f, 0x0a)), { code: 'mux-frame' })
})

test('arbitrary and changed bytes make a mux error or nothing', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(150),
      fc.integer({ min: 1, max: 255 }),
      (noise, at, flip) => {
        const { near, far, wire } = muxPair()
        for (let i = 0; i < 3; i++) near.open('p').write(Uint8Array.of(i, i))
        const genuine = concat(...wire.toFar)
        const changed = genuine.slice()
        if (at < changed.length) changed[at] = (changed[at] ?? 0) ^ flip
        for (const [mux, bytes] of [
          [far, changed],
          [muxPair().far, noise],
        ] as const) {
          try {
            mux.receive(bytes)
          } catch (error) {
            t.true(error instanceof MuxError)
          }
        }
      },
    ),
    { numRuns: 1000 },
  )
  t.pass()
})

test('whatever is written in whatever order arrives whole, in order, once, however the path cuts it', (t) => {
  const act = fc.record({
    channel: fc.nat(4),
    fromNear: fc.boolean(),
    size: fc.oneof(fc.nat(300), fc.constantFrom(65_536, 70_000, 200_000)),
  })
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), fc.integer({ min: 1, max: 100_000 }), (acts, cut) => {
      const pair = muxPair()
      const ours = Array.from({ length: 5 }, (_, i) => pair.near.open(`p${i}`))
      pair.settle()
      const theirs = pair.accepted
      const heard = { near: ours.map((one) => listen(one)), far: theirs.map((one) => listen(one)) }
      const sent = { near: [0, 0, 0, 0, 0], far: [0, 0, 0, 0, 0] }
      let value = 0
      for (const { channel, fromNear, size } of acts) {
        const [from, to] = fromNear ? (['near', 'far'] as const) : (['far', 'near'] as const)
        const bytes = new Uint8Array(size).fill(value++)
        ;(fromNear ? ours : theirs)[channel]?.write(bytes)
        sent[from][channel] = (sent[from][channel] ?? 0) + size
        if (value % 7 === 0) pair.settle(() => cut)
        t.true((heard[to][channel]?.sizeBytes ?? 0) <= (sent[from][channel] ?? 0))
      }
      for (const channel of [...ours, ...theirs]) channel.end()
      pair.settle(() => cut)
      for (const [from, to] of [
        ['near', 'far'],
        ['far', 'near'],
      ] as const) {
        t.deepEqual(
          heard[to].map(({ sizeBytes, ends, resets }) => [sizeBytes, ends, resets.length]),
          sent[from].map((size) => [size, 1, 0]),
        )
      }
      const values = heard.far.map(({ bytes }) => bytes.flatMap((part) => part[0] ?? []))
      for (const list of values)
        t.deepEqual(
          list,
          list.toSorted((a, b) => a - b),
        )
      t.is([...pair.near.channels, ...pair.far.channels].length, 0, 'nothing is left behind')
    }),
    { numRuns: 150 },
  )
})

test('a channel that is not read holds its sender at one window, and the others go on', (t) => {
  const pair = muxPair()
  const [stalled, flowing] = [pair.near.open('stalled'), pair.near.open('flowing')]
  pair.settle()
  const held = listen(pair.accepted[0] as Channel, true)
  const read = listen(pair.accepted[1] as Channel)
  const sender = listen(stalled)
  t.false(stalled.write(new Uint8Array(3 * INITIAL_WINDOW_BYTES)))
  flowing.write(new Uint8Array(3 * INITIAL_WINDOW_BYTES))
  pair.settle()
  t.deepEqual([held.sizeBytes, read.sizeBytes], [INITIAL_WINDOW_BYTES, 3 * INITIAL_WINDOW_BYTES])
  t.is(stalled.queuedBytes, 2 * INITIAL_WINDOW_BYTES)
  t.is(sender.drains, 0)
  pair.accepted[0]?.consumed(INITIAL_WINDOW_BYTES)
  pair.settle()
  t.is(held.sizeBytes, 3 * INITIAL_WINDOW_BYTES, 'a prompt reader gets a larger window')
  t.is(sender.drains, 1)
})

test('windows grow for prompt readers only, up to their limit and that of the connection', (t) => {
  let now = 0
  const pair = muxPair({ now: () => now })
  const pump = (stepMs: number, rounds: number): number => {
    const channel = pair.near.open('bulk')
    pair.settle()
    const far = pair.accepted.at(-1) as Channel
    const heard = listen(far, true)
    const more = new Uint8Array(3 * 1024 * 1024)
    for (let i = 0; i < rounds; i++) {
      if (channel.queuedBytes < more.length) channel.write(more)
      pair.settle()
      now += stepMs
      far.consumed(heard.sizeBytes)
      heard.sizeBytes = 0
    }
    pair.settle()
    return heard.sizeBytes
  }
  t.is(pump(1, 12), MAX_WINDOW_BYTES)
  t.is(pump(1000, 12), INITIAL_WINDOW_BYTES)
  const many = Array.from({ length: 40 }, () => pump(1, 12))
  const above = many.reduce(
    (sum, bytes) => sum + bytes - INITIAL_WINDOW_BYTES,
    MAX_WINDOW_BYTES - INITIAL_WINDOW_BYTES,
  )
  t.is(above, WINDOW_POOL_BYTES)
})

test('half of a window is allowed again in one frame, not each piece of it', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  pair.settle()
  listen(pair.accepted[0] as Channel)
  let frames = 0
  for (let i = 0; i < 1000; i++) {
    channel.write(new Uint8Array(128))
    pair.far.receive(concat(...pair.wire.toFar.splice(0)))
    frames += pair.wire.toNear.splice(0).length
  }
  t.true(frames <= 4, `${frames} window frames for 1,000 messages`)
})

test('a reset ends both sides once, late frames for it are ignored, and a write after it is no error', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  pair.settle()
  const [near, far] = [listen(channel), listen(pair.accepted[0] as Channel)]
  channel.write(new Uint8Array(10))
  pair.accepted[0]?.reset()
  pair.settle()
  t.deepEqual([near.resets.length, far.resets.length], [1, 0])
  t.like(near.resets[0], { code: 'channel-reset' })
  t.false(channel.write(new Uint8Array(1)))
  t.is([...pair.near.channels, ...pair.far.channels].length, 0)
})

test('who listens late hears all that came, and the end', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  channel.write(Uint8Array.of(1))
  channel.end()
  pair.settle()
  const heard = listen(pair.accepted[0] as Channel)
  t.deepEqual([heard.sizeBytes, heard.ends], [1, 1])
  const cut = pair.near.open('q')
  pair.settle()
  cut.reset()
  pair.settle()
  t.is(listen(pair.accepted[1] as Channel).resets.length, 1)
})

test('the end is told to its sender once it has left, behind what waits', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  pair.settle()
  const heard = listen(pair.accepted[0] as Channel)
  listen(channel)
  let sent = 0
  channel.write(new Uint8Array(2 * INITIAL_WINDOW_BYTES))
  channel.end(() => sent++)
  t.is(sent, 0)
  pair.settle()
  t.deepEqual([sent, heard.sizeBytes, heard.ends], [1, 2 * INITIAL_WINDOW_BYTES, 1])
})

const HOSTILE: readonly (readonly [string, (genuine: Channel) => Uint8Array, string])[] = [
  [
    'sends more than it was allowed',
    ({ id }) =>
      concat(
        ...[0, 1].map(() => concat(encodeHeader(FRAME.data, false, 40_000, id), new Uint8Array(40_000))),
      ),
    'mux-window',
  ],
  [
    'allows four gigabytes',
    ({ id }) => concat(...Array.from({ length: 300 }, () => encodeHeader(FRAME.window, false, 0xffffff, id))),
    'mux-window',
  ],
  [
    'sends behind its end',
    ({ id }) =>
      concat(encodeHeader(FRAME.data, true, 0, id), encodeHeader(FRAME.data, false, 1, id), Uint8Array.of(1)),
    'mux-frame',
  ],
  [
    'ends twice',
    ({ id }) => concat(encodeHeader(FRAME.data, true, 0, id), encodeHeader(FRAME.data, true, 0, id)),
    'mux-frame',
  ],
  [
    'opens a channel of ours',
    () => concat(encodeHeader(FRAME.open, false, 1, 2), Uint8Array.of(0x70)),
    'mux-frame',
  ],
  [
    'opens a channel again',
    ({ id }) => concat(encodeHeader(FRAME.open, false, 1, id), Uint8Array.of(0x70)),
    'mux-frame',
  ],
  [
    'sends in a channel that never was',
    () => concat(encodeHeader(FRAME.data, false, 1, 99), Uint8Array.of(1)),
    'mux-frame',
  ],
  ['names a protocol longer than the limit', () => encodeHeader(FRAME.open, false, 129, 3), 'mux-frame'],
]
for (const [name, forge, code] of HOSTILE) {
  test(`a peer that ${name} is cut off`, (t) => {
    const pair = muxPair()
    const channel = pair.near.open('p')
    pair.settle()
    listen(pair.accepted[0] as Channel, true)
    t.throws(() => pair.far.receive(forge(channel)), { instanceOf: MuxError, code })
  })
}

test('more channels than the limit are reset one by one, and room comes back', (t) => {
  const pair = muxPair({ channelsMax: 3 })
  const other = new Mux({
    initiator: true,
    send: (bytes) => pair.wire.toFar.push(bytes),
    isWritable: () => true,
    now: () => 0,
    rttMs: 0,
    onChannel: () => undefined,
    onGoAway: () => undefined,
  })
  const channels = Array.from({ length: 5 }, () => other.open('p'))
  pair.far.receive(concat(...pair.wire.toFar.splice(0)))
  t.is([...pair.far.channels].length, 3)
  t.is(toHex(concat(...pair.wire.toNear)), '03000000000000070300000000000009')
  channels[0]?.reset()
  other.open('p')
  pair.far.receive(concat(...pair.wire.toFar.splice(0)))
  t.is([...pair.far.channels].length, 3)
  const own = muxPair({ channelsMax: 1 }).near
  own.open('p')
  t.throws(() => own.open('p'), { code: 'too-many-channels' })
})

test('who goes away opens and accepts nothing more, and finishes what is open', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  pair.settle()
  const heard = listen(pair.accepted[0] as Channel)
  pair.near.goAway()
  t.throws(() => pair.near.open('q'), { code: 'mux-closed' })
  channel.write(Uint8Array.of(1))
  channel.end()
  pair.settle()
  t.deepEqual([heard.sizeBytes, heard.ends], [1, 1])
  t.throws(() => pair.far.open('q'), { code: 'mux-closed' })
})

test('while the connection is full, writers wait and are woken in turn', (t) => {
  let room = 0
  const pair = muxPair({ isWritable: () => room > 0 })
  const channels = [1, 2, 3].map((i) => pair.near.open(`p${i}`))
  const woken: number[] = []
  for (const [index, channel] of channels.entries()) {
    channel.use({
      onData: () => undefined,
      onEnd: () => undefined,
      onReset: () => undefined,
      onDrain() {
        room--
        woken.push(index)
        channel.write(Uint8Array.of(index))
      },
    })
    t.false(channel.write(Uint8Array.of(index)))
  }
  for (let i = 0; i < 4; i++) {
    room = 1
    pair.near.drained()
  }
  t.deepEqual(woken, [0, 1, 2, 0])
})

test('when the connection is gone every channel hears it once', (t) => {
  const pair = muxPair()
  const heard = [1, 2].map((i) => listen(pair.near.open(`p${i}`)))
  pair.near.fail(new Error('gone'))
  pair.near.fail(new Error('gone again'))
  t.deepEqual(
    heard.map(({ resets }) => resets.map(({ message }) => message)),
    [['gone'], ['gone']],
  )
  t.throws(() => pair.near.open('q'), { code: 'mux-closed' })
})

test('after a broken frame nothing is heard any more, and nothing is kept', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  pair.settle()
  const heard = listen(pair.accepted[0] as Channel)
  t.throws(() => pair.far.receive(Uint8Array.of(0x7f, 0, 0, 0, 0, 0, 0, 1)), { code: 'mux-frame' })
  pair.far.fail(new Error('cut'))
  channel.write(Uint8Array.of(1))
  pair.near.open('q')
  pair.settle()
  t.deepEqual([heard.sizeBytes, heard.resets.length, pair.accepted.length], [0, 1, 1])
})

test('a few bytes that wait do not keep the large buffer they came in, nor an array each', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  pair.settle()
  for (let i = 0; i < 1000; i++) {
    channel.write(Uint8Array.of(i))
    const large = new Uint8Array(64 * 1024)
    const frame = concat(...pair.wire.toFar.splice(0))
    large.set(frame)
    pair.far.receive(large.subarray(0, frame.length))
  }
  const heard = listen(pair.accepted[0] as Channel)
  t.is(heard.sizeBytes, 1000)
  t.true(heard.bytes.length <= KEPT_ARRAYS_MAX, `${heard.bytes.length} arrays`)
  t.true(heard.bytes.every(({ buffer }) => buffer.byteLength <= 4096))
  t.deepEqual(Buffer.concat(heard.bytes).subarray(0, 3), Buffer.from([0, 1, 2]), 'in order')
})

test('a user that is replaced while it hears what waited leaves the rest to the next', (t) => {
  const pair = muxPair()
  const channel = pair.near.open('p')
  for (const byte of [1, 2, 3]) channel.write(Uint8Array.of(byte))
  channel.end()
  pair.settle()
  const told: string[] = []
  const user = (name: string, onFirst?: () => void) => ({
    onData(bytes: Uint8Array) {
      told.push(`${name} ${bytes[0]}`)
      onFirst?.()
    },
    onEnd: () => void told.push(`${name} end`),
    onReset: () => undefined,
    onDrain: () => undefined,
  })
  const far = pair.accepted[0] as Channel
  far.use(user('first', () => far.use(user('second'))))
  t.deepEqual(told, ['first 1', 'second 2', 'second 3', 'second end'])
})
