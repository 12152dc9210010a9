import { stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { spawnSync } from 'node:child_process'
import test from 'ava'
import { z } from 'zod'
import { AccessRoleSchema, ErrorBodySchema } from '../../../node/api/schemas.ts'
import type { AccessRole } from '../../../node/api/schemas.ts'
import { createDashboard } from '../../../node/http/dashboard.ts'
import { HTTP_REASONS } from '../../../node/http/errors.ts'
import { BODY_SIZE_BYTES_MAX } from '../../../node/http/limits.ts'
import { PERMISSIONS } from '../../../node/http/permissions.ts'
import { defineRoute } from '../../../node/http/route.ts'
import type { RouteSpec } from '../../../node/http/route.ts'
import { ROUTES } from '../../../node/http/routes/index.ts'
import { LABEL, login, MemoryStore, open, send, start, until } from './fixture.ts'
import type { Call, Reply } from './fixture.ts'
import { FakeControl, setupStatus } from './fake-control.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }
const BODIES: Readonly<Record<string, unknown>> = {
  '/api/v1/services': { name: 'blog', target: '8080' },
  '/api/v1/join': { invite: 'kith://join/abc' },
  '/api/v1/ping': { peer: 'attic', count: 1 },
  '/api/v1/forwards': { name: 'wiki' },
  '/api/v1/revocations': { peer: 'phone' },
  '/api/v1/approvals': { peer: 'guest' },
  '/api/v1/authorities': { peer: 'attic' },
  '/api/v1/authorities/retire': { peer: 'attic' },
  '/api/v1/authorities/signed': { signed: 'kith-root-signed:abc' },
}

function post(path: string, body: unknown, headers: Record<string, string> = {}): Call {
  return { method: 'POST', path, headers: { ...headers, ...JSON_TYPE }, body: JSON.stringify(body) }
}

function codeOf(reply: { json(): unknown }): string {
  return ErrorBodySchema.parse(reply.json()).error.code
}

test('a route without permission, answer schema or parameter schema does not register', (t) => {
  const good = {
    method: 'GET',
    path: '/api/v1/x',
    permission: 'status.read',
    answer: z.string(),
    handler: () => '',
  } as const
  t.notThrows(() => defineRoute(good))
  const bad: Record<string, unknown> = {
    'no permission': { ...good, permission: undefined },
    'an unknown permission': { ...good, permission: 'toString' },
    'no answer': { ...good, answer: undefined },
    'an answer that is no schema': { ...good, answer: {} },
    'a body that is no schema': { ...good, body: { parse: () => 1 } },
    'parameters without a schema': { ...good, path: '/api/v1/x/:id' },
    'a schema without parameters': { ...good, params: z.strictObject({}) },
    'a path elsewhere': { ...good, path: '/x' },
  }
  for (const [name, spec] of Object.entries(bad)) {
    t.throws(
      () => defineRoute(spec as RouteSpec<z.ZodType, z.ZodType, z.ZodType, z.ZodType>),
      { message: /^route / },
      name,
    )
  }
})

test('every route answers exactly the roles its permission names', async (t) => {
  await using kith = await start()
  t.true(ROUTES.length >= 17)
  for (const route of ROUTES) {
    const path = route.path
      .replace(':name', 'photos')
      .replace(':subject', 'attic')
      .replace(':id', '0'.repeat(12))
    for (const role of ['none', ...AccessRoleSchema.options] as const) {
      kith.control.statusNow = /found|join/.test(path) ? setupStatus() : kith.control.statusNow
      kith.control.servicesNow = new FakeControl().servicesNow
      const headers = role === 'none' ? { Origin: kith.origin } : await login(kith, role)
      const call =
        route.method === 'POST'
          ? post(path, BODIES[path] ?? {}, headers)
          : { method: route.method, path, headers }
      const reply = await send(kith, call)
      const allowed =
        role !== 'none' && (PERMISSIONS[route.permission] as readonly AccessRole[]).includes(role)
      const label = `${route.method} ${path} as ${role}`
      if (role === 'none') t.is(reply.status, 401, label)
      else if (!route.entrances.includes('tcp')) t.is(codeOf(reply), 'socket-only', label)
      else if (!allowed) t.is(codeOf(reply), 'permission-denied', label)
      else t.true(reply.status === 200 || path.includes('sessions/0'), `${label}: ${reply.text}`)
      t.notRegex(reply.text, /-----BEGIN|PRIVATE KEY/, label)
    }
  }
  t.deepEqual(kith.errors, [])
})

test('paths match whole segments, in one case only', async (t) => {
  await using kith = await start()
  const headers = await login(kith)
  for (const path of [
    '/api/v1/statusx',
    '/api/v1/status/',
    '/api/v1/Status',
    '/api/v1//status',
    '/api/v2/status',
    '/api/v1/status/..',
    '/api/',
    '/api/v1/services/a/b',
    '/api/v1/why/%2e%2e%2fstatus/x',
  ]) {
    const reply = await send(kith, { path, headers })
    t.is(reply.status, 404, path)
  }
  t.is(
    (await send(kith, { path: '/api/v1/nothing' })).status,
    401,
    'a stranger does not learn which paths exist',
  )
})

test('a tab without the write token may read and log out, nothing else', async (t) => {
  await using kith = await start()
  const { 'X-Kith-Token': token, ...reader } = await login(kith)
  t.is((await send(kith, { path: '/api/v1/status', headers: reader })).status, 200)
  t.is(
    codeOf(await send(kith, post('/api/v1/services', BODIES['/api/v1/services'], reader))),
    'write-token-missing',
  )
  const other = await login(kith)
  const crossed = await send(
    kith,
    post('/api/v1/services', {}, { ...reader, 'X-Kith-Token': other['X-Kith-Token']! }),
  )
  t.is(codeOf(crossed), 'write-token-missing', 'the token of another session does not help')
  t.deepEqual(kith.control.calls, [])
  t.like((await send(kith, { path: '/api/v1/session', headers: reader })).json(), {
    role: 'admin',
    writes: false,
  })
  t.like(
    (await send(kith, { path: '/api/v1/session', headers: { ...reader, 'X-Kith-Token': token! } })).json(),
    { writes: true },
  )
  t.is((await send(kith, { method: 'POST', path: '/api/v1/logout', headers: reader })).status, 200)
  t.is((await send(kith, { path: '/api/v1/status', headers: reader })).status, 401)
})

test('bodies are limited, typed and checked', async (t) => {
  await using kith = await start()
  const headers = await login(kith)
  const path = '/api/v1/services'
  const raw = (body: string | Buffer, more: Record<string, string> = JSON_TYPE): Call => ({
    method: 'POST',
    path,
    headers: { ...headers, ...more },
    body,
  })
  const big = JSON.stringify({ name: 'a', target: 'x'.repeat(BODY_SIZE_BYTES_MAX) })
  const cases: [string, Call, number, string][] = [
    ['too large', raw(big), 413, 'body-too-large'],
    [
      'too large in chunks',
      raw(big, { ...JSON_TYPE, 'Transfer-Encoding': 'chunked' }),
      413,
      'body-too-large',
    ],
    ['not JSON', raw('{"name":'), 400, 'body-invalid'],
    ['not UTF-8', raw(Buffer.from([0x22, 0xff, 0x22])), 400, 'body-invalid'],
    ['a form', raw('name=a', { 'Content-Type': 'application/x-www-form-urlencoded' }), 400, 'body-invalid'],
    [
      'text that is JSON',
      raw('{"name":"a","target":"1"}', { 'Content-Type': 'text/plain' }),
      400,
      'body-invalid',
    ],
    ['nothing', { method: 'POST', path, headers }, 400, 'input-invalid'],
    ['an array', raw('[]'), 400, 'input-invalid'],
    ['an unknown key', raw('{"name":"a","target":"1","admin":true}'), 400, 'input-invalid'],
    ['a wrong name', raw('{"name":"A b","target":"1"}'), 400, 'input-invalid'],
    ['an unknown query', { path: `/api/v1/status?x=1`, headers }, 400, 'input-invalid'],
    ['a repeated query', { path: `/api/v1/events?since=1&since=2`, headers }, 400, 'input-invalid'],
    ['a limit above 1000', { path: `/api/v1/events?limit=1001`, headers }, 400, 'input-invalid'],
  ]
  for (const [name, call, status, code] of cases) {
    const reply = await send(kith, call)
    t.is(reply.status, status, name)
    t.is(codeOf(reply), code, name)
  }
  t.deepEqual(kith.control.calls, [])
  const field = await send(kith, raw('{"name":"a","target":"1","allow":["all"]}'))
  t.is(ErrorBodySchema.parse(field.json()).error.field, 'allow.0')
})

test('errors map to a status, a code, a message and a fix; our own mistakes tell nothing', async (t) => {
  await using kith = await start()
  const headers = await login(kith)
  const cases: [Call, number, string][] = [
    [post('/api/v1/services', { name: 'wiki', target: '1' }, headers), 409, 'name-taken'],
    [post('/api/v1/services', { name: 'acme', target: '1' }, headers), 400, 'name-reserved'],
    [{ method: 'DELETE', path: '/api/v1/services/nothing', headers }, 404, 'service-unknown'],
    [post('/api/v1/found', { name: 'x' }, headers), 409, 'already-in-mesh'],
    [post('/api/v1/ping', { peer: 'nobody' }, headers), 404, 'peer-unknown'],
    [{ path: '/api/v1/why/ghost', headers }, 400, 'subject-unknown'],
  ]
  for (const [call, status, code] of cases) {
    const reply = await send(kith, call)
    t.is(reply.status, status, code)
    t.is(codeOf(reply), code)
  }
  const reserved = await send(kith, post('/api/v1/services', { name: 'acme', target: '1' }, headers))
  t.is(ErrorBodySchema.parse(reserved.json()).error.fix, 'Take another name.')
  t.deepEqual(kith.errors, [])

  kith.control.why = () => Promise.reject(new TypeError('secret detail of /etc/passwd'))
  const internal = await send(kith, { path: '/api/v1/why/attic', headers })
  t.is(internal.status, 500)
  t.is(codeOf(internal), 'internal')
  t.notRegex(internal.text, /secret|TypeError|passwd/)
  t.is(kith.errors.length, 1)
  kith.control.status = () => ({ ...new FakeControl().statusNow, uptimeMs: 'long' }) as never
  t.is(
    (await send(kith, { path: '/api/v1/status', headers })).status,
    500,
    'an answer that breaks its schema is our mistake',
  )
})

test('an answer carries only what its schema names', async (t) => {
  await using kith = await start()
  kith.control.status = () => Object.assign(new FakeControl().statusNow, { privateKey: 'k' })
  t.notRegex((await send(kith, { path: '/api/v1/status', headers: await login(kith) })).text, /privateKey/)
})

test('the unix socket is private, needs no cookie and answers as admin', async (t) => {
  await using kith = await start()
  t.is((await stat(kith.socketPath)).mode & 0o777, 0o600)
  const status = await send(kith, { socket: true, path: '/api/v1/status' })
  t.is(status.status, 200)
  t.like(status.json(), { state: 'up', node: { name: 'study' } })
  t.like((await send(kith, { socket: true, path: '/api/v1/session' })).json(), {
    role: 'admin',
    writes: true,
  })
  const published = await send(kith, {
    socket: true,
    ...post('/api/v1/services', { name: 'blog', target: '8080' }),
  })
  t.is(published.status, 200)
  t.like(kith.control.calls[0]?.[1], { name: 'blog', allow: ['members'] })
  const link = (await send(kith, { socket: true, method: 'POST', path: '/api/v1/login-links' })).json() as {
    url: string
  }
  t.true(link.url.startsWith(`${kith.origin}/login?code=`))
  t.is((await send(kith, { socket: true, path: '/' })).status, 404, 'no static files')
  t.is((await send(kith, { socket: true, path: '/login?code=x' })).status, 404)
})

test('a socket file of a dead node is replaced, that of a live one respected', async (t) => {
  await using kith = await start()
  await using other = await start()
  const inUse = await t.throwsAsync(other.dashboard.listenSocket(kith.socketPath))
  t.like(inUse, { code: 'socket-in-use' })
  t.is((await send(kith, { socket: true, path: '/api/v1/status' })).status, 200)
  const stale = join(kith.directory, 'stale.sock')
  // Killed, so that nothing removes the file.
  const script = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
  t.true((await stat(stale)).isSocket())
  await other.dashboard.listenSocket(stale)
  t.is((await stat(stale)).mode & 0o777, 0o600)
  const umask = process.umask()
  t.not(umask, 0o177, 'the umask is put back')
  const long = await t.throwsAsync(other.dashboard.listenSocket(join(kith.directory, 'x'.repeat(120))))
  t.like(long, { code: 'socket-path-too-long' })
  await writeFile(join(kith.directory, 'plain'), 'not a socket')
  await t.throwsAsync(other.dashboard.listenSocket(join(kith.directory, 'none', 'x.sock')))
})

test('a port in use is named, on either loopback address', async (t) => {
  for (const host of ['127.0.0.1', '::1']) {
    const blocker = createServer()
    const bound = await new Promise<boolean>((resolve) => {
      blocker.once('error', () => resolve(false))
      blocker.listen(0, host, () => resolve(true))
    })
    if (!bound) {
      t.log(`this machine has no ${host}`)
      continue
    }
    const { port } = blocker.address() as { port: number }
    const dashboard = createDashboard({
      control: new FakeControl(),
      store: new MemoryStore(),
      clock: { now: () => 0 },
      host: LABEL,
      assetsDir: '/nonexistent',
      random: { bytes: (length) => new Uint8Array(length) },
      emit: () => {},
      logError: () => {},
    })
    t.throws(() => dashboard.mintLoginLink(), { code: 'ui-off' })
    const error = await t.throwsAsync(dashboard.listenTcp(port))
    t.like(error, { code: 'port-in-use' })
    t.true(error?.message.includes(String(port)))
    await dashboard.close()
    blocker.close()
  }
})

test('the event tail gives the backlog, then what happens, and ends with its client', async (t) => {
  await using kith = await start()
  const listeners = kith.control.eventListeners.size
  for (const call of [
    { socket: true, path: '/api/v1/events?follow=1&since=4' },
    { socket: true, path: '/api/v1/events?since=4', headers: { Accept: 'application/x-ndjson' } },
  ]) {
    const from = kith.control.log.length
    const response = await open(kith, call)
    t.is(response.headers['content-type'], 'application/x-ndjson')
    const ids: number[] = []
    createInterface({ input: response }).on('line', (line) =>
      ids.push((JSON.parse(line) as { id: number }).id),
    )
    await until(() => ids.length === from - 4)
    for (let i = 0; i < 300; i++) kith.control.emit({ kind: 'test.burst', severity: 'info' })
    await until(() => ids.length === from - 4 + 300)
    t.deepEqual(
      ids,
      ids.map((_, index) => 5 + index),
      'no gap and no double',
    )
    response.destroy()
    await until(() => kith.control.eventListeners.size === listeners)
  }
  const page = (await send(kith, { socket: true, path: '/api/v1/events?since=2&limit=2' })).json() as {
    id: number
  }[]
  t.deepEqual(
    page.map((event) => event.id),
    [3, 4],
  )
})

test('the event log is filtered, backwards and forwards, and an unknown peer is a plain error', async (t) => {
  await using kith = await start()
  const [attic] = kith.control.peersNow
  const ids = async (query: string): Promise<number[]> => {
    const reply = await send(kith, { socket: true, path: `/api/v1/events?${query}` })
    return (reply.json() as { id: number }[]).map(({ id }) => id)
  }
  t.deepEqual(await ids('kind=rotation'), [3])
  t.deepEqual(await ids(`peer=${attic!.id}`), [2, 3])
  t.deepEqual(await ids('peer=attic&kind=peer'), [2])
  t.deepEqual(await ids('severity=warning&before=6'), [5])
  for (const follow of ['', '&follow=1']) {
    const reply = await send(kith, { socket: true, path: `/api/v1/events?peer=nobody${follow}` })
    t.is(reply.status, 404)
    t.is(codeOf(reply), 'peer-unknown')
  }
  for (const query of ['kind=a%20b', `kind=${'a'.repeat(65)}`, 'before=0', 'peer=', 'severity=loud'])
    t.is(codeOf(await send(kith, { socket: true, path: `/api/v1/events?${query}` })), 'input-invalid', query)
  const response = await open(kith, { socket: true, path: '/api/v1/events?follow=1&kind=rotation&since=3' })
  const tail: number[] = []
  createInterface({ input: response }).on('line', (line) =>
    tail.push((JSON.parse(line) as { id: number }).id),
  )
  const asked: unknown[] = []
  const events = kith.control.events.bind(kith.control)
  kith.control.events = (filter) => {
    asked.push(filter.since)
    return events(filter)
  }
  for (let i = 0; i < 5; i++) {
    const before = asked.length
    kith.control.emit({ kind: 'test.other', severity: 'info' })
    await until(() => asked.length > before)
  }
  kith.control.emit({ kind: 'rotation.start', severity: 'info' })
  await until(() => tail.length === 1)
  t.deepEqual(tail, [12])
  t.true((asked.at(-1) as number) >= 8, 'what did not match is not looked at again')
  response.destroy()
})

test('keys are rotated with one peer or all, and what stands against it is said', async (t) => {
  await using kith = await start()
  const rotate = (body: object): Promise<Reply> =>
    send(kith, { socket: true, ...post('/api/v1/rotate', body) })
  const one = (await rotate({ peer: 'attic' })).json()
  const [attic] = kith.control.peersNow
  t.deepEqual(one, { peers: [{ id: attic!.id, name: 'attic', epoch: 12, started: true }] })
  t.like(((await rotate({ peer: attic!.id })).json() as { peers: unknown[] }).peers[0], { started: false })
  t.is(((await rotate({})).json() as { peers: unknown[] }).peers.length, 3, 'all that have a session')
  const unknown = await rotate({ peer: 'nobody' })
  t.is(unknown.status, 404)
  t.is(codeOf(unknown), 'peer-unknown')
  const away = await rotate({ peer: kith.control.peersNow[3]!.id })
  t.is(away.status, 409)
  t.is(codeOf(away), 'no-session')
  t.is(codeOf(await rotate({ peer: 7 })), 'input-invalid')
})

test('a silent tail is accepted at once and a revoked session gets no further line', async (t) => {
  await using kith = await start()
  const headers = await login(kith)
  const response = await open(kith, { path: '/api/v1/events?follow=1&since=999', headers })
  t.is(response.statusCode, 200)
  let text = ''
  response.on('data', (chunk) => (text += String(chunk)))
  const ended = new Promise((resolve) => response.once('end', resolve))
  await send(kith, { method: 'POST', path: '/api/v1/logout', headers })
  kith.control.emit({ kind: 'after.logout', severity: 'info' })
  await ended
  t.is(text, '')
})

test('ping streams one reply a line and stops probing when its client leaves', async (t) => {
  await using kith = await start()
  const pings = (): number => kith.control.calls.filter(([name]) => name === 'ping').length
  const whole = await send(kith, {
    socket: true,
    ...post('/api/v1/ping', { peer: 'attic', count: 3, intervalMs: 10 }),
  })
  t.deepEqual(
    whole.text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { seq: number }).seq),
    [1, 2, 3],
  )
  const signals: AbortSignal[] = []
  kith.control.ping = (peer, seq, signal?: AbortSignal) => {
    if (signal) signals.push(signal)
    return FakeControl.prototype.ping.call(kith.control, peer, seq)
  }
  const response = await open(kith, {
    socket: true,
    ...post('/api/v1/ping', { peer: 'attic', count: 100_000, intervalMs: 10 }),
  })
  await until(() => pings() >= 6)
  response.destroy()
  await until(() => signals[0]?.aborted === true)
  const before = pings()
  // A second stream takes several intervals; a first that went on would show in the count.
  await send(kith, { socket: true, ...post('/api/v1/ping', { peer: 'attic', count: 5, intervalMs: 10 }) })
  t.is(pings(), before + 5)
  kith.control.ping = (peer, seq) =>
    seq > 1 ? Promise.reject(new Error('broken')) : FakeControl.prototype.ping.call(kith.control, peer, seq)
  const broken = await send(kith, {
    socket: true,
    ...post('/api/v1/ping', { peer: 'attic', count: 2, intervalMs: 10 }),
  })
  t.is(codeOf({ json: () => JSON.parse(broken.text.trim().split('\n')[1] ?? '') as unknown }), 'internal')
})

test('a forward lives as long as its client', async (t) => {
  await using kith = await start()
  const unknown = await send(kith, { socket: true, ...post('/api/v1/forwards', { name: 'nothing' }) })
  t.is(unknown.status, 404)
  const response = await open(kith, { socket: true, ...post('/api/v1/forwards', { name: 'wiki' }) })
  const line = await new Promise<string>((resolve) =>
    response.once('data', (chunk) => resolve(String(chunk))),
  )
  t.like(JSON.parse(line), { name: 'wiki', address: '127.0.0.1' })
  t.deepEqual([...kith.control.openForwards], ['wiki'])
  response.destroy()
  await until(() => kith.control.openForwards.size === 0)
  t.pass()
})

test('without a built UI the page says how to build it; paths never reach the disk', async (t) => {
  await using kith = await start()
  const page = await send(kith, { path: '/peers', headers: { Accept: 'text/html' } })
  t.is(page.status, 503)
  t.regex(page.text, /npm run build/)
  for (const path of [
    '/../../etc/passwd',
    '/assets/../../package.json',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/favicon.ico',
  ]) {
    t.is((await send(kith, { path })).status, 404, path)
  }
  t.is((await send(kith, { path: '/plain.css' })).headers['content-type'], 'text/css; charset=utf-8')
})

test('every reason of this layer has a summary', (t) => {
  for (const [code, reason] of Object.entries(HTTP_REASONS)) t.regex(reason.summary, /^[A-Z].*\.$/, code)
})
