import { duplexPair } from 'node:stream'
import test from 'ava'
import * as fc from 'fast-check'
import { streamPipe } from '../../../node/services/socket-pipe.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { TunnelError } from '../../../protocols/tunnel/errors.ts'
import { readServiceRequest, requestService, type BytePipe } from '../../../protocols/tunnel/handshake.ts'
import { frame, OpenedFormat, OpenFormat } from '../../../protocols/tunnel/wire.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('the frames of a tunnel have golden bytes', (t) => {
  t.is(hex(frame(OpenFormat.encode({ version: 1, service: 'wiki' }))), '000782016477696b69')
  t.is(hex(frame(OpenedFormat.encode({ ok: true, code: '', text: '' }))), '000483f56060')
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

function joined(): [BytePipe, BytePipe] {
  const [near, far] = duplexPair({ allowHalfOpen: true })
  return [streamPipe(near), streamPipe(far)]
}
async function* bytes(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}
async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(source)).toString()
}

test('after a yes both sides hear each other to the end, what was sent along with the frames included', async (t) => {
  const [near, far] = joined()
  const serve = async (): Promise<string> => {
    const request = await readServiceRequest(far)
    t.is(request.service, 'wiki')
    const stream = request.accept()
    await stream.sink(bytes('from ', 'the provider'))
    return textOf(stream.source)
  }
  const served = serve()
  const stream = await requestService(near, 'wiki')
  await stream.sink(bytes('from the consumer'))
  t.is(await textOf(stream.source), 'from the provider')
  t.is(await served, 'from the consumer')
})

test('a no carries its code and sentence; a code of the future keeps its sentence', async (t) => {
  const [near, far] = joined()
  void readServiceRequest(far).then((request) => request.refuse('not-allowed', 'not you'))
  t.like(await t.throwsAsync(requestService(near, 'wiki'), { instanceOf: TunnelError }), {
    code: 'not-allowed',
    message: 'not you',
  })
  const [here, there] = joined()
  void there
    .sink([frame(OpenedFormat.encode({ ok: false, code: 'sun-spots', text: 'later' }))].values() as never)
    .catch(() => undefined)
  t.like(await t.throwsAsync(requestService(here, 'wiki'), { instanceOf: TunnelError }), {
    code: 'stream-failed',
    message: 'later',
  })
})

const broken: [title: string, sent: Uint8Array[]][] = [
  ['that ends at once', []],
  ['that ends within the length', [Uint8Array.of(0)]],
  ['with a frame longer than the limit', [Uint8Array.of(0xff, 0xff)]],
  ['with a frame that is none', [Uint8Array.of(0, 1, 0xff)]],
]
for (const [title, sent] of broken) {
  test(`a stream ${title} is malformed`, async (t) => {
    const [near, far] = joined()
    void near.sink(
      (async function* () {
        yield* sent
      })(),
    )
    await t.throwsAsync(readServiceRequest(far), { instanceOf: MalformedError })
  })
}
