import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { WebSocket } from 'ws'
import { ErrorBodySchema, LiveMessageSchema } from '../../../node/api/schemas.ts'
import {
  BODY_SIZE_BYTES_MAX,
  CONNECTIONS_MAX,
  LIVE_EVENTS_MAX,
  LIVE_MESSAGE_SIZE_BYTES_MAX,
  SOCKET_PATH_SIZE_BYTES_MAX,
} from '../../../node/http/limits.ts'
import { login, send, start, until } from './fixture.ts'
import type { Fixture } from './fixture.ts'

test('a body as large as it may be is read, one byte more is refused', async (t) => {
  await using kith = await start()
  const headers = { ...(await login(kith)), 'Content-Type': 'application/json' }
  const body = '{"name":"blog","target":"8080"}'.padEnd(BODY_SIZE_BYTES_MAX)
  const post = { method: 'POST', path: '/api/v1/services', headers }
  for (const chunked of [{}, { 'Transfer-Encoding': 'chunked' }]) {
    const call = { ...post, headers: { ...headers, ...chunked } }
    t.is((await send(kith, { ...call, body })).status, 200)
    const more = await send(kith, { ...call, body: `${body} ` })
    t.is(more.status, 413)
    t.is(ErrorBodySchema.parse(more.json()).error.code, 'body-too-large')
  }
})

test('a listener takes so many connections, closes one more with an event, and takes another when one has gone', async (t) => {
  await using kith = await start()
  const sockets: Socket[] = []
  const opened = async (): Promise<Socket> => {
    const socket = connect(kith.port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => undefined) // `close` tells
    await once(socket, 'connect')
    return socket
  }
  try {
    const first = await opened()
    for (let count = 2; count <= CONNECTIONS_MAX; count++) await opened()
    const more = await opened()
    if (!more.closed) await once(more.resume(), 'close')
    t.like(kith.control.log.at(-1), { kind: 'dashboard.full', reason: 'live-full' })
    t.true(await isServed(kith, sockets[CONNECTIONS_MAX - 1]!), 'the last within the limit')
    const left = once(first.resume(), 'close')
    first.end()
    await left
    t.true(await isServed(kith, await opened()), 'the place of one that left')
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})

async function isServed(kith: Fixture, socket: Socket): Promise<boolean> {
  socket.write(`HEAD /login HTTP/1.1\r\nHost: ${kith.host}\r\n\r\n`)
  const [head] = (await once(socket, 'data')) as [Buffer]
  return head.toString('latin1').startsWith('HTTP/1.1 ')
}

test('a browser may send a message so long and no longer', async (t) => {
  await using kith = await start()
  const socket = await tab(kith)
  const seen = '{"type":"seen"}'
  socket.send(seen.padEnd(LIVE_MESSAGE_SIZE_BYTES_MAX))
  socket.ping()
  await once(socket, 'pong')
  t.is(socket.readyState, WebSocket.OPEN)
  socket.send(seen.padEnd(LIVE_MESSAGE_SIZE_BYTES_MAX + 1))
  const [code] = (await once(socket, 'close')) as [number]
  t.true([1006, 1009].includes(code), String(code))
})

test('for a tab that does not read so many events wait, and of more the oldest go', async (t) => {
  await using kith = await start()
  const socket = await tab(kith)
  const received: string[] = []
  let newestPeer = ''
  socket.on('message', (data) => {
    const message = LiveMessageSchema.parse(JSON.parse((data as Buffer).toString('utf8')))
    if (message.topic === 'event') received.push(message.data.text)
    if (message.topic === 'peers') newestPeer = message.data[0]?.name ?? ''
  })
  for (const [round, count] of [LIVE_EVENTS_MAX, LIVE_EVENTS_MAX + 10].entries()) {
    socket.pause()
    await fill(kith)
    const [peer] = kith.control.peersNow
    for (let n = 1; n <= count; n++)
      kith.control.emit({ kind: 'test.now', severity: 'info', text: `event ${round} ${n}` })
    kith.control.peersNow = [{ ...peer!, name: `end-${round}` }]
    kith.control.change('peers')
    received.length = 0
    socket.resume()
    // The snapshot goes ahead of the events.
    await until(() => newestPeer === `end-${round}` && received.at(-1) === `event ${round} ${count}`)
    t.is(received.length, LIVE_EVENTS_MAX)
    t.is(received[0], `event ${round} ${count - LIVE_EVENTS_MAX + 1}`)
  }
  socket.terminate()
})

/** Fills what lies between the node and a tab that does not read. */
async function fill({ control }: Fixture): Promise<void> {
  const [peer] = control.peersNow
  control.peersNow = Array.from({ length: 400 }, () => ({ ...peer!, tags: ['x'.repeat(1000)] }))
  for (let round = 0; round < 40; round++) {
    control.change('peers')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function tab(kith: Fixture): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${kith.port}/api/v1/live`, {
    headers: { ...(await login(kith)), Host: kith.host },
  })
  await once(socket, 'open')
  return socket
}

test('the path of a unix socket may be as long as the strictest system has it', async (t) => {
  await using kith = await start()
  const path = join(kith.directory, 'x'.repeat(SOCKET_PATH_SIZE_BYTES_MAX))
  await kith.dashboard.listenSocket(path.slice(0, SOCKET_PATH_SIZE_BYTES_MAX))
  const error = await t.throwsAsync(
    kith.dashboard.listenSocket(path.slice(0, SOCKET_PATH_SIZE_BYTES_MAX + 1)),
  )
  t.like(error, { code: 'socket-path-too-long' })
})
