import test from 'ava'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { firstFrame } from '../../../protocols/common/first-frame.ts'
import type { Timers } from '../../../protocols/common/ports.ts'
import { readServiceRequest, requestService, type ServiceRequest } from '../../../protocols/tunnel/channel.ts'
import {
  OPEN_BYTES_MAX,
  OPENS_REMEMBERED_MAX,
  REFUSAL_CHARACTERS_MAX,
} from '../../../protocols/tunnel/limits.ts'
import { OpenedFormat, OpenFormat, openFrame } from '../../../protocols/tunnel/wire.ts'
import { channelPair } from '../mux/pair.ts'

const timers: Timers = { every: () => () => undefined, after: () => () => undefined }

/** Whether one of these was sent its first frame, and by how it ended. */
function sides() {
  const ends: Error[] = []
  const requests: ServiceRequest[] = []
  return {
    ends,
    requests,
    provider: {
      onRequest: (request: ServiceRequest) => void requests.push(request),
      onFailure: (error: Error) => void ends.push(error),
    },
    consumer: {
      onData: () => undefined,
      onEnd: () => undefined,
      onReset: (error: Error) => void ends.push(error),
      onDrain: () => undefined,
    },
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

// Alone in this file: the memory is one for the process, and here it begins empty.
test('so many OPEN frames are remembered; one more forgets them together, and they are made again the same', (t) => {
  const made = Array.from({ length: OPENS_REMEMBERED_MAX }, (_, i) => openFrame(`s${i}`))
  t.true(made.every((frame, i) => openFrame(`s${i}`) === frame))
  openFrame('one more')
  t.not(openFrame('s0'), made[0])
  t.deepEqual(openFrame('s0'), made[0])
})

test('a first frame as long as may be is read, on both sides; a longer one is refused by its length alone', async (t) => {
  const sizes = (length: number): Uint8Array => Uint8Array.of(length >> 8, length & 255)
  for (const [length, refused] of [
    [OPEN_BYTES_MAX, false],
    [OPEN_BYTES_MAX + 1, true],
  ] as const) {
    const [asking, asked] = [sides(), sides()]
    const [near, far] = channelPair()
    readServiceRequest(far, timers, asked.provider)
    near.write(sizes(length))
    const [here, there] = channelPair()
    requestService(here, 'wiki', timers).use(asking.consumer)
    there.write(sizes(length))
    await turns()
    t.deepEqual([asked.ends.length, asking.ends.length], refused ? [1, 1] : [0, 0])
    if (refused) {
      t.true(asked.ends[0] instanceof MalformedError)
      t.like(asking.ends[0], { code: 'stream-failed' })
      for (const error of [asked.ends[0], asking.ends[0]]) t.regex(error?.message ?? '', /the limit is/u)
      continue
    }
    for (const channel of [near, there]) channel.write(new Uint8Array(length))
    await turns()
    for (const error of [asked.ends[0], asking.ends[0]])
      t.regex(error?.message ?? '', /Cannot decode/u, 'what is in it is no frame')
  }
})

test('frames have a bound for each field: at it they decode, beyond it they are malformed', (t) => {
  const open = OpenFormat.encode({ version: 1, service: 's'.repeat(63) })
  t.is(OpenFormat.decode(open).service.length, 63)
  const answer = OpenedFormat.encode({ ok: false, code: 'c'.repeat(64), text: 't'.repeat(512) })
  t.is(OpenedFormat.decode(answer).text.length, 512)
  for (const [format, bytes] of [
    [OpenFormat, [0x82, 0x01, 0x78, 64, ...new Uint8Array(64).fill(0x73)]],
    [OpenedFormat, [0x83, 0xf4, 0x78, 65, ...new Uint8Array(65).fill(0x63), 0x60]],
    [OpenedFormat, [0x83, 0xf4, 0x60, 0x79, 0x02, 0x01, ...new Uint8Array(513).fill(0x74)]],
  ] as const)
    t.throws(() => format.decode(Uint8Array.from(bytes)), { instanceOf: MalformedError, message: /Too big/u })
})

for (const [name, character] of [
  ['one byte', 'x'],
  ['two bytes', 'é'],
  ['three bytes', '漢'],
  ['a pair of surrogates', '🚪'],
] as const) {
  test(`the sentence of a refusal is cut to fit its answer: characters of ${name}`, async (t) => {
    const { ends, requests, provider, consumer } = sides()
    const [near, far] = channelPair()
    readServiceRequest(far, timers, provider)
    requestService(near, 'wiki', timers).use(consumer)
    await turns()
    const sentence = character.repeat(REFUSAL_CHARACTERS_MAX / character.length)
    requests[0]?.refuse('not-allowed', `${sentence}${character}`)
    await turns()
    t.like(ends[0], { code: 'not-allowed', message: sentence })
    t.true(
      firstFrame(OpenedFormat.encode({ ok: false, code: 'c'.repeat(64), text: sentence })).length <=
        OPEN_BYTES_MAX,
    )
  })
}
