import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import test from 'ava'
import { listening, makeWorld, type World } from './world.ts'

/** A target that answers every read with 200 and remembers the bytes it got. */
async function makeRecorder(): Promise<{ port: number; seen: () => string; close(): void }> {
  let seen = ''
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => {
      seen += bytes.toString('latin1')
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  return { port: await listening(server), seen: () => seen, close: () => void server.close() }
}

/** Sends raw bytes and gives the first answer's status and reason. */
async function exchange(
  world: World,
  bytes: string,
): Promise<{ status: number; reason: string | undefined }> {
  const socket: Socket = connect(world.gatewayPort, '127.0.0.1')
  socket.on('error', () => socket.destroy())
  socket.write(Buffer.from(bytes, 'latin1'))
  const [first] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  const text = first.toString('latin1')
  return {
    status: Number(text.slice(9, 12)),
    reason: /x-kith-reason: (\S+)/.exec(text)?.[1],
  }
}

test('a client cannot have the length of its body cut off and smuggle a second request behind the first', async (t) => {
  const world = await makeWorld()
  const target = await makeRecorder()
  await world.publish({ name: 'app', target: String(target.port) })
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: other\r\n\r\n'
  const head = `GET / HTTP/1.1\r\nHost: app.home.internal\r\nConnection: content-length, host\r\nContent-Length: ${smuggled.length}\r\n\r\n`
  t.is((await exchange(world, head + smuggled)).status, 200)
  t.regex(target.seen(), new RegExp(`Content-Length: ${smuggled.length}\r\n`))
  t.regex(target.seen(), /Host: app\.home\.internal\r\n/)
  world.close()
  target.close()
})

const ambiguous: [title: string, bytes: string][] = [
  ['two Host headers', 'GET / HTTP/1.1\r\nHost: app.home.internal\r\nHost: admin.local\r\n\r\n'],
  ['a target with a host of its own', 'GET http://admin.local/ HTTP/1.1\r\nHost: app.home.internal\r\n\r\n'],
  [
    'an upgrade with two Host headers',
    'GET / HTTP/1.1\r\nHost: app.home.internal\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  ],
]
for (const [title, bytes] of ambiguous) {
  test(`${title} gets 421, and the service nothing`, async (t) => {
    const world = await makeWorld()
    const target = await makeRecorder()
    await world.publish({ name: 'app', target: String(target.port) })
    t.deepEqual(await exchange(world, bytes), { status: 421, reason: 'host-unknown' })
    t.is(target.seen(), '')
    world.close()
    target.close()
  })
}

test('an upgrade passes header bytes above 127 on unchanged', async (t) => {
  const world = await makeWorld()
  const target = await makeRecorder()
  await world.publish({ name: 'app', target: String(target.port) })
  await exchange(
    world,
    'GET / HTTP/1.1\r\nHost: app.home.internal\r\nX-Name: caf\xe9\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  )
  t.true(target.seen().includes('X-Name: caf\xe9\r\n'))
  world.close()
  target.close()
})
