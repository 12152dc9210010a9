import test from 'ava'
import packet, { type Packet } from 'dns-packet'
import fc from 'fast-check'
import { fromHex, toHex } from '../../protocols/common/bytes.ts'
import { BootstrapError } from '../../bootstrap/errors.ts'
import {
  encodeLanAnswer,
  encodeLanQuery,
  encodeLegacyAnswer,
  isKnownAnswer,
  LAN_SERVICE,
  ownQuestions,
  sightingsIn,
} from '../../bootstrap/lan-service.ts'
import { KNOWN_ANSWERS_MAX, MULTICAST_BYTES_MAX, POINTERS_MAX } from '../../bootstrap/limits.ts'
import { decodeMulticastPacket, TYPE } from '../../bootstrap/multicast-packet.ts'

const TAG = '00112233445566778899aabbccddeeff'
const V4 = Uint8Array.of(192, 0, 2, 7)
const V6 = fromHex('20010db8000000000000000000000007')
const malformed = { instanceOf: BootstrapError, code: 'multicast-malformed' }
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const header = (questions: number, answers = 0, flags = 0): number[] => [
  0,
  0,
  flags >> 8,
  flags & 0xff,
  0,
  questions,
  0,
  answers,
  0,
  0,
  0,
  0,
]

test('the bytes of a query and of an announcement are these', (t) => {
  const service = '055f6b697468045f746370056c6f63616c00'
  const tag = `20${Buffer.from(TAG).toString('hex')}`
  const instance = `${tag}${service}`
  const host = `${tag}056c6f63616c00`
  t.is(toHex(encodeLanQuery([])), `000000000001000000000000${service}000c0001`)
  t.is(
    toHex(encodeLanAnswer(TAG, { port: 4701, ips: [V4, V6] })),
    [
      '000084000000000500000000',
      `${service}000c000100000078${(instance.length / 2).toString(16).padStart(4, '0')}${instance}`,
      `${instance}0021800100000078${(host.length / 2 + 6).toString(16).padStart(4, '0')}00000000125d${host}`,
      `${instance}0010800100000078000100`,
      `${host}00018001000000780004c0000207`,
      `${host}001c800100000078001020010db8000000000000000000000007`,
    ].join(''),
  )
})

test('what is sent is what another decoder reads, and what this one reads', (t) => {
  const tags = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(toHex)
  const ips = fc.array(
    fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      // dns-packet's text form of mapped addresses does not come back; no interface has one.
      fc.uint8Array({ minLength: 16, maxLength: 16 }).map((ip) => Uint8Array.of(0x20, ...ip.subarray(1))),
    ),
    { minLength: 1, maxLength: 4 },
  )
  fc.assert(
    fc.property(tags, fc.integer({ min: 1, max: 65_535 }), ips, fc.boolean(), (tag, port, ips, isAsked) => {
      const questions = isAsked ? [{ name: LAN_SERVICE, type: TYPE.PTR }] : []
      const sent = encodeLanAnswer(tag, { port, ips }, questions)
      t.true(sent.length <= MULTICAST_BYTES_MAX)
      t.deepEqual(sightingsIn(decodeMulticastPacket(sent)), [{ tag, ttlSeconds: 120, port, ips }])
      const read = packet.decode(Buffer.from(sent))
      t.is(read.answers?.length, isAsked ? 1 : 3 + ips.length)
      t.is(read.additionals?.length, isAsked ? 2 + ips.length : 0)
      t.deepEqual(
        [...(read.answers ?? []), ...(read.additionals ?? [])].map(({ type }) => type).slice(0, 3),
        ['PTR', 'SRV', 'TXT'],
      )
    }),
  )
  const legacy = packet.decode(
    Buffer.from(encodeLegacyAnswer(TAG, { port: 1, ips: [V4] }, 7, [{ name: LAN_SERVICE, type: TYPE.ANY }])),
  )
  t.like(legacy, { id: 7, type: 'response' })
  t.is(legacy.questions?.[0]?.type as string, 'ANY')
  t.true(legacy.additionals?.every((record) => 'ttl' in record && record.ttl === 10))
})

test('a query lists what it knows, as much as one packet holds, and no more than half-old tags silence an answer', (t) => {
  const many = Array.from({ length: 40 }, (_, i) => i.toString(16).padStart(32, '0'))
  const query = encodeLanQuery(many)
  t.true(query.length <= MULTICAST_BYTES_MAX - 28, `${query.length} bytes`)
  const read = decodeMulticastPacket(query)
  t.deepEqual(read.questions, [{ name: LAN_SERVICE, type: TYPE.PTR }])
  t.is(read.records.length, KNOWN_ANSWERS_MAX)
  t.true(isKnownAnswer(read, many[0] ?? ''))
  t.false(isKnownAnswer(read, TAG))
  const known = (ttl: number) =>
    packet.encode({
      type: 'query',
      answers: [{ name: LAN_SERVICE, type: 'PTR', ttl, data: `${TAG}.${LAN_SERVICE}` }],
    })
  t.true(isKnownAnswer(decodeMulticastPacket(known(60)), TAG))
  t.false(isKnownAnswer(decodeMulticastPacket(known(59)), TAG))
})

test('only questions about this node are its own', (t) => {
  for (const [name, type, isOwn] of [
    [LAN_SERVICE, TYPE.PTR, true],
    [LAN_SERVICE, TYPE.ANY, true],
    [LAN_SERVICE, TYPE.SRV, false],
    [`${TAG}.${LAN_SERVICE}`, TYPE.SRV, true],
    [`${TAG}.${LAN_SERVICE}`, TYPE.TXT, true],
    [`${TAG}.${LAN_SERVICE}`, TYPE.A, false],
    [`${TAG}.local`, TYPE.AAAA, true],
    [`${TAG}.local`, TYPE.PTR, false],
    [`${TAG.replace('0', '1')}.local`, TYPE.A, false],
    ['_services._dns-sd._udp.local', TYPE.PTR, false],
    ['_ipp._tcp.local', TYPE.PTR, false],
  ] as const)
    t.is(ownQuestions([{ name, type }], TAG).length, isOwn ? 1 : 0, `${name} ${type}`)
})

test('packets of other programs are read as far as they matter: compression, letter case, unknown types, other classes', (t) => {
  const service = [5, ...Buffer.from('_KITH'), 4, ...Buffer.from('_Tcp'), 5, ...Buffer.from('local'), 0]
  const asked = decodeMulticastPacket(
    bytes(...header(2), ...service, 0, 12, 0x80, 1, 0xc0, 12, 0, 255, 0, 3), // QU bit; class CHAOS
  )
  t.deepEqual(asked.questions, [{ name: LAN_SERVICE, type: TYPE.PTR }])
  const other = packet.encode({
    type: 'response',
    answers: [
      { type: 'TXT', name: 'Küche._ipp._tcp.local', data: ['a=b'] },
      { type: 'SRV', name: 'x.local', data: { port: 9, target: 'y.local' } },
    ],
    additionals: [{ type: 'HINFO', name: 'x.local', data: { cpu: 'a', os: 'b' } }],
  })
  t.deepEqual(decodeMulticastPacket(other).records, [
    { name: 'x.local', ttlSeconds: 0, type: 'SRV', port: 9, target: 'y.local' },
  ])
})

test('a sighting is a pointer, its SRV and addresses in one packet, under a tag, and nothing else is', (t) => {
  const name = `${TAG}.${LAN_SERVICE}`
  const pointer = { type: 'PTR', name: LAN_SERVICE, ttl: 120, data: name } as const
  const srv = { type: 'SRV', name, ttl: 120, data: { port: 4701, target: `${TAG}.local` } } as const
  const a = { type: 'A', name: `${TAG}.local`, ttl: 120, data: '192.0.2.7' } as const
  const seen = (...answers: NonNullable<Packet['answers']>) =>
    sightingsIn(decodeMulticastPacket(packet.encode({ type: 'response', answers }))).length
  t.is(seen(pointer, srv, a), 1)
  t.is(seen(a, srv, pointer), 1)
  t.is(seen(pointer, a), 0, 'no port')
  t.is(seen(srv, a), 0, 'no pointer')
  t.is(seen({ ...pointer, name: '_http._tcp.local' }, srv, a), 0, 'another service')
  t.is(seen({ ...pointer, data: `printer.${LAN_SERVICE}` }, srv, a), 0, 'no tag')
  t.is(seen(pointer, { ...srv, data: { port: 0, target: `${TAG}.local` } }, a), 0, 'port 0')
  t.is(seen(pointer, { ...srv, data: { port: 1, target: 'other.local' } }, a), 0, 'another host')
})

test('each broken packet is refused', (t) => {
  const name = [1, 97, 0]
  const rows: [string, number[]][] = [
    ['no header', [0, 0, 0]],
    ['all counts 65535 and nothing else', [0, 0, 0, 0, ...Array.from({ length: 8 }, () => 255)]],
    ['an operation other than query', [...header(0, 0, 0x2800)]],
    ['a response code', [...header(0, 0, 0x8003)]],
    ['bytes behind the end', [...header(1), ...name, 0, 1, 0, 1, 7]],
    ['a question cut short', [...header(1), ...name, 0, 1, 0]],
    ['a pointer to itself', [...header(1), 0xc0, 12, 0, 1, 0, 1]],
    ['a pointer forward', [...header(1), 0xc0, 14, 0, 0, 1, 0, 1]],
    ['a pointer into the header', [...header(1), 0xc0, 4, 0, 1, 0, 1]],
    ['a record longer than the packet', [...header(0, 1), ...name, 0, 16, 0, 1, 0, 0, 0, 0, 0, 9, 1]],
    ['an address of 5 bytes', [...header(0, 1), ...name, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5]],
    [
      'SRV data without a target',
      [...header(0, 1), ...name, 0, 33, 0, 1, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 1],
    ],
    [
      'a pointer name that does not fill its data',
      [...header(0, 1), ...name, 0, 12, 0, 1, 0, 0, 0, 0, 0, 4, 1, 97, 0, 0],
    ],
  ]
  for (const [what, packet] of rows)
    t.throws(() => decodeMulticastPacket(Uint8Array.from(packet)), malformed, what)
  // A chain of pointers, each backwards: good up to the limit, then refused.
  const chain = (count: number): Uint8Array => {
    const questions = [...name, 0, 1, 0, 1]
    let last = 12
    for (let i = 1; i < count; i++) {
      const at = 12 + questions.length
      questions.push(0xc0 | (last >> 8), last & 0xff, 0, 1, 0, 1)
      last = at
    }
    return bytes(...header(count), ...questions)
  }
  t.is(decodeMulticastPacket(chain(POINTERS_MAX + 1)).questions.at(-1)?.name, 'a')
  t.throws(() => decodeMulticastPacket(chain(POINTERS_MAX + 2)), malformed)
})

test('arbitrary and altered bytes throw only the own error, and cost no more than they are long', (t) => {
  const quiet = (value: Uint8Array): void => {
    try {
      sightingsIn(decodeMulticastPacket(value))
    } catch (error) {
      t.true(error instanceof BootstrapError, String(error))
    }
  }
  const good = encodeLanAnswer(TAG, { port: 4701, ips: [V4, V6] })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 1600 }), quiet), { numRuns: 2000 })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      (changes) => {
        const altered = Uint8Array.from(good)
        for (const [at, value] of changes) altered[at] = value
        quiet(altered)
      },
    ),
    { numRuns: 5000 },
  )
  // The dearest packet: a frame full of records, each name of which is the longest chain of the longest labels.
  const long = [63, ...Array.from({ length: 63 }, () => 97)]
  const names = [...long, ...long, ...long, 0]
  const records = Array.from({ length: 100 }, () => [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]).flat()
  const dear = bytes(...header(1, 100), ...names, 0, 1, 0, 1, ...records)
  for (let i = 0; i < 200; i++) decodeMulticastPacket(dear)
  const started = performance.now()
  for (let i = 0; i < 200; i++) decodeMulticastPacket(dear)
  const eachMs = (performance.now() - started) / 200
  t.log(`${dear.length} bytes, the dearest: ${(eachMs * 1000).toFixed(0)} µs`)
  t.true(eachMs < 20)
})
