import { createHash, randomBytes } from 'node:crypto'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import test from 'ava'
import { sendBody } from '../../../node/services/gateway/resume.ts'
import { listening, makeWorld, type World } from './world.ts'

/*
 * A download whose way to the service breaks in the middle: the target cuts its connection, as a relay that dies does.
 */

const BODY = randomBytes(3_000_000)
const SHA256 = createHash('sha256').update(BODY).digest('hex')
/** Of the first answers: how many bytes are sent, and arrive, before the connection is cut. */
type Cuts = number[]

interface Behaviour {
  readonly cuts: Cuts
  readonly headers?: Record<string, string>
  /** What later requests get instead of the rest. */
  readonly later?: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
}

/** A server and what it was asked for. */
interface Target {
  readonly port: number
  /** `Range` and `If-Range` of each request. */
  readonly ranges: string[]
  /** To be told how many bytes the client has in all: what is still on its way when a connection is cut may be lost. */
  arrived(bytes: number): void
  close(): void
}

/** A server that answers ranges, and cuts the first answers; remembers the ranges it was asked for. */
async function target(behaviour: Behaviour): Promise<Target> {
  const ranges: string[] = []
  const cuts = [...behaviour.cuts]
  let next: { atByte: number; cut: () => void } | undefined
  const server = createServer((request, response) => {
    const { range = '-' } = request.headers
    ranges.push(`${range} ${request.headers['if-range'] ?? '-'}`)
    if (ranges.length > 1 && behaviour.later !== undefined) return behaviour.later(request, response)
    const from = Number(/bytes=(\d+)-/.exec(range)?.[1] ?? 0)
    const headers = {
      'Accept-Ranges': 'bytes',
      'Content-Length': BODY.length - from,
      ETag: '"v1"',
      ...(from > 0 ? { 'Content-Range': `bytes ${from}-${BODY.length - 1}/${BODY.length}` } : {}),
      ...behaviour.headers,
    }
    response.writeHead(from > 0 ? 206 : 200, headers)
    const cut = cuts.shift()
    if (cut === undefined) return void response.end(BODY.subarray(from))
    next = { atByte: from + cut, cut: () => void request.socket.resetAndDestroy() }
    response.write(BODY.subarray(from, from + cut))
  })
  return {
    port: await listening(server),
    ranges,
    arrived(bytes) {
      if (next === undefined || bytes < next.atByte) return
      next.cut()
      next = undefined
    },
    close: () => void server.close(),
  }
}

interface Download {
  readonly status: number
  readonly sha256: string
  readonly bytes: number
  readonly isWhole: boolean
}

function download(world: World, server: Target, headers: Record<string, string> = {}): Promise<Download> {
  return new Promise((resolve, reject) => {
    const options = { port: world.gatewayPort, headers: { Host: 'files.home.internal', ...headers } }
    get(options, (response) => {
      const hash = createHash('sha256')
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        hash.update(chunk)
        server.arrived(bytes)
      })
      response.on('error', () => undefined) // its close follows
      response.on('close', () =>
        resolve({
          status: response.statusCode ?? 0,
          sha256: hash.digest('hex'),
          bytes,
          isWhole: response.complete,
        }),
      )
    }).on('error', reject)
  })
}

test('a download goes on where it broke, more than once, and the client sees one whole response', async (t) => {
  const world = await makeWorld()
  const server = await target({ cuts: [1_000_000, 500_000] })
  await world.publish({ name: 'files', target: String(server.port) })
  const got = await download(world, server)
  t.deepEqual(got, { status: 200, sha256: SHA256, bytes: BODY.length, isWhole: true })
  t.deepEqual(server.ranges, ['- -', 'bytes=1000000- "v1"', 'bytes=1500000- "v1"'])
  world.close()
  server.close()
})

test('an old date is a validator too, a fresh one is not', async (t) => {
  const dates: [modifiedAgoMs: number, isWhole: boolean][] = [
    [3_600_000, true],
    [1000, false],
  ]
  for (const [agoMs, isWhole] of dates) {
    const world = await makeWorld()
    const modified = new Date(Date.now() - agoMs).toUTCString()
    const server = await target({ cuts: [100_000], headers: { ETag: 'W/"weak"', 'Last-Modified': modified } })
    await world.publish({ name: 'files', target: String(server.port) })
    const got = await download(world, server)
    t.is(got.isWhole, isWhole)
    t.is(server.ranges[1], isWhole ? `bytes=100000- ${modified}` : undefined)
    world.close()
    server.close()
  }
})

const changed: Record<string, Behaviour['later']> = {
  'a 200 of another version': (_request, response) => {
    response.writeHead(200, { 'Accept-Ranges': 'bytes', ETag: '"v2"', 'Content-Length': 5 })
    response.end('other')
  },
  'a 206 from another byte': (_request, response) => {
    const rest = BODY.subarray(7)
    response.writeHead(206, {
      'Content-Range': `bytes 7-${BODY.length - 1}/${BODY.length}`,
      'Content-Length': rest.length,
    })
    response.end(rest)
  },
  'a 206 of a longer body': (_request, response) => {
    response.writeHead(206, { 'Content-Range': `bytes 100000-${BODY.length}/${BODY.length + 1}` })
    response.end(BODY.subarray(100_000))
  },
}
for (const [what, later] of Object.entries(changed)) {
  test(`${what} is never joined to what was sent: the client sees a cut body`, async (t) => {
    const world = await makeWorld()
    const server = await target({ cuts: [100_000], later })
    await world.publish({ name: 'files', target: String(server.port) })
    const got = await download(world, server)
    t.false(got.isWhole)
    t.is(got.bytes, 100_000)
    world.close()
    server.close()
  })
}

const plain: [title: string, headers: Record<string, string>, asked: Record<string, string>][] = [
  ['an origin that takes no ranges', { 'Accept-Ranges': 'none' }, {}],
  ['a client that asks for a range itself', {}, { Range: 'bytes=0-' }],
]
for (const [title, headers, asked] of plain) {
  test(`${title}: nothing is asked again, the body is cut`, async (t) => {
    const world = await makeWorld()
    const server = await target({ cuts: [100_000], headers })
    await world.publish({ name: 'files', target: String(server.port) })
    const got = await download(world, server, asked)
    t.false(got.isWhole)
    t.is(server.ranges.length, 1)
    world.close()
    server.close()
  })
}

test('a client that leaves ends the tries', async (t) => {
  t.timeout(10_000)
  const origin = await target({ cuts: [100_000] })
  const ended = Promise.withResolvers<void>()
  let tries = 0
  const gateway = createServer((_request, response) => {
    const leaves = (): Promise<never> => {
      if (++tries === 2) client.destroy()
      return Promise.reject(new Error('the way is broken'))
    }
    const rest = { totalBytes: BODY.length, validator: '"v1"' }
    get({ port: origin.port }, (answer) => {
      sendBody(answer, response, rest, leaves, () => t.fail()).then(ended.resolve, ended.reject)
    }).on('error', () => undefined) // the end of its answer says so too
  })
  const client = get({ port: await listening(gateway) }, (response) => {
    let bytes = 0
    response.on('data', (chunk: Buffer) => origin.arrived((bytes += chunk.length)))
    response.on('error', () => undefined)
  })
  client.on('error', () => undefined)
  await t.throwsAsync(ended.promise)
  t.is(tries, 2, 'it was tried again until the client left, and no more')
  gateway.close()
  origin.close()
})
