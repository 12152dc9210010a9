import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import packet from 'dns-packet'
import { startDnsServer } from '../../../node/resolver/dns-server.ts'
import {
  LABEL_BYTES_MAX,
  NAME_BYTES_MAX,
  QUERY_BYTES_MAX,
  TCP_BYTES_MAX,
  TCP_CONNECTIONS_MAX,
} from '../../../protocols/dns/limits.ts'
import type { ResourceRecord } from '../../../protocols/dns/records.ts'
import { decodeQuery, QueryError } from '../../../protocols/dns/wire.ts'

const label = (sizeBytes: number): Buffer =>
  Buffer.concat([Buffer.of(sizeBytes), Buffer.alloc(sizeBytes, 97)])
/** A name of so many bytes on the wire, the root's one included. */
const nameOf = (sizeBytes: number): Buffer => {
  const whole = Array.from({ length: 3 }, () => label(LABEL_BYTES_MAX))
  return Buffer.concat([...whole, label(sizeBytes - 3 * (LABEL_BYTES_MAX + 1) - 2), Buffer.of(0)])
}
/** A query for the addresses of a name, with an OPT record that carries so many bytes of padding. */
const queryOf = (name: Buffer, paddingBytes: number | null = null): Buffer => {
  const header = Buffer.from([0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, paddingBytes === null ? 0 : 1])
  const question = Buffer.concat([name, Buffer.of(0, 1, 0, 1)])
  if (paddingBytes === null) return Buffer.concat([header, question])
  const opt = Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, (paddingBytes + 4) >> 8, (paddingBytes + 4) & 255])
  const padding = Buffer.from([0, 12, paddingBytes >> 8, paddingBytes & 255])
  return Buffer.concat([header, question, opt, padding, Buffer.alloc(paddingBytes)])
}
const ROOT = Buffer.of(0)

test('each bound of a query: at it the query is read, with one byte more it is refused', (t) => {
  const rest = queryOf(ROOT, 0).length
  const table: readonly (readonly [string, number, (size: number) => Buffer])[] = [
    ['label', LABEL_BYTES_MAX, (size) => queryOf(Buffer.concat([label(size), ROOT]))],
    ['name', NAME_BYTES_MAX, (size) => queryOf(nameOf(size))],
    ['query', QUERY_BYTES_MAX, (size) => queryOf(ROOT, size - rest)],
  ]
  for (const [what, max, ofSize] of table) {
    t.notThrows(() => decodeQuery(ofSize(max)), `${what} of ${max} bytes`)
    const error = t.throws(() => decodeQuery(ofSize(max + 1)), { instanceOf: QueryError }, `${what} above`)
    t.is(error.rcode, 'FORMERR')
    t.regex(error.message, /name broken|query of/)
  }
})

/** A server on loopback whose every answer has these records; asked by `ask` over TCP. */
async function serving(t: ExecutionContext, answers: readonly ResourceRecord[]) {
  const server = await startDnsServer('127.0.0.1', 0, () => ({ rcode: 'NOERROR', answers, authority: [] }))
  t.teardown(() => server.close())
  return async (): Promise<Socket> => {
    const socket = connect(server.port, '127.0.0.1')
    t.teardown(() => void socket.destroy())
    socket.on('error', () => undefined) // how it ended shows in what came
    await once(socket, 'connect')
    const query = queryOf(ROOT)
    socket.write(Buffer.concat([Buffer.of(0, query.length), query]))
    return socket
  }
}

/** The first answer on a connection, without its length; null when it ended before. */
function answerOn(socket: Socket): Promise<Buffer | null> {
  return new Promise((resolve) => {
    let heard: Buffer = Buffer.alloc(0)
    socket.on('close', () => resolve(null))
    socket.on('data', (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk])
      if (heard.length >= 2 && heard.length === 2 + heard.readUInt16BE(0)) resolve(heard.subarray(2))
    })
  })
}

test('the longest answer TCP can tell the length of arrives whole; for a longer one the connection ends', async (t) => {
  const record = (nameBytes: number): ResourceRecord => ({
    name: 'a'.repeat(nameBytes),
    type: 'A',
    ttl: 5,
    data: '127.64.0.1',
  })
  // Two bytes around a name of one label, then type, class, time to live, length and address.
  const fixedBytes = 2 + 10 + 4
  const wanted = TCP_BYTES_MAX - queryOf(ROOT).length
  const count = Math.floor(wanted / (fixedBytes + 10)) - 5
  const many = Array.from({ length: count }, () => record(10))
  let left = wanted - count * (fixedBytes + 10)
  const filling: ResourceRecord[] = []
  for (; left > 60 + fixedBytes; left -= 30 + fixedBytes) filling.push(record(30))
  const whole = [...many, ...filling, record(left - fixedBytes)]
  const answer = await answerOn(await (await serving(t, whole))())
  t.is(answer?.length, TCP_BYTES_MAX)
  t.is(packet.decode(answer ?? Buffer.alloc(0)).answers?.length, whole.length)
  const longer = [...many, ...filling, record(left - fixedBytes + 1)]
  t.is(await answerOn(await (await serving(t, longer))()), null)
})

test('so many clients are served over TCP at once; one more is turned away until another is gone', async (t) => {
  const ask = await serving(t, [])
  const sockets: Socket[] = []
  for (let n = 0; n < TCP_CONNECTIONS_MAX; n++) {
    const socket = await ask()
    t.truthy(await answerOn(socket), `client ${n}`)
    sockets.push(socket)
  }
  t.is(await answerOn(await ask()), null)
  const [first] = sockets
  first?.end()
  if (first !== undefined) await once(first, 'close')
  // The server may notice a moment after its client has.
  let answer: Buffer | null = null
  for (let tries = 0; answer === null && tries < 20; tries++) answer = await answerOn(await ask())
  t.truthy(answer)
})
