import test from 'ava'
import type { Stream } from '@libp2p/interface'
import { silentLogger } from '../../../node/transport/silent-logger.ts'
import { concat } from '../../../protocols/common/bytes.ts'
import { keptFew, type Channel } from '../../../protocols/mux/channel.ts'
import { MuxError } from '../../../protocols/mux/errors.ts'
import {
  CHANNELS_MAX,
  EARLY_STREAMS_MAX,
  FRAME_MAX_BYTES,
  KEPT_ARRAYS_MAX,
  PROTOCOL_NAME_MAX_BYTES,
  QUEUE_MAX_BYTES,
} from '../../../protocols/mux/limits.ts'
import { Mux } from '../../../protocols/mux/machine.ts'
import { ChannelMuxer } from '../../../protocols/mux/service.ts'
import { decodeHeader, encodeHeader, FRAME, TYPES_MAX } from '../../../protocols/mux/wire.ts'
import { muxPair } from './pair.ts'

/** The dialling side, which opens more channels than the other accepts; what it sends is in `wire`. */
function opener(channelsMax?: number): { mux: Mux; wire: Uint8Array[] } {
  const wire: Uint8Array[] = []
  const mux = new Mux({
    initiator: true,
    send: (bytes) => void wire.push(bytes),
    isWritable: () => true,
    now: () => 0,
    rttMs: 0,
    onChannel: () => undefined,
    onGoAway: () => undefined,
    ...(channelsMax === undefined ? {} : { channelsMax }),
  })
  return { mux, wire }
}

test('a peer has so many channels open, in each direction; one more is refused here and reset there', (t) => {
  const { mux } = opener()
  for (let i = 0; i < CHANNELS_MAX; i++) mux.open('p')
  t.throws(() => mux.open('p'), { instanceOf: MuxError, code: 'too-many-channels' })

  const { far, wire } = muxPair()
  const greedy = opener(CHANNELS_MAX + 1)
  for (let i = 0; i < CHANNELS_MAX; i++) greedy.mux.open('p')
  far.receive(concat(...greedy.wire.splice(0)))
  t.deepEqual([far.channelCount, wire.toNear.length], [CHANNELS_MAX, 0])
  const { id } = greedy.mux.open('p')
  far.receive(concat(...greedy.wire.splice(0)))
  t.deepEqual([far.channelCount, wire.toNear], [CHANNELS_MAX, [encodeHeader(FRAME.reset, false, 0, id)]])
  for (let i = 0; i < CHANNELS_MAX; i++) far.open('p')
  t.is(far.channelCount, 2 * CHANNELS_MAX, 'ours are counted apart')
})

test('so many streams wait until libp2p listens; one more is reset, and those that wait are all heard', async (t) => {
  const { mux, wire } = opener()
  const muxer = new ChannelMuxer({
    connection: { peerId: 'p', via: null, log: silentLogger().forComponent('test') },
    initiator: false,
    send: (bytes) => mux.receive(bytes),
    isWritable: () => true,
    now: () => 0,
    rttMs: 0,
    handlers: new Map(),
    isServed: () => true,
    onClosed: () => undefined,
    onFailed: (error) => t.fail(error.message),
  })
  const open = (): Channel => {
    const channel = mux.open('/served/1')
    muxer.receive(concat(...wire.splice(0)))
    return channel
  }
  const waiting = Array.from({ length: EARLY_STREAMS_MAX }, open)
  t.true(waiting.every(({ isOpen }) => isOpen))
  t.false(open().isOpen)
  const heard: Stream[] = []
  muxer.addEventListener('stream', ({ detail }) => void heard.push(detail))
  await Promise.resolve()
  t.is(heard.length, EARLY_STREAMS_MAX)
  t.true(open().isOpen, 'from now on none waits')
  t.is(heard.length, EARLY_STREAMS_MAX + 1)
})

test('so many arrays are kept apart; one more joins them', (t) => {
  let kept: Uint8Array[] = []
  for (let i = 0; i < KEPT_ARRAYS_MAX; i++) kept = keptFew(kept, Uint8Array.of(i))
  t.is(kept.length, KEPT_ARRAYS_MAX)
  t.deepEqual(keptFew(kept, Uint8Array.of(255)), [
    Uint8Array.from([...Array.from({ length: KEPT_ARRAYS_MAX }, (_, i) => i), 255]),
  ])
})

test('each bound of a frame: at it the header is read, one more is a broken frame', (t) => {
  for (const [type, length, channel, isRead] of [
    [FRAME.data, FRAME_MAX_BYTES, 1, true],
    [FRAME.data, FRAME_MAX_BYTES + 1, 1, false],
    [FRAME.open, PROTOCOL_NAME_MAX_BYTES, 1, true],
    [FRAME.open, PROTOCOL_NAME_MAX_BYTES + 1, 1, false],
    [TYPES_MAX, 0, 0, true],
    [TYPES_MAX + 1, 0, 1, false],
    [TYPES_MAX + 1, 0, 0, false],
  ] as const) {
    const header = encodeHeader(type, false, length, channel)
    if (isRead) t.like(decodeHeader(header), { type, length })
    else
      t.throws(() => decodeHeader(header), { instanceOf: MuxError, code: 'mux-frame' }, `${type} ${length}`)
  }
})

test('who writes on without waiting is stopped as a bug of ours, at the bound of the queue', (t) => {
  const channel = opener().mux.open('p')
  while (channel.queuedBytes === 0) channel.write(new Uint8Array(1024))
  channel.write(new Uint8Array(QUEUE_MAX_BYTES - channel.queuedBytes))
  t.is(channel.queuedBytes, QUEUE_MAX_BYTES)
  const error = t.throws(() => channel.write(new Uint8Array(1)), { message: /without waiting/u })
  t.false(error instanceof MuxError)
})
