import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import test from 'ava'
import { createClient } from '../../../node/cli/client.ts'
import { loadConfig } from '../../../node/config/load.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const wrong: [key: 'listen' | 'announce', value: string][] = [
  ['listen', '/foo'],
  ['listen', '/ip4/1.2.3.4.5/tcp/1'],
  ['listen', '/ip4/127.0.0.1/udp/4701'],
  ['listen', '/ip4/127.0.0.1/tcp/70000'],
  ['listen', '/ip6/127.0.0.1/tcp/1'],
  ['listen', '/dns4/door.example/tcp/1'],
  ['announce', '/dns4//tcp/1'],
]
for (const [key, value] of wrong) {
  test(`${key} = ${value} is refused as configuration, not as a failure of the node`, (t) => {
    const load = () =>
      loadConfig({ file: '/nonexistent/config.toml', environment: {}, flags: { [key]: [value] } })
    t.throws(load, { code: 'config-invalid', message: /TCP multiaddr/ })
  })
}

test('addresses a node can use are taken', (t) => {
  const flags = {
    listen: ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/4701'],
    announce: ['/dns4/door.example/tcp/4701', '/ip4/192.0.2.1/tcp/4701'],
  }
  const { config } = loadConfig({ file: '/nonexistent/config.toml', environment: {}, flags })
  t.deepEqual({ listen: config.listen, announce: config.announce }, flags)
})

test('a node that dies in the middle of an answer is reported as that', async (t) => {
  const data = temporaryFolder()
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write('{"id":1}\n')
    setImmediate(() => response.destroy())
  })
  server.listen(join(data, 'kith.sock'))
  await once(server, 'listening')
  const client = createClient(data)
  const lines: unknown[] = []
  const follow = async (): Promise<void> => {
    for await (const line of client.stream('GET', '/events', undefined, new AbortController().signal))
      lines.push(line)
  }
  await t.throwsAsync(follow(), { code: 'not-answering' })
  t.deepEqual(lines, [{ id: 1 }])
  await t.throwsAsync(client.get('/status'), { code: 'not-answering' })
  server.close()
})
