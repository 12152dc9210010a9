import type { Connection, Stream } from '@libp2p/interface'
import test from 'ava'
import { lengthPrefixed } from '../../../protocols/common/length-prefix.ts'
import { FRAME_BYTES_MAX, SEND_QUEUE_BYTES_MAX } from '../../../protocols/membership/limits.ts'
import { NeighbourStreams } from '../../../protocols/membership/streams.ts'
import { virtualTime } from '../virtual-time.ts'

/** One neighbour's stream whose queue a test fills, and all that is told of it. */
function linked() {
  const told: string[] = []
  const streams = new NeighbourStreams(
    {
      up: () => undefined,
      frame: (_, bytes) => void told.push(`frame of ${bytes.length}`),
      down: () => void told.push('down'),
      broken: (_, code, text) => void told.push(`${code}: ${text}`),
    },
    virtualTime().timers,
  )
  const sent: Uint8Array[] = []
  const aborted: string[] = []
  const stream = Object.assign(new EventTarget(), {
    writeStatus: 'writable',
    writeBufferLength: 0,
    send: (bytes: Uint8Array) => void sent.push(bytes),
    abort: () => {
      aborted.push('stream')
      stream.dispatchEvent(new Event('close'))
    },
  })
  const connection = {
    direction: 'inbound',
    remotePeer: { toString: () => 'neighbour' },
    abort: () => void aborted.push('connection'),
  }
  streams.add(stream as unknown as Stream, connection as unknown as Connection)
  const hear = (data: Uint8Array): void =>
    void stream.dispatchEvent(Object.assign(new Event('message'), { data: { subarray: () => data } }))
  return { streams, stream, sent, aborted, told, hear }
}

test('frames wait for a slow neighbour up to the limit; with one byte more the link and its connection end, and it is told', (t) => {
  const frame = new Uint8Array(100)
  for (const [waitingBytes, isSent] of [
    [SEND_QUEUE_BYTES_MAX - frame.length, true],
    [SEND_QUEUE_BYTES_MAX - frame.length + 1, false],
  ] as const) {
    const { streams, stream, sent, aborted, told } = linked()
    stream.writeBufferLength = waitingBytes
    streams.send('neighbour', frame)
    t.is(sent.length, isSent ? 1 : 0)
    t.deepEqual(aborted, isSent ? [] : ['stream', 'connection'])
    t.deepEqual(told, isSent ? [] : ['down', `send-queue-full: ${waitingBytes} bytes wait`])
  }
})

test('a frame of the longest size is taken, one byte more ends the link and its connection, and it is told', (t) => {
  const { aborted, told, hear } = linked()
  hear(lengthPrefixed(new Uint8Array(FRAME_BYTES_MAX)))
  t.deepEqual(told.splice(0), [`frame of ${FRAME_BYTES_MAX}`])
  hear(lengthPrefixed(new Uint8Array(FRAME_BYTES_MAX + 1)).subarray(0, 8))
  t.deepEqual(aborted, ['stream', 'connection'])
  t.is(told[0], 'down')
  t.regex(told[1] ?? '', /^frame-malformed: .*limit/)
})
