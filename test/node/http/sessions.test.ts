import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { WebSocket } from 'ws'
import {
  LIVE_BACKLOG_BYTES_MAX,
  LIVE_SOCKETS_MAX,
  LOGIN_LINKS_MAX,
  SESSION_ABSOLUTE_MS,
  SESSION_IDLE_MS,
  SESSIONS_MAX,
} from '../../../node/http/limits.ts'
import { LiveMessageSchema } from '../../../node/api/schemas.ts'
import type { LiveMessage } from '../../../node/api/schemas.ts'
import { LoginLinks } from '../../../node/http/login-links.ts'
import { Sessions } from '../../../node/http/sessions.ts'
import { login, MemoryStore, send, start, until } from './fixture.ts'
import type { Fixture } from './fixture.ts'

const random = { bytes: (length: number) => randomBytes(length) }

test('of many parallel uses of a login link exactly one wins', async (t) => {
  await using kith = await start()
  const { url } = kith.dashboard.mintLoginLink()
  const path = new URL(url).pathname + new URL(url).search
  t.is(Buffer.from(new URL(url).searchParams.get('code') ?? '', 'base64url').length, 24)
  t.is((await send(kith, { method: 'HEAD', path })).status, 405, 'HEAD does not spend it')
  t.is(
    (await send(kith, { path, headers: { 'Sec-Purpose': 'prefetch' } })).status,
    403,
    'a speculative load does not spend it',
  )
  t.is(
    (await send(kith, { path, headers: { 'Sec-Fetch-Site': 'cross-site' } })).status,
    403,
    'a foreign page does not spend it',
  )
  const replies = await Promise.all(
    Array.from({ length: 25 }, () => send(kith, { path, headers: { Accept: 'text/html' } })),
  )
  const won = replies.filter((reply) => reply.status === 303)
  t.is(won.length, 1)
  t.is(replies.filter((reply) => reply.status === 410).length, 24)
  t.regex(replies.find((reply) => reply.status === 410)?.text ?? '', /This login link is spent.*kith ui/s)
  const cookie = won[0]?.headers['set-cookie']?.[0] ?? ''
  t.regex(cookie, /^__Host-kith=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict$/)
  t.regex(won[0]?.headers.location ?? '', /^\/#token=[\w-]{43}$/)
  t.is(won[0]?.headers['cache-control'], 'no-store')
  const stored = [...kith.store.map].map(([key, value]) => key + Buffer.from(value).toString()).join()
  t.false(stored.includes(cookie.slice(12, 55)), 'the store holds no secret')
})

test('login links expire and are bounded', (t) => {
  const clock = { time: 1000, now: () => clock.time }
  const links = new LoginLinks(clock, random)
  const late = links.mint(60_000, 'admin')
  clock.time += 60_000
  t.is(links.redeem(late.code), undefined)
  const fresh = links.mint(60_000, 'viewer')
  clock.time += 59_999
  t.is(links.redeem(fresh.code), 'viewer')
  t.is(links.redeem(fresh.code), undefined)
  const first = links.mint(60_000, 'admin')
  const rest = Array.from({ length: LOGIN_LINKS_MAX }, () => links.mint(60_000, 'admin'))
  t.is(links.redeem(first.code), undefined, 'the oldest is voided at the limit')
  t.is(links.redeem(rest[0]!.code), 'admin')
})

test('sessions idle out, end after a working day, survive a restart and are bounded', async (t) => {
  const clock = { time: 1000, now: () => clock.time }
  const store = new MemoryStore()
  const errors: unknown[] = []
  const make = (): Sessions => new Sessions({ store, clock, random, onError: (error) => errors.push(error) })
  const sessions = make()
  const idle = sessions.create('admin')
  clock.time += SESSION_IDLE_MS - 1
  t.is(sessions.use(idle.secret)?.role, 'admin')
  clock.time += SESSION_IDLE_MS
  t.true(!idle.session.signal.aborted)
  t.is(sessions.use(idle.secret), undefined)
  t.true(idle.session.signal.aborted, 'what it held open is told')

  const busy = sessions.create('operator')
  const until = clock.time + SESSION_ABSOLUTE_MS
  while (clock.time + SESSION_IDLE_MS / 2 < until) {
    clock.time += SESSION_IDLE_MS / 2
    t.truthy(sessions.use(busy.secret))
  }
  const restarted = make()
  await restarted.load()
  t.is(restarted.use(busy.secret)?.role, 'operator')
  t.true(restarted.ownsToken(restarted.use(busy.secret)!, busy.token))
  clock.time = until
  t.is(sessions.use(busy.secret), undefined)

  await store.put('http-session/bad', Buffer.from('{"role":"root"}'))
  await store.put('http-session/worse', Buffer.from('not json'))
  const reread = make()
  await reread.load()
  t.deepEqual([...store.map.keys()], [], 'broken and expired records are removed')

  const first = sessions.create('viewer')
  clock.time++
  const others = Array.from({ length: SESSIONS_MAX }, () => sessions.create('viewer'))
  t.is(sessions.use(first.secret), undefined, 'the one idle longest goes')
  t.is(sessions.list(others[0]!.session).length, SESSIONS_MAX)
  t.is(store.map.size, SESSIONS_MAX)
  t.deepEqual(errors, [])
})

test('an admin sees all sessions and can end one', async (t) => {
  await using kith = await start()
  const admin = await login(kith)
  const viewer = await login(kith, 'viewer')
  const rows = (await send(kith, { path: '/api/v1/sessions', headers: admin })).json() as {
    id: string
    role: string
    current: boolean
  }[]
  t.is(rows.length, 2)
  const other = rows.find((row) => !row.current)
  t.is(other?.role, 'viewer')
  const socket = await live(kith, viewer)
  const closed = once(socket.socket, 'close')
  t.is(
    (await send(kith, { method: 'DELETE', path: `/api/v1/sessions/${other?.id}`, headers: admin })).status,
    200,
  )
  t.is(((await closed) as [number])[0], 4001)
  t.is((await send(kith, { path: '/api/v1/status', headers: viewer })).status, 401)
})

test('the live socket sends snapshots, then changes and events', async (t) => {
  await using kith = await start()
  const { messages, socket } = await live(kith, await login(kith))
  await until(() => messages.length >= 4)
  t.deepEqual(messages.map((message) => message.topic).sort(), ['members', 'peers', 'services', 'status'])
  kith.control.servicesNow = []
  kith.control.change('members')
  kith.control.change('services')
  kith.control.emit({ kind: 'test.now', severity: 'notice', text: 'hello' })
  await until(() => messages.length >= 6)
  t.is(
    messages.filter((message) => message.topic === 'members').length,
    1,
    'what is the same is not sent again',
  )
  await kith.control.revoke({ peer: 'phone', reason: 'lost' })
  await until(() => messages.length >= 7)
  t.like(
    messages.findLast((message) => message.topic === 'members'),
    { data: { 2: { state: 'revoked' } } },
  )
  t.like(
    messages.find((message) => message.topic === 'event'),
    { data: { kind: 'test.now' } },
  )
  t.deepEqual(messages.findLast((message) => message.topic === 'services')?.data, [])
  socket.terminate()
})

test('logout, idling and the end of the day close the sockets', async (t) => {
  await using kith = await start()
  const tab = await login(kith)
  const one = await live(kith, tab)
  const closed = once(one.socket, 'close')
  await send(kith, { method: 'POST', path: '/api/v1/logout', headers: tab })
  t.is(((await closed) as [number])[0], 4001)

  const idle = await live(kith, await login(kith))
  const idleClosed = once(idle.socket, 'close')
  kith.clock.time += SESSION_IDLE_MS
  const before = idle.messages.length
  kith.control.change('status')
  t.is(((await idleClosed) as [number])[0], 4001, 'a send finds the session over')
  t.is(idle.messages.length, before, 'and sends nothing')

  const seen = await live(kith, await login(kith))
  for (let i = 0; i < 3; i++) {
    kith.clock.time += SESSION_IDLE_MS - 1
    seen.socket.send('{"type":"seen"}')
    const count = seen.messages.length
    kith.control.change('status')
    await until(() => seen.messages.length > count)
  }
  kith.clock.time += SESSION_IDLE_MS
  const seenClosed = once(seen.socket, 'close')
  seen.socket.send('{"type":"seen"}')
  t.is(((await seenClosed) as [number])[0], 4001, 'a message finds the session over too')
})

test('a socket that says anything unexpected or too long is closed', async (t) => {
  await using kith = await start()
  const tab = await login(kith)
  for (const [message, code] of [
    ['hello', 1008],
    ['{"type":"admin"}', 1008],
    [Buffer.from([1]), 1008],
    ['x'.repeat(2000), 1006],
  ] as const) {
    const { socket } = await live(kith, tab)
    const closed = once(socket, 'close')
    socket.send(message)
    const [got] = (await closed) as [number]
    t.true(got === code || got === 1009, `${String(message).slice(0, 10)}: ${got}`)
  }
  t.deepEqual(kith.errors, [])
})

test('sockets are bounded', async (t) => {
  await using kith = await start()
  const tab = await login(kith)
  const sockets = await Promise.all(Array.from({ length: LIVE_SOCKETS_MAX }, () => live(kith, tab)))
  const error = await t.throwsAsync(live(kith, tab))
  t.regex(error?.message ?? '', /503/)
  sockets[0]!.socket.close()
  await once(sockets[0]!.socket, 'close')
  const again = await live(kith, tab)
  t.is(again.socket.readyState, WebSocket.OPEN)
})

test('a tab that does not read gets no backlog but the newest snapshot', async (t) => {
  await using kith = await start()
  const { socket, messages } = await live(kith, await login(kith))
  await until(() => messages.length >= 4)
  socket.pause()
  const [peer] = kith.control.peersNow
  const rss = process.memoryUsage().external
  for (let i = 1; i <= 400; i++) {
    kith.control.peersNow = Array.from({ length: 400 }, () => ({
      ...peer!,
      name: `round-${i}`,
      tags: ['x'.repeat(30)],
    }))
    kith.control.change('peers')
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.true(process.memoryUsage().external - rss < 40 * LIVE_BACKLOG_BYTES_MAX)
  socket.resume()
  const newest = (): boolean => {
    const last = messages.findLast((message) => message.topic === 'peers')
    return last?.topic === 'peers' && last.data[0]?.name === 'round-400'
  }
  await until(newest)
  t.true(messages.filter((message) => message.topic === 'peers').length < 200, 'most were skipped')
})

/** A live socket of a logged-in tab, open, with what it received. */
async function live(
  kith: Fixture,
  tab: Record<string, string>,
): Promise<{ socket: WebSocket; messages: LiveMessage[] }> {
  const socket = new WebSocket(`ws://127.0.0.1:${kith.port}/api/v1/live`, {
    headers: { ...tab, Host: kith.host },
  })
  const messages: LiveMessage[] = []
  socket.on('message', (data) =>
    messages.push(LiveMessageSchema.parse(JSON.parse((data as Buffer).toString('utf8')))),
  )
  await once(socket, 'open')
  return { socket, messages }
}
