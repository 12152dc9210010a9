import { once } from 'node:events'
import { writeFileSync, mkdirSync } from 'node:fs'
import {
  createServer as createHttpServer,
  get,
  request,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import test from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { openForward } from '../../../node/services/forward.ts'
import { openPublications, PUBLICATIONS_MAX } from '../../../node/services/publications.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { listening, makeWorld, type World } from './world.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

/*
 * Provider and consumer joined by in-memory streams instead of libp2p: everything between a client's socket and the target's
 * is the real code. Real nodes and real programs are in test/interop.
 */

async function fetchThrough(
  world: World,
  options: RequestOptions,
  body?: Uint8Array,
): Promise<IncomingMessage & { body: Buffer }> {
  const outgoing = request({ host: '127.0.0.1', port: world.gatewayPort, agent: false, ...options })
  outgoing.end(body)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return Object.assign(answer, { body: await buffer(answer) })
}
const host = (name: string) => ({ headers: { host: `${name}.home.internal` } })

test('a published web server is reached by its name with method, body, headers and status kept', async (t) => {
  const world = await makeWorld()
  const target = createHttpServer(async (incoming, response) => {
    const body = await text(incoming)
    response.writeHead(201, [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['X-Seen', `${incoming.method} ${incoming.url} ${incoming.headers.host} ${body}`],
    ] as never)
    response.end('done')
  })
  const port = await listening(target)
  await world.publish({ name: 'wiki', target: String(port) })
  const answer = await fetchThrough(
    world,
    { method: 'POST', path: '/a?b=c', headers: { host: 'WIKI.home.internal:4743', 'content-length': 5 } },
    Buffer.from('hello'),
  )
  t.is(answer.statusCode, 201)
  t.is(answer.headers['x-seen'], 'POST /a?b=c WIKI.home.internal:4743 hello')
  t.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
  t.is(answer.body.toString(), 'done')
  const local = await fetchThrough(world, {
    headers: { host: `wiki.abcd1234.localhost:${world.gatewayPort}` },
  })
  t.is(local.statusCode, 201)
  world.close()
  target.close()
})

test('a chunked upload of 5 MB and a download of 5 MB arrive whole', async (t) => {
  const world = await makeWorld()
  const target = createHttpServer(async (incoming, response) => response.end(await buffer(incoming)))
  const port = await listening(target)
  await world.publish({ name: 'echo', target: `127.0.0.1:${port}` })
  const body = Buffer.alloc(5_000_000, 'kith!')
  const answer = await fetchThrough(
    world,
    { method: 'PUT', headers: { host: 'echo.home.internal', 'transfer-encoding': 'chunked' } },
    body,
  )
  t.true(answer.body.equals(body))
  world.close()
  target.close()
})

const problems: [title: string, options: RequestOptions, status: number, code: string][] = [
  ['a name nobody publishes', host('nothing'), 404, 'service-unknown'],
  ['a Host outside the mesh (DNS rebinding)', { headers: { host: 'evil.example' } }, 421, 'host-unknown'],
  ['a bare IP address as Host', { headers: { host: '127.0.0.1' } }, 421, 'host-unknown'],
  ['another label under localhost', { headers: { host: 'wiki.ffffffff.localhost' } }, 421, 'host-unknown'],
  ['a target that refuses', host('down'), 502, 'target-refused'],
  ['a service that is not for us', host('private'), 403, 'not-allowed'],
  ['a service that is no HTTP', host('db'), 421, 'not-http'],
  [
    'a request another site caused',
    {
      method: 'POST',
      headers: { host: 'wiki.home.internal', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' },
    },
    403,
    'cross-site-refused',
  ],
  [
    'an image on a page of another service',
    {
      headers: {
        host: 'wiki.home.internal',
        'sec-fetch-site': 'same-site',
        'sec-fetch-mode': 'no-cors',
        'sec-fetch-dest': 'image',
      },
    },
    403,
    'cross-site-refused',
  ],
  [
    'a frame on another site',
    {
      headers: {
        host: 'wiki.home.internal',
        'sec-fetch-site': 'cross-site',
        'sec-fetch-mode': 'navigate',
        'sec-fetch-dest': 'iframe',
      },
    },
    403,
    'cross-site-refused',
  ],
  [
    'a foreign Origin from a browser without Fetch Metadata',
    { method: 'POST', headers: { host: 'wiki.home.internal', origin: 'https://evil.example' } },
    403,
    'cross-site-refused',
  ],
]
for (const [title, options, status, code] of problems) {
  test(`${title} gets ${status} ${code}`, async (t) => {
    const world = await makeWorld()
    await world.publish({ name: 'down', target: '127.0.0.1:1' })
    await world.publish({ name: 'private', target: '127.0.0.1:1', allow: ['peer:somebody', 'tag:home'] })
    await world.publish({ name: 'db', target: '127.0.0.1:1', proto: 'tcp' })
    await world.publish({ name: 'wiki', target: '127.0.0.1:1' })
    const answer = await fetchThrough(world, options)
    t.is(answer.statusCode, status)
    t.is(answer.headers['x-kith-reason'], code)
    const { error } = JSON.parse(answer.body.toString()) as { error: { code: string; fix: string } }
    t.is(error.code, code)
    t.not(error.fix, '')
    world.close()
  })
}

test('following a link from another site opens the service; a --cross-site service is open to pages of others', async (t) => {
  const world = await makeWorld()
  const target = createHttpServer((_incoming, response) => void response.end('ok'))
  const port = String(await listening(target))
  await world.publish({ name: 'wiki', target: port })
  await world.publish({ name: 'api', target: port, crossSite: true })
  const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  t.is((await fetchThrough(world, { headers: { host: 'wiki.home.internal', ...link } })).statusCode, 200)
  t.is(
    (await fetchThrough(world, { method: 'POST', headers: { host: 'wiki.home.internal', ...link } }))
      .statusCode,
    403,
  )
  t.is(
    (
      await fetchThrough(world, {
        method: 'POST',
        headers: { host: 'api.home.internal', origin: 'https://a.example' },
      })
    ).statusCode,
    200,
  )
  world.close()
  target.close()
})

test('a browser is shown a page with the reason, and names in it are only text', async (t) => {
  const world = await makeWorld()
  const answer = await fetchThrough(world, {
    headers: { host: '"><script>alert(1)</script>', accept: 'text/html' },
  })
  t.is(answer.statusCode, 421)
  t.regex(answer.headers['content-type'] ?? '', /text\/html/)
  t.notRegex(answer.body.toString(), /<script>/)
  t.regex(answer.body.toString(), /host-unknown/)
  world.close()
})

test('the provider refuses on its own, whatever the consumer thinks, and says so in its log', async (t) => {
  const world = await makeWorld()
  await world.publish({ name: 'private', target: '127.0.0.1:1', allow: ['tag:home'] })
  const entry = world.reach.find('private')
  const believed = { ...entry, service: { ...entry.service, allow: ['members'] } }
  const error = await t.throwsAsync(world.reach.check(believed))
  t.is((error as { code?: string }).code, 'not-allowed')
  t.like(
    world.events.find((event) => event.kind === 'service.denied'),
    { peer: 'pc', reason: 'not-allowed' },
  )
  world.close()
})

for (const [allow, isOpen] of [
  [['tag:office'], true],
  [['peer:pc'], true],
  [['members'], true],
  [['lan'], false],
  [['peer:nas'], false],
  [[], false],
] as [string[], boolean][]) {
  test(`a service open to [${allow.join(', ')}] ${isOpen ? 'lets' : 'does not let'} the office machine "pc" in`, async (t) => {
    const world = await makeWorld()
    const target = createHttpServer((_incoming, response) => void response.end('ok'))
    await world.publish({ name: 'wiki', target: String(await listening(target)), allow })
    t.is((await fetchThrough(world, host('wiki'))).statusCode, isOpen ? 200 : 403)
    world.close()
    target.close()
  })
}

test('a provider that died is named as the reason', async (t) => {
  const world = await makeWorld()
  await world.publish({ name: 'wiki', target: '127.0.0.1:1' })
  world.state.provider = 'dead'
  const answer = await fetchThrough(world, host('wiki'))
  t.is(answer.statusCode, 502)
  t.is(answer.headers['x-kith-reason'], 'peer-dead')
  world.close()
})

test('a WebSocket is joined through the gateway, both ways, and closes on both sides', async (t) => {
  const world = await makeWorld()
  const target = createHttpServer()
  const sockets = new WebSocketServer({ server: target })
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  )
  await world.publish({ name: 'chat', target: String(await listening(target)) })
  const client = new WebSocket(`ws://127.0.0.1:${world.gatewayPort}/`, {
    headers: { host: 'chat.home.internal' },
  })
  await once(client, 'open')
  client.send('hello')
  const [data] = (await once(client, 'message')) as [Buffer]
  t.is(data.toString(), 'hello')
  client.close()
  await once(client, 'close')
  const refused = new WebSocket(`ws://127.0.0.1:${world.gatewayPort}/`, {
    headers: { host: 'chat.home.internal', origin: 'https://evil.example' },
  })
  const [error] = (await once(refused, 'error')) as [Error]
  t.regex(error.message, /403/)
  world.close()
  sockets.close()
  target.close()
})

test('server-sent events arrive one by one, before the answer ends', async (t) => {
  const world = await makeWorld()
  const target = createHttpServer((_incoming, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    response.on('close', () => response.end())
  })
  await world.publish({ name: 'live', target: String(await listening(target)) })
  const outgoing = get({ host: '127.0.0.1', port: world.gatewayPort, agent: false, ...host('live') })
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  const [first] = (await once(answer, 'data')) as [Buffer]
  t.is(first.toString(), 'data: 1\n\n')
  answer.on('error', () => undefined)
  answer.destroy()
  world.close()
  target.closeAllConnections()
  target.close()
})

test('a folder is a static site: files, index, no listing, no dot files, nothing above it', async (t) => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'public'))
  writeFileSync(join(folder, 'secret.txt'), 'secret')
  writeFileSync(join(folder, 'public', 'index.html'), '<h1>hi</h1>')
  writeFileSync(join(folder, 'public', '.env'), 'secret')
  const world = await makeWorld()
  await world.publish({ name: 'site', target: join(folder, 'public') })
  const fetchPath = (path: string) => fetchThrough(world, { path, ...host('site') })
  t.is((await fetchPath('/')).body.toString(), '<h1>hi</h1>')
  for (const path of ['/../secret.txt', '/%2e%2e/secret.txt', '/.env', '/missing'])
    t.is((await fetchPath(path)).statusCode, 404, path)
  world.close()
})

test('a forward carries any TCP both ways, half-close included', async (t) => {
  const world = await makeWorld()
  const target = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk as Buffer))
    socket.on('end', () => socket.end(Buffer.concat(chunks).toString().toUpperCase())) // answers only after the client's FIN
  })
  await world.publish({ name: 'upper', target: String(await listening(target)), proto: 'tcp' })
  const stop = new AbortController()
  const failures: Error[] = []
  const forward = await openForward(
    world.reach,
    world.reach.find('upper'),
    0,
    (error) => failures.push(error),
    stop.signal,
  )
  const client = connect({ port: forward.port, host: forward.address, allowHalfOpen: true })
  client.end('half-closed')
  t.is((await buffer(client)).toString(), 'HALF-CLOSED')
  t.deepEqual(failures, [])
  stop.abort()
  const late = connect({ port: forward.port, host: forward.address })
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException]
  t.is(error.code, 'ECONNREFUSED')
  world.close()
  target.close()
})

test('a connection the target resets is reset at the client, and a forward to nothing is reset with the reason told', async (t) => {
  const world = await makeWorld()
  const target = createServer((socket: Socket) => socket.once('data', () => socket.resetAndDestroy()))
  await world.publish({ name: 'rude', target: String(await listening(target)), proto: 'tcp' })
  await world.publish({ name: 'down', target: '127.0.0.1:1', proto: 'tcp' })
  const stop = new AbortController()
  const failures: Error[] = []
  for (const name of ['rude', 'down']) {
    const forward = await openForward(
      world.reach,
      world.reach.find(name),
      0,
      (error) => failures.push(error),
      stop.signal,
    )
    const client = connect({ port: forward.port, host: forward.address })
    client.write('x')
    const reset = await new Promise<NodeJS.ErrnoException>((resolve) => client.once('error', resolve))
    t.is(reset.code, 'ECONNRESET')
  }
  t.true(failures.some((error) => (error as { code?: string }).code === 'target-refused'))
  stop.abort()
  world.close()
  target.close()
})

test('a forward on a port in use is refused with the port named', async (t) => {
  const world = await makeWorld()
  await world.publish({ name: 'down', target: '127.0.0.1:1', proto: 'tcp' })
  const taken = createServer()
  const port = await listening(taken)
  const error = await t.throwsAsync(
    openForward(world.reach, world.reach.find('down'), port, () => undefined, new AbortController().signal),
  )
  t.is((error as { code?: string }).code, 'port-in-use')
  t.regex(error?.message ?? '', new RegExp(String(port)))
  world.close()
  taken.close()
})

const targets: [text: string, ok: boolean][] = [
  ['3000', true],
  ['127.0.0.1:80', true],
  ['[::1]:80', true],
  ['http://localhost:3000', true],
  ['https://nas/', true],
  ['tcp://db:5432', true],
  ['0', false],
  ['70000', false],
  ['http://a/path', false],
  ['ftp://a:1', false],
  ['/no/such/folder', false],
  ['', false],
]
for (const [target, ok] of targets) {
  test(`"${target}" is ${ok ? 'a' : 'no'} target`, async (t) => {
    const publications = await openPublications(memoryStore(), { now: () => 1 }, () => undefined)
    const publish = () =>
      publications.add({ name: 'x', target, tags: [], allow: [], crossSite: false, health: 'tcp' })
    if (ok) await t.notThrowsAsync(publish)
    else t.is(((await t.throwsAsync(publish)) as { code?: string }).code, 'target-invalid')
  })
}

test('what is published survives a restart; a service beyond the limit, a taken and a reserved name are refused', async (t) => {
  const store = memoryStore()
  const open = () =>
    openPublications(store, { now: () => 1 }, (name) => (name === 'taken' ? 'nas' : undefined))
  const before = await open()
  for (let i = 0; i < PUBLICATIONS_MAX; i += 1)
    await before.add({
      name: `s${i}`,
      target: '80',
      tags: [],
      allow: ['members'],
      crossSite: false,
      health: 'tcp',
    })
  const codeOf = async (name: string) =>
    (
      (await t.throwsAsync(
        before.add({ name, target: '80', tags: [], allow: [], crossSite: false, health: 'tcp' }),
      )) as {
        code?: string
      }
    ).code
  t.deepEqual(
    [await codeOf('one-more'), await codeOf('taken'), await codeOf('acme')],
    ['too-many-services', 'name-taken', 'name-reserved'],
  )
  await before.remove('s3')
  t.is(((await t.throwsAsync(before.remove('s3'))) as { code?: string }).code, 'service-unknown')
  t.deepEqual(
    (await open())
      .list()
      .map((publication) => publication.name)
      .sort(),
    before
      .list()
      .map((publication) => publication.name)
      .sort(),
  )
})

test('a target that closes its idle connections is asked again over a new one', async (t) => {
  const world = await makeWorld()
  const target = createHttpServer((_incoming, response) => void response.end('ok'))
  await world.publish({ name: 'wiki', target: String(await listening(target)) })
  t.is((await fetchThrough(world, host('wiki'))).statusCode, 200)
  target.closeAllConnections()
  t.is((await fetchThrough(world, host('wiki'))).statusCode, 200)
  target.closeAllConnections()
  target.close()
  t.is((await fetchThrough(world, host('wiki'))).headers['x-kith-reason'], 'target-refused')
  world.close()
})

test('a target that resets its idle connections is asked again too, and many requests leave no listeners', async (t) => {
  const warnings: string[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning.name)
  process.on('warning', onWarning)
  const world = await makeWorld()
  const sockets = new Set<Socket>()
  const target = createHttpServer((_incoming, response) => void response.end('ok'))
  target.on('connection', (socket: Socket) => sockets.add(socket))
  await world.publish({ name: 'wiki', target: String(await listening(target)) })
  for (let i = 0; i < 15; i++) t.is((await fetchThrough(world, host('wiki'))).statusCode, 200)
  t.is(sockets.size, 1, 'one tunnel served them all')
  for (const socket of sockets) socket.resetAndDestroy()
  t.is((await fetchThrough(world, host('wiki'))).statusCode, 200)
  t.deepEqual(warnings, [])
  process.off('warning', onWarning)
  world.close()
  target.close()
})

test('where a target lies is not told to other members', async (t) => {
  const world = await makeWorld()
  await world.publish({ name: 'down', target: '127.0.0.1:1' })
  const error = await t.throwsAsync(world.reach.check(world.reach.find('down')))
  t.is((error as { code?: string }).code, 'target-refused')
  t.notRegex(error?.message ?? '', /127\.0\.0\.1|:1\b/)
  world.close()
})
