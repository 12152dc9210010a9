import { systemTimers } from '../../../node/system-ports.ts'
import { requestService } from '../../../protocols/tunnel/channel.ts'
import { STREAMS_PER_PEER_MAX } from '../../../protocols/tunnel/limits.ts'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import test from 'ava'
import type { Directory } from '../../../protocols/naming/directory.ts'
import { openForward } from '../../../node/services/forward.ts'
import { openServiceListeners } from '../../../node/services/listeners.ts'
import { channelPair } from '../../protocols/mux/pair.ts'
import { listening, makeWorld } from './world.ts'

async function makeEcho(): Promise<{ port: number; close(): void }> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  return { port: await listening(server), close: () => void server.close() }
}

for (const change of ['narrowed', 'unpublished'] as const) {
  test(`a stream that is open when its service is ${change} is cut, not only refused the next time`, async (t) => {
    const world = await makeWorld()
    const echo = await makeEcho()
    const target = `tcp://127.0.0.1:${echo.port}`
    await world.publish({ name: 'echo', target })
    await world.publish({ name: 'other', target })
    const open = async (name: string) => {
      const stream = await world.reach.openStream(world.reach.find(name))
      stream.on('error', () => undefined)
      stream.write('one')
      await once(stream, 'data')
      return stream
    }
    const [stream, other] = await Promise.all([open('echo'), open('other')])
    const closed = new Promise((resolve) => stream.once('close', resolve))
    if (change === 'narrowed') await world.publish({ name: 'echo', target, allow: ['peer:somebody'] })
    else await world.unpublish('echo')
    world.provider.recheck()
    await closed
    other.write('two')
    t.is(String((await once(other, 'data'))[0]), 'two')
    other.destroy()
    if (change === 'narrowed') t.is(world.events.at(-1)?.kind, 'service.denied')
    world.close()
    echo.close()
  })
}

test('a forward opened while its provider was down works once the provider is back', async (t) => {
  const world = await makeWorld()
  const echo = await makeEcho()
  await world.publish({ name: 'echo', target: `tcp://127.0.0.1:${echo.port}` })
  const alive = world.reach.find('echo')
  const dead = { ...alive, provider: { ...alive.provider, state: 'dead' as const } }
  const stop = new AbortController()
  const { port } = await openForward(world.reach, dead, 0, () => undefined, stop.signal)
  const socket: Socket = connect(port, '127.0.0.1')
  socket.write('hello')
  t.is(String((await once(socket, 'data'))[0]), 'hello')
  socket.destroy()
  stop.abort()
  world.close()
  echo.close()
})

test('a service that cannot be listened for is reported once, not at every change of the table', async (t) => {
  const kinds: string[] = []
  const listeners = openServiceListeners({
    nodeId: 'pc',
    gatewayPort: 4743,
    extraHttpPorts: [],
    hasOwnAddresses: true,
    accept: (connection) => void connection.destroy(),
    emit: ({ kind }) => kinds.push(kind),
  })
  const service = {
    name: 'ssh',
    proto: 'tcp' as const,
    port: 65_535,
    healthy: true,
    allow: [],
    crossSite: false,
    publishedAt: 1,
  }
  const provider = {
    id: 'nas',
    key: new Uint8Array(32),
    name: 'nas',
    state: 'alive' as const,
    addresses: [],
    services: [service],
  }
  const blocker = createServer()
  blocker.listen(65_535, '0.0.0.0')
  await once(blocker, 'listening')
  const directory: Directory = {
    services: new Map([['ssh', { service, provider }]]),
    nodes: new Map(),
    clashes: [],
  }
  for (let i = 0; i < 3; i++) await listeners.update(directory)
  t.deepEqual(kinds, ['service.not-listening'])
  blocker.close()
  await once(blocker, 'close')
  await listeners.update(directory)
  t.not(listeners.endpoint('ssh'), undefined)
  await listeners.close()
})

test('one member cannot open streams without end, and another is still served', async (t) => {
  const world = await makeWorld()
  await world.publish({ name: 'down', target: '127.0.0.1:1' })
  const greedy = { id: 'greedy', name: 'greedy', tags: [] }
  const silent = Array.from({ length: STREAMS_PER_PEER_MAX }, () => {
    const [near, far] = channelPair()
    world.provider.serve(far, greedy)
    return near
  })
  const ask = (requester: typeof greedy): Promise<void> => {
    const [near, far] = channelPair()
    world.provider.serve(far, requester)
    return new Promise((resolve, reject) => {
      requestService(near, 'down', systemTimers, resolve).use({
        onData: () => undefined,
        onEnd: () => undefined,
        onReset: reject,
        onDrain: () => undefined,
      })
    })
  }
  t.like(await t.throwsAsync(ask(greedy)), { code: 'too-many-streams' })
  t.like(await t.throwsAsync(ask({ id: 'modest', name: 'modest', tags: [] })), { code: 'target-refused' })
  for (const near of silent) near.reset()
  t.like(
    await t.throwsAsync(ask(greedy)),
    { code: 'target-refused' },
    'once they are closed, it is served again',
  )
  world.close()
})

test('who asks and leaves at once, again and again, does not open targets without end', async (t) => {
  const world = await makeWorld()
  const sockets = new Set<Socket>()
  let most = 0
  const target = createServer((socket) => {
    sockets.add(socket)
    most = Math.max(most, sockets.size)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
  })
  await world.publish({ name: 'busy', target: String(await listening(target)), proto: 'tcp' })
  const hasty = { id: 'hasty', name: 'hasty', tags: [] }
  const ask = (): void => {
    const [near, far] = channelPair()
    world.provider.serve(far, hasty)
    requestService(near, 'busy', systemTimers).write(Uint8Array.of(1))
    setImmediate(() => setImmediate(() => near.reset()))
  }
  for (let i = 0; i < STREAMS_PER_PEER_MAX + 500; i++) ask()
  const settled = async (): Promise<void> => {
    for (let turns = 0; turns < 2000 && (turns < 200 || sockets.size > 0); turns++)
      await new Promise((resolve) => setImmediate(resolve))
  }
  await settled()
  t.true(most <= STREAMS_PER_PEER_MAX, `${most} connections to the target at once`)
  t.is(sockets.size, 0, 'all are closed again')
  world.close()
  target.close()
})
