import test from 'ava'
import * as fc from 'fast-check'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { TunnelError } from '../../../protocols/tunnel/errors.ts'
import type { Timers } from '../../../protocols/common/ports.ts'
import type { ByteChannel } from '../../../protocols/mux/channel.ts'
import { readServiceRequest, requestService, type ServiceRequest } from '../../../protocols/tunnel/channel.ts'
import { ACCEPT_DELAY_MS, OPEN_TIMEOUT_MS } from '../../../protocols/tunnel/limits.ts'
import { firstFrame } from '../../../protocols/common/first-frame.ts'
import { OpenedFormat, OpenFormat } from '../../../protocols/tunnel/wire.ts'
import { channelPair } from '../mux/pair.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('the frames of a tunnel have golden bytes', (t) => {
  t.is(hex(firstFrame(OpenFormat.encode({ version: 1, service: 'wiki' }))), '000782016477696b69')
  t.is(hex(firstFrame(OpenedFormat.encode({ ok: true, code: '', text: '' }))), '000483f56060')
})

test('frames round-trip, and any bytes decode or are malformed', (t) => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 15 }), (service) =>
      t.deepEqual(OpenFormat.decode(OpenFormat.encode({ version: 1, service })), { version: 1, service }),
    ),
  )
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom(OpenFormat, OpenedFormat),
      (bytes, format) => {
        try {
          format.decode(bytes)
        } catch (error) {
          t.true(error instanceof MalformedError)
        }
      },
    ),
    { numRuns: 2000 },
  )
  t.pass()
})

/** Timers that fire when they are told to. */
function handTimers(): Timers & { fire(delayMs: number): void } {
  const waiting = new Set<{ delayMs: number; run: () => void }>()
  return {
    every: () => () => undefined,
    after(delayMs, run) {
      const timer = { delayMs, run }
      waiting.add(timer)
      return () => void waiting.delete(timer)
    },
    fire(delayMs) {
      for (const timer of Array.from(waiting)) {
        if (timer.delayMs !== delayMs) continue
        waiting.delete(timer)
        timer.run()
      }
    },
  }
}

const text = (of: string): Uint8Array => new TextEncoder().encode(of)

/** All a channel says until its end; rejects with what reset it. */
function all(channel: ByteChannel): Promise<string> {
  const parts: Uint8Array[] = []
  return new Promise((resolve, reject) => {
    channel.use({
      onData(bytes) {
        parts.push(bytes)
        channel.consumed(bytes.length)
      },
      onEnd: () => resolve(Buffer.concat(parts).toString()),
      onReset: reject,
      onDrain: () => undefined,
    })
  })
}

/** The next request on a channel. */
function requestOn(channel: ByteChannel, timers: Timers = handTimers()): Promise<ServiceRequest> {
  return new Promise((onRequest, onFailure) => readServiceRequest(channel, timers, { onRequest, onFailure }))
}

test('after a yes both sides hear each other to the end, what was sent along with the frames included', async (t) => {
  const [near, far] = channelPair()
  const stream = requestService(near, 'wiki', handTimers())
  stream.write(text('from the '))
  const answer = all(stream)
  const request = await requestOn(far)
  t.is(request.service, 'wiki')
  const accepted = request.accept()
  accepted.write(text('from the provider'))
  accepted.end()
  const asked = all(accepted)
  stream.write(text('consumer'))
  stream.end()
  t.is(await answer, 'from the provider')
  t.is(await asked, 'from the consumer')
})

test('the yes leaves with the first bytes of the service, and after a moment without them', async (t) => {
  const [near, far] = channelPair()
  let accepted = false
  void all(requestService(near, 'wiki', handTimers(), () => (accepted = true)))
  const timers = handTimers()
  const request = await requestOn(far, timers)
  request.accept()
  await new Promise((resolve) => setImmediate(resolve))
  t.false(accepted)
  timers.fire(ACCEPT_DELAY_MS)
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve))
  t.true(accepted)
})

test('a no carries its code and sentence; a code of the future keeps its sentence', async (t) => {
  const [near, far] = channelPair()
  const asked = all(requestService(near, 'wiki', handTimers()))
  void requestOn(far).then((request) => request.refuse('not-allowed', 'not you'))
  t.like(await t.throwsAsync(asked, { instanceOf: TunnelError }), {
    code: 'not-allowed',
    message: 'not you',
  })
  const [here, there] = channelPair()
  there.write(firstFrame(OpenedFormat.encode({ ok: false, code: 'sun-spots', text: 'later' })))
  t.like(await t.throwsAsync(all(requestService(here, 'wiki', handTimers())), { instanceOf: TunnelError }), {
    code: 'stream-failed',
    message: 'later',
  })
})

test('who asks and who is asked do not wait for ever', async (t) => {
  const [near, far] = channelPair()
  const timers = handTimers()
  const asked = all(requestService(near, 'wiki', timers))
  timers.fire(OPEN_TIMEOUT_MS)
  t.like(await t.throwsAsync(asked), { code: 'stream-failed' })
  t.false(near.isOpen)
  const late = await requestOn(far)
  await t.throwsAsync(all(late.accept()), { code: 'channel-reset' })

  const [, silent] = channelPair()
  const patience = handTimers()
  const request = requestOn(silent, patience)
  patience.fire(OPEN_TIMEOUT_MS)
  await t.throwsAsync(request, { message: 'no OPEN came' })
  t.false(silent.isOpen)
})

test('a provider that answers nonsense, or ends without an answer, fails the request', async (t) => {
  for (const sent of [Uint8Array.of(0, 1, 0xff), Uint8Array.of(0xff, 0xff), new Uint8Array(0)]) {
    const [near, far] = channelPair()
    far.write(sent)
    far.end()
    t.like(await t.throwsAsync(all(requestService(near, 'wiki', handTimers()))), { code: 'stream-failed' })
  }
})

const broken: [title: string, sent: Uint8Array][] = [
  ['that ends at once', new Uint8Array(0)],
  ['that ends within the length', Uint8Array.of(0)],
  ['with a frame longer than the limit', Uint8Array.of(0xff, 0xff)],
  ['with a frame that is none', Uint8Array.of(0, 1, 0xff)],
]
for (const [title, sent] of broken) {
  test(`a request ${title} is malformed`, async (t) => {
    const [near, far] = channelPair()
    near.write(sent)
    near.end()
    await t.throwsAsync(requestOn(far), { instanceOf: MalformedError })
    t.false(far.isOpen)
  })
}
