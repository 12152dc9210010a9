import test from 'ava'
import { firstFrame } from '../../../protocols/common/first-frame.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { connectThrough, readIncoming } from '../../../protocols/relay/client.ts'
import { CODE_CHARACTERS_MAX, RELAY_FRAME_BYTES_MAX } from '../../../protocols/relay/limits.ts'
import { RelayService } from '../../../protocols/relay/service.ts'
import { answerFormat, askFormat, incomingFormat, RELAY_KIND } from '../../../protocols/relay/wire.ts'
import { decodesUpTo, readsUpTo } from '../common/format-bounds.ts'
import { channelPair } from '../mux/pair.ts'
import { virtualTime } from '../virtual-time.ts'

const KEY = new Uint8Array(32).fill(1)

test('each bound of the relay’s frames: at it they are read, with one more they are malformed', (t) => {
  decodesUpTo(t, answerFormat, [
    [
      'characters of a refusal’s code',
      CODE_CHARACTERS_MAX,
      (length) => [RELAY_KIND.refused, 'a'.repeat(length)],
    ],
  ])
  for (const format of [askFormat, answerFormat, incomingFormat]) readsUpTo(t, format, RELAY_FRAME_BYTES_MAX)
})

/** What each side says of a peer whose first frame begins with these bytes; empty while it waits for more. */
const SIDES: Readonly<Record<string, (bytes: Uint8Array) => Promise<string[]>>> = {
  async relay(bytes) {
    const { clock, timers } = virtualTime()
    const said: string[] = []
    const relay = new RelayService({
      selfId: peerIdFromKey(KEY),
      isOn: true,
      openCircuit: () => Promise.reject(new Error('nobody is to be called')),
      ipOf: () => null,
      clock,
      timers,
      emit: ({ reason, text }) => void said.push(`${reason} ${text}`),
    })
    const [near, far] = channelPair()
    relay.serve(far, peerIdFromKey(new Uint8Array(32).fill(2)), false)
    near.write(bytes)
    await settle()
    return said
  },
  async source(bytes) {
    const said: string[] = []
    const [near, far] = channelPair()
    connectThrough(near, KEY, virtualTime().timers).use({
      onData: () => undefined,
      onEnd: () => undefined,
      onReset: (error) => void said.push(`${(error as { code?: string }).code} ${error.message}`),
      onDrain: () => undefined,
    })
    far.write(bytes)
    await settle()
    return said
  },
  async target(bytes) {
    const said: string[] = []
    const [near, far] = channelPair()
    readIncoming(far, virtualTime().timers, {
      onIncoming: () => void said.push('incoming'),
      onFailure: (error) => void said.push(`relay-malformed ${error.message}`),
    })
    near.write(bytes)
    await settle()
    return said
  },
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((done) => setImmediate(done))
}

for (const [side, hear] of Object.entries(SIDES)) {
  test(`the ${side} waits for a first frame of the longest size, and cuts a longer one at its length`, async (t) => {
    const longest = firstFrame(new Uint8Array(RELAY_FRAME_BYTES_MAX))
    t.deepEqual(await hear(longest.subarray(0, -1)), [])
    const [whole = ''] = await hear(longest)
    t.regex(whole, /^relay-malformed Cannot decode/, 'whole, it is looked at')
    const [tooLong = ''] = await hear(firstFrame(new Uint8Array(RELAY_FRAME_BYTES_MAX + 1)).subarray(0, 2))
    t.regex(tooLong, new RegExp(`^relay-malformed .*the limit is ${RELAY_FRAME_BYTES_MAX}$`))
  })
}
