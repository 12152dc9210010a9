import { once } from 'node:events'
import { mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { until } from '../../../simulations/lab/program.ts'
import { makeWorld, type World } from './world.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

function makeFolder(): { folder: string; outside: string } {
  const base = temporaryFolder()
  const folder = join(base, 'public')
  const outside = join(base, 'outside.txt')
  mkdirSync(folder)
  writeFileSync(outside, 'SECRET')
  writeFileSync(join(folder, 'a.txt'), '0123456789')
  writeFileSync(join(folder, '.env'), 'SECRET')
  return { folder, outside }
}

async function get(
  world: World,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; body: string }> {
  const outgoing = request({
    host: '127.0.0.1',
    port: world.gatewayPort,
    path,
    method,
    agent: false,
    headers: { host: 'site.home.internal', ...headers },
  })
  outgoing.end()
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: answer.statusCode ?? 0, body: await text(answer) }
}

test('a link that leads out of a published folder, or to a dot file in it, is not served', async (t) => {
  const world = await makeWorld()
  const { folder, outside } = makeFolder()
  symlinkSync(outside, join(folder, 'file.txt'))
  symlinkSync(join(folder, '..'), join(folder, 'up'))
  symlinkSync(join(folder, '.env'), join(folder, 'env.txt'))
  symlinkSync(join(folder, 'a.txt'), join(folder, 'b.txt'))
  symlinkSync(outside, join(folder, 'page.html'))
  await world.publish({ name: 'site', target: folder })
  for (const path of [
    '/file.txt',
    '/up/outside.txt',
    '/env.txt',
    '/page',
    '/.env',
    '/a.txt/../../outside.txt',
  ])
    t.deepEqual(await get(world, path), { status: 404, body: 'Not found\n' }, path)
  t.deepEqual(await get(world, '/b.txt'), { status: 200, body: '0123456789' })
  world.close()
})

test('a file that cannot be read as a file is refused and the node lives on', async (t) => {
  const world = await makeWorld()
  const { folder } = makeFolder()
  const socketFile = createServer().listen(join(folder, 'socket'))
  await once(socketFile, 'listening')
  await world.publish({ name: 'site', target: folder })
  t.is((await get(world, '/socket')).status, 404)
  t.is((await get(world, '/a.txt')).status, 200)
  socketFile.close()
  world.close()
})

const ranges: [range: string, status: number, body: string][] = [
  ['bytes=2-4', 206, '234'],
  ['bytes=7-', 206, '789'],
  ['bytes=5-2', 200, '0123456789'],
  ['bytes=-3', 200, '0123456789'],
  ['bytes=1-2,4-5', 200, '0123456789'],
  ['bytes=0-0', 200, '0123456789'],
  ['lines=1-2', 200, '0123456789'],
]
for (const [range, status, body] of ranges) {
  test(`Range ${range} of a static file gets ${status} and bytes that fit it`, async (t) => {
    const world = await makeWorld()
    await world.publish({ name: 'site', target: makeFolder().folder })
    t.deepEqual(await get(world, '/a.txt', { range }), { status, body })
    world.close()
  })
}

test('a published folder answers no method that would change something', async (t) => {
  const world = await makeWorld()
  await world.publish({ name: 'site', target: makeFolder().folder })
  t.is((await get(world, '/a.txt', { 'content-length': '0' }, 'POST')).status, 405)
  world.close()
})

/** Descriptors of this process that point at `file`. */
function openDescriptors(file: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file
    } catch {
      return false // the descriptor of the listing itself
    }
  }).length
}

if (process.platform === 'linux') {
  test('a client that leaves in the middle of a download leaves no open file behind', async (t) => {
    const world = await makeWorld()
    const { folder } = makeFolder()
    const big = join(folder, 'big.bin')
    writeFileSync(big, Buffer.alloc(8_000_000))
    await world.publish({ name: 'site', target: folder })
    for (let i = 0; i < 5; i++) {
      const outgoing = request({
        host: '127.0.0.1',
        port: world.gatewayPort,
        path: '/big.bin',
        agent: false,
        headers: { host: 'site.home.internal' },
      })
      outgoing.end()
      const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
      await once(answer, 'data')
      answer.destroy()
    }
    await until('the file to be closed', () => openDescriptors(big) === 0)
    t.pass()
    world.close()
  })
}
