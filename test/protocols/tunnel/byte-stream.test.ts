import type { Stream } from '@libp2p/interface'
import test, { type ExecutionContext } from 'ava'
import { pipe } from 'it-pipe'
import { createHash, randomBytes } from 'node:crypto'
import {
  byteStream,
  ByteStreamError,
  READ_LOW_WATER_BYTES,
  type ByteStream,
} from '../../../protocols/tunnel/byte-stream.ts'
import { node, side, until } from '../secure-channel/mesh.ts'

const PROTOCOL = '/test/bytes/1'
const WINDOW_BYTES = 2 * 1024 * 1024

/** Two nodes; `serve` gets each inbound stream, `open` makes outbound ones. */
async function streams(
  t: ExecutionContext,
  serve: (adapter: ByteStream, stream: Stream) => void | Promise<void>,
) {
  const [alice, bob] = await Promise.all([node(t, side()), node(t, side())])
  await bob.handle(PROTOCOL, (stream) => serve(byteStream(stream), stream), { maxInboundStreams: 200 })
  const connection = await alice.dial(bob.getMultiaddrs())
  return {
    connection,
    open: async () => {
      const stream = await connection.newStream(PROTOCOL, { maxOutboundStreams: 200 })
      return { stream, adapter: byteStream(stream) }
    },
  }
}

async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts).toString()
}

const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value)

test('the dialler finishes first and still gets the answer', async (t) => {
  const { open } = await streams(t, async (adapter) => {
    const question = await text(adapter.source)
    await adapter.sink([utf8(`${question} heard`)])
  })
  const { adapter, stream } = await open()
  await adapter.sink([utf8('hello '), utf8('you')])
  t.is(await text(adapter.source), 'hello you heard')
  await until(() => stream.status === 'closed', 'the stream closes once both finished')
})

test('the answerer finishes first and still gets the rest', async (t) => {
  const heard = Promise.withResolvers<string>()
  const { open } = await streams(t, async (adapter) => {
    await adapter.sink([utf8('banner')])
    heard.resolve(await text(adapter.source))
  })
  const { adapter } = await open()
  t.is(await text(adapter.source), 'banner')
  await adapter.sink([utf8('later')])
  t.is(await heard.promise, 'later')
})

test('an empty stream ends without a byte, both ways', async (t) => {
  const { open } = await streams(t, async (adapter) => {
    await pipe(adapter, adapter)
  })
  const { adapter } = await open()
  await adapter.sink([])
  t.is(await text(adapter.source), '')
})

test('64 MB go through a slow reader intact while what waits stays bounded on both sides', async (t) => {
  const total = 64 * 1024 * 1024
  const block = randomBytes(1024 * 1024)
  const done = Promise.withResolvers<{ hash: string; peak: number }>()
  const { open } = await streams(t, async (adapter) => {
    const hash = createHash('sha256')
    let peak = 0
    let taken = 0
    for await (const chunk of adapter.source) {
      hash.update(chunk)
      taken += chunk.length
      peak = Math.max(peak, adapter.bufferedBytes)
      // Slower than the sender: each megabyte waits for many turns of the event loop.
      if (taken > 1024 * 1024) {
        taken = 0
        for (let i = 0; i < 40; i++) await new Promise((resolve) => setImmediate(resolve))
      }
    }
    done.resolve({ hash: hash.digest('hex'), peak })
    await adapter.sink([])
  })
  const { adapter, stream } = await open()
  const expected = createHash('sha256')
  let peakWrite = 0
  await adapter.sink(
    (function* () {
      for (let sent = 0; sent < total; sent += block.length) {
        expected.update(block)
        peakWrite = Math.max(peakWrite, stream.writeBufferLength)
        yield block
      }
    })(),
  )
  const { hash, peak } = await done.promise
  t.is(hash, expected.digest('hex'))
  t.true(peak <= READ_LOW_WATER_BYTES + 2 * WINDOW_BYTES, `receiver held ${peak}`)
  t.true(peak > READ_LOW_WATER_BYTES, `the reader was not slow: ${peak}`)
  t.true(peakWrite <= 128 * 1024, `sender held ${peakWrite}`)
})

test('a reader that never reads stops the sender instead of being reset', async (t) => {
  const inbound = Promise.withResolvers<{ adapter: ByteStream; stream: Stream }>()
  const { open } = await streams(t, (adapter, stream) => inbound.resolve({ adapter, stream }))
  const { adapter, stream } = await open()
  let produced = 0
  const sending = adapter.sink(
    (async function* () {
      for (;;) {
        produced += 65_536
        yield new Uint8Array(65_536)
        await new Promise((resolve) => setImmediate(resolve))
      }
    })(),
  )
  const stopped = t.throwsAsync(sending, { instanceOf: ByteStreamError, code: 'stream-reset' })
  const receiver = await inbound.promise
  let before = -1
  await until(() => {
    const same = produced === before && stream.writableNeedsDrain
    before = produced
    return same
  }, 'the sender stops')
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
  t.true(produced <= READ_LOW_WATER_BYTES + 3 * WINDOW_BYTES, `${produced}`)
  t.is(receiver.stream.status, 'open')
  receiver.adapter.abort(new Error('enough'))
  await stopped
})

test('a reset in the middle reaches both directions of the other side with its reason', async (t) => {
  const { open } = await streams(t, async (adapter) => {
    for await (const chunk of adapter.source) if (chunk.length > 0) break
    adapter.abort(new Error('service died'))
  })
  const { adapter } = await open()
  const forever = Promise.withResolvers<Uint8Array>()
  const writing = adapter.sink(
    (async function* () {
      yield utf8('x')
      yield await forever.promise
    })(),
  )
  await t.throwsAsync(writing, { instanceOf: ByteStreamError, code: 'stream-reset' })
  await t.throwsAsync(text(adapter.source), { instanceOf: ByteStreamError, code: 'stream-reset' })
})

test('a source that throws aborts the stream and passes its error on', async (t) => {
  const failed = Promise.withResolvers<unknown>()
  const { open } = await streams(t, async (adapter) => {
    failed.resolve(await t.throwsAsync(text(adapter.source)))
  })
  const { adapter } = await open()
  const broken = (async function* () {
    yield utf8('x')
    throw new Error('disk gone')
  })()
  await t.throwsAsync(adapter.sink(broken), { message: 'disk gone' })
  const error = await failed.promise
  t.true(error instanceof ByteStreamError && error.code === 'stream-reset')
  await t.throwsAsync(text(adapter.source), { code: 'stream-aborted' })
})

test('a connection that ends under a stream is told apart from an orderly end', async (t) => {
  const { open, connection } = await streams(t, () => undefined)
  const { adapter } = await open()
  const reading = t.throwsAsync(text(adapter.source), { instanceOf: ByteStreamError })
  connection.abort(new Error('cable'))
  await reading
})

test('a connection that ends while only we still write fails the writer and keeps what was received', async (t) => {
  const { open, connection } = await streams(t, async (adapter) => {
    await adapter.sink([utf8('all I have')])
  })
  const { adapter, stream } = await open()
  const never = Promise.withResolvers<Uint8Array>()
  const writing = t.throwsAsync(
    adapter.sink(
      (async function* () {
        yield await never.promise
      })(),
    ),
    { instanceOf: ByteStreamError, code: 'stream-closed' },
  )
  await until(() => stream.remoteWriteStatus === 'closed', 'the other side finishes')
  await Promise.all([connection.close(), writing])
  t.is(await text(adapter.source), 'all I have')
})

test('a reader that stops early does not hold the sender up', async (t) => {
  const sent = Promise.withResolvers<void>()
  const { open } = await streams(t, async (adapter) => {
    await adapter.sink(
      (function* () {
        for (let i = 0; i < 256; i++) yield new Uint8Array(65_536)
      })(),
    )
    sent.resolve()
  })
  const { adapter } = await open()
  for await (const chunk of adapter.source) if (chunk.length > 0) break
  await sent.promise
  await adapter.sink([])
  t.pass()
})

test('a hundred streams at once echo through it-pipe, each its own bytes', async (t) => {
  const { open } = await streams(t, async (adapter) => {
    await pipe(adapter, adapter)
  })
  await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const { adapter } = await open()
      const data = Buffer.alloc(20_000, i + 1)
      const [, echoed] = await Promise.all([adapter.sink([data]), text(adapter.source)])
      t.is(echoed.length, Buffer.from(data.toString()).toString().length)
      t.true(echoed === data.toString())
    }),
  )
})
