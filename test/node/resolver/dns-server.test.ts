import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import test from 'ava'
import { startDnsServer } from '../../../node/resolver/dns-server.ts'

const QUERY = Buffer.from('123401000001000000000000016101620000010001', 'hex')
/** UDP header with source port 0 in front of the query; needs the right to open raw sockets. */
const RAW_SENDER = `
import socket, struct, sys
port, query = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack('!HHHH', 0, port, 8 + len(query), 0) + query, ('127.0.0.1', 0))
`

test('a query from port 0, which nobody can be answered on, does not end the node', async (t) => {
  const server = await startDnsServer('127.0.0.1', 0, () => ({
    rcode: 'NOERROR',
    answers: [],
    authority: [],
  }))
  const sent = spawnSync('python3', ['-c', RAW_SENDER, String(server.port), QUERY.toString('hex')])
  if (sent.status !== 0) t.log('raw sockets are not allowed here: only the plain query was sent')
  const client = createSocket('udp4')
  client.send(QUERY, server.port, '127.0.0.1')
  const [answer] = (await once(client, 'message')) as [Buffer]
  t.is(answer.readUInt16BE(0), 0x1234)
  client.close()
  await server.close()
})
