import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test from 'ava'
import fc from 'fast-check'
import { ipBytes } from '../../../bootstrap/ip-bytes.ts'
import { takeFirstBytes } from '../../../node/traversal/first-bytes.ts'
import { FreshPort } from '../../../node/traversal/fresh-port.ts'
import { ipText, localEndpoint, remoteEndpoint } from '../../../node/traversal/socket-endpoint.ts'
import { plainIp, sameEndpoint } from '../../../protocols/traversal/endpoint.ts'
import { until } from '../../../simulations/lab/program.ts'
import { listenAt, loopback } from './ports.ts'

test('one port connects to several, listens at the same time, and connects again after it stopped', async (t) => {
  const seen: Socket[] = []
  const one = await listenAt(1, (socket) => seen.push(socket))
  const other = await listenAt(2, (socket) => seen.push(socket))
  const port = await FreshPort.open()
  const sockets = [port.connect(one.endpoint), port.connect(other.endpoint)]
  const refused = port.connect(loopback(1, 3))
  const failed = once(refused, 'error')
  const accepted: Socket[] = []
  port.listen(
    (socket) => accepted.push(socket),
    (error) => t.fail(error.message),
  )
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  t.is(((await failed)[0] as NodeJS.ErrnoException).code, 'ECONNREFUSED')
  const visitor = connect(port.number, '127.0.0.1')
  await once(visitor, 'connect')
  await until('the visitor', () => accepted.length === 1)
  for (const socket of seen) t.is(socket.remotePort, port.number)
  port.unlisten()
  const again = port.connect(one.endpoint)
  // The same two endpoints are connected already: a second connection between them cannot be.
  t.is(((await once(again, 'error'))[0] as NodeJS.ErrnoException).code, 'EADDRNOTAVAIL')
  const third = await listenAt(3, () => undefined)
  const late = port.connect(third.endpoint)
  port.listen(
    () => undefined,
    (error) => t.fail(error.message),
  )
  await once(late, 'connect')
  t.is(port.openSockets, 4)
  port.close(late)
  t.false(late.destroyed)
  t.true(sockets.every(({ destroyed }) => destroyed))
  await t.throwsAsync(once(connect(port.number, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
  late.destroy()
  for (const { server } of [one, other, third]) server.close()
  for (const socket of seen) socket.destroy()
})

test('a port that is closed before it listens does not listen', async (t) => {
  const port = await FreshPort.open()
  port.listen(
    () => t.fail(),
    () => t.fail(),
  )
  port.close()
  await new Promise((resolve) => void setImmediate(resolve))
  t.true(port.connect(loopback(1)).destroyed, 'and connects no more')
  await t.throwsAsync(once(connect(port.number, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
})

test('IPv6 and IPv4 share a port', async (t) => {
  const four = await listenAt(1, () => undefined)
  const port = await FreshPort.open()
  const v6 = port.connect({ ip: ipBytes('::1') as Uint8Array, port: 1 })
  v6.on('error', () => undefined)
  const v4 = port.connect(four.endpoint)
  const accepted: string[] = []
  port.listen(
    (socket) => accepted.push(ipText((remoteEndpoint(socket) as { ip: Uint8Array }).ip)),
    (error) => t.fail(error.message),
  )
  await once(v4, 'connect')
  const visitors = ['127.0.0.1', '::1'].map((host) => connect(port.number, host))
  await Promise.all(visitors.map((visitor) => once(visitor, 'connect')))
  await until('both visitors', () => accepted.length === 2)
  t.deepEqual(accepted.toSorted(), ['0:0:0:0:0:0:0:1', '127.0.0.1'])
  for (const visitor of visitors) visitor.destroy()
  port.close()
  four.server.close()
})

test('the first bytes are taken, and what follows stays for whoever comes next', async (t) => {
  const sent: Socket[] = []
  const { server, endpoint } = await listenAt(1, (socket) => {
    sent.push(socket)
    socket.write('fir')
    setImmediate(() => socket.write('stsecond'))
  })
  const socket = connect(endpoint.port, '127.0.0.1')
  const first = await new Promise<Uint8Array>((resolve) => void takeFirstBytes(socket, 5, resolve))
  t.is(Buffer.from(first).toString(), 'first')
  t.is(socket.listenerCount('readable'), 0)
  await until('the rest, which nobody reads', () => socket.bytesRead === 'firstsecond'.length)
  t.is(socket.readableLength, 'second'.length)
  const rest: Buffer[] = []
  socket.on('data', (bytes: Buffer) => rest.push(bytes))
  sent[0]?.end()
  await once(socket, 'end')
  t.is(Buffer.concat(rest).toString(), 'second')
  server.close()
})

test('a socket that ends before is not taken for one that said enough', async (t) => {
  const { server, endpoint } = await listenAt(1, (socket) => socket.end('few'))
  const socket = connect(endpoint.port, '127.0.0.1')
  takeFirstBytes(socket, 5, () => t.fail())
  await once(socket, 'close')
  server.close()
  t.pass()
})

test('addresses are the same as text and as bytes', (t) => {
  for (const [text, again] of [
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::', '0:0:0:0:0:0:0:0'],
    ['2003:e8::ab:1', '2003:e8:0:0:0:0:ab:1'],
  ] as const)
    t.is(ipText(ipBytes(text) as Uint8Array), again)
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  fc.assert(
    fc.property(fc.oneof(bytes(4), bytes(16)), (ip) => {
      t.deepEqual(plainIp(ipBytes(ipText(ip)) as Uint8Array), plainIp(ip))
    }),
  )
})

test('both ends of a socket are known while it is there', async (t) => {
  const { server, endpoint } = await listenAt(1, () => undefined)
  const socket = connect(endpoint.port, '127.0.0.1')
  t.is(remoteEndpoint(socket), null)
  t.is(localEndpoint(socket), null)
  await once(socket, 'connect')
  t.true(sameEndpoint(remoteEndpoint(socket) ?? loopback(1), endpoint))
  t.is(localEndpoint(socket)?.port, socket.localPort)
  socket.destroy()
  server.close()
})
