import test from 'ava'
import packet from 'dns-packet'
import fc from 'fast-check'
import { encodeFailure, encodeResponse } from '../../../protocols/dns/answer.ts'
import type { ResourceRecord } from '../../../protocols/dns/records.ts'
import { decodeQuery, QueryError } from '../../../protocols/dns/wire.ts'

const query = (name: string, extra: Partial<packet.Packet> = {}): Buffer =>
  packet.encode({
    type: 'query',
    id: 77,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: 'A' }],
    ...extra,
  })
const OPT = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 4096,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
} as unknown as packet.Answer
const records = (count: number): ResourceRecord[] =>
  Array.from({ length: count }, (_, i) => ({
    name: 'wiki.home.internal',
    type: 'A',
    ttl: 5,
    data: `127.64.0.${i}`,
  }))

test('a query written by dns-packet is read as it was meant, letter case kept', (t) => {
  const read = decodeQuery(query('WiKi.home.internal', { additionals: [OPT] }))
  t.deepEqual(
    { ...read, question: read.question.length },
    {
      id: 77,
      opcode: 0,
      recursionDesired: true,
      name: 'WiKi.home.internal',
      type: 'A',
      isInternet: true,
      question: 24,
      edns: { version: 0, udpBytes: 4096 },
    },
  )
})

test('a response is read by dns-packet as it was meant', (t) => {
  const read = packet.decode(
    Buffer.from(
      encodeResponse(
        decodeQuery(query('WiKi.home.internal')),
        { rcode: 'NOERROR', answers: records(2), authority: [] },
        'udp',
      ),
    ),
  )
  t.is(read.id, 77)
  t.true(read.flag_aa)
  t.true(read.flag_rd)
  t.is(read.questions?.[0]?.name, 'WiKi.home.internal')
  t.deepEqual(
    read.answers?.map((answer) => ('data' in answer ? answer.data : undefined)),
    ['127.64.0.0', '127.64.0.1'],
  )
  t.is(read.additionals?.length, 0)
})

test('an answer too long for UDP is cut to nothing with TC, and whole over TCP', (t) => {
  const asked = decodeQuery(query('wiki.home.internal'))
  const response = { rcode: 'NOERROR', answers: records(40), authority: [] } as const
  const cut = packet.decode(Buffer.from(encodeResponse(asked, response, 'udp')))
  t.true(cut.flag_tc)
  t.is(cut.answers?.length, 0)
  t.is(packet.decode(Buffer.from(encodeResponse(asked, response, 'tcp'))).answers?.length, 40)
})

test('EDNS is answered only when asked for, with our own size', (t) => {
  const asked = decodeQuery(query('wiki.home.internal', { additionals: [OPT] }))
  const read = packet.decode(
    Buffer.from(encodeResponse(asked, { rcode: 'BADVERS', answers: [], authority: [] }, 'udp')),
  )
  const [opt] = (read.additionals ?? []) as unknown as {
    type: string
    udpPayloadSize: number
    extendedRcode: number
  }[]
  t.like(opt, { type: 'OPT', udpPayloadSize: 1232, extendedRcode: 1 })
})

const header = (flags: number, counts: number[]): Buffer => {
  const bytes = Buffer.alloc(12)
  ;[9, flags, ...counts].forEach((value, index) => bytes.writeUInt16BE(value, index * 2))
  return bytes
}
const broken: [title: string, bytes: Buffer, rcode: string | null][] = [
  ['no header', Buffer.alloc(11), null],
  ['a response', header(0x8000, [1, 0, 0, 0]), null],
  ['all counts at 65535', header(0, [65535, 65535, 65535, 65535]), 'FORMERR'],
  ['no question', header(0, [0, 0, 0, 0]), 'FORMERR'],
  ['two questions', header(0, [2, 0, 0, 0]), 'FORMERR'],
  ['an UPDATE', header(5 << 11, [1, 0, 0, 0]), 'NOTIMP'],
  [
    'a compression pointer in the question',
    Buffer.concat([header(0, [1, 0, 0, 0]), Buffer.from([0xc0, 12, 0, 1, 0, 1])]),
    'FORMERR',
  ],
  ['a cut name', Buffer.concat([header(0, [1, 0, 0, 0]), Buffer.from([5, 97])]), 'FORMERR'],
  ['bytes behind the query', Buffer.concat([query('a.b'), Buffer.from([0])]), 'FORMERR'],
]
for (const [title, bytes, rcode] of broken) {
  test(`${title} is refused with ${rcode ?? 'silence'}`, (t) => {
    const error = t.throws(() => decodeQuery(bytes), { instanceOf: QueryError })
    t.is(error?.rcode ?? null, rcode as QueryError['rcode'])
  })
}

test('any bytes are read or refused as malformed, and nothing else happens', (t) => {
  const seeds = [query('wiki.home.internal', { additionals: [OPT] }), query('a')]
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }))
    .map(([bytes, edits]) => {
      const copy = Buffer.from(bytes)
      for (const [at, value] of edits) copy[at % copy.length] = value
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 1200 }), mutated), (bytes) => {
      try {
        const read = decodeQuery(bytes)
        return read.name.length <= 1020
      } catch (error) {
        return error instanceof QueryError
      }
    }),
    { numRuns: 5000 },
  )
  t.pass()
})

test('a failure answer has golden bytes', (t) => {
  t.is(Buffer.from(encodeFailure(0x1234, 'FORMERR')).toString('hex'), '123480010000000000000000')
})
