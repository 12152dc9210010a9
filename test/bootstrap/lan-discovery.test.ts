import test from 'ava'
import fc from 'fast-check'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import { inSubnet, ipBytes, ipMultiaddr, isLinkLocalV6 } from '../../bootstrap/ip-bytes.ts'
import { step } from '../../bootstrap/lan-discovery.ts'
import {
  encodeLanAnswer,
  encodeLanQuery,
  encodeLegacyAnswer,
  LAN_SERVICE,
} from '../../bootstrap/lan-service.ts'
import { nextDueAt } from '../../bootstrap/lan-speaking.ts'
import {
  createLanDiscovery,
  MULTICAST_PORT,
  type LanEffect,
  type LanEvent,
  type LanLink,
  type LanState,
} from '../../bootstrap/lan-state.ts'
import { hourOf, lanTag, TagTable } from '../../bootstrap/lan-tags.ts'
import {
  ANSWER_WAIT_MAX_MS,
  ANSWER_WAIT_MIN_MS,
  CANDIDATE_PEERS_MAX,
  CANDIDATES_PER_PEER_MAX,
  HOUR_SPREAD_MS,
  KNOWN_ANSWERS_MAX,
  LAN_TTL_SECONDS,
  LEGACY_ANSWERS_PER_SECOND,
  MULTICAST_INTERVAL_MS,
  PACKETS_PER_SECOND,
  QUERY_ISOLATED_MAX_MS,
  QUERY_MAX_MS,
  SIGHTED_DIALS_MAX,
  SIGHTED_DIALS_PER_PEER,
  TRUNCATED_WAIT_MIN_MS,
} from '../../bootstrap/limits.ts'
import { decodeMulticastPacket, TYPE } from '../../bootstrap/multicast-packet.ts'
import { seededRandom } from '../protocols/membership/world.ts'

const MESH = new Uint8Array(32).fill(1)
const HOUR_MS = 3_600_000
/** Not at the beginning of an hour. */
const WALL = 500_000 * HOUR_MS + 1_800_000
const HOUR = hourOf(WALL)
const keyOf = (n: number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, i) => (i < 2 ? (n >> (8 * i)) & 255 : 9))
const idOf = (n: number): string => peerIdFromKey(keyOf(n))
const peersOf = (...numbers: number[]) => numbers.map((n) => ({ id: idOf(n), key: keyOf(n) }))
const tagOf = (n: number, hour = HOUR): string => lanTag(MESH, keyOf(n), hour)
const ip = (text: string): Uint8Array => ipBytes(text) ?? new Uint8Array(0)
const SUBNETS = [
  { network: ip('192.0.2.0'), prefixBits: 24 },
  { network: ip('2001:db8::'), prefixBits: 64 },
]
const linkOf = (last: number | null, id = 'eth0/ip4'): LanLink => ({
  id,
  subnets: SUBNETS,
  endpoint: last === null ? null : { port: 4701, ips: [ip(`192.0.2.${last}`)] },
})
const half = (): number => 0.5

/** One node with its clock, started and quiet: announcements and first queries are over. */
function node(options: { self?: number | null; knows?: number[]; quiet?: boolean } = {}) {
  const { self = 1, knows = [2, 3], quiet = true } = options
  const state = createLanDiscovery(MESH, self === null ? null : keyOf(self), WALL)
  let now = 1_000_000
  const log: { at: number; effect: LanEffect }[] = []
  const tell = (event: LanEvent): LanEffect[] => {
    const effects = step(state, event, now, half)
    for (const effect of effects) log.push({ at: now, effect })
    return effects
  }
  /** Lets time pass, ticking when something is due. */
  const pass = (ms: number): LanEffect[] => {
    const end = now + ms
    const out: LanEffect[] = []
    for (let turns = 0; nextDueAt(state) <= end; turns++) {
      if (turns > 10_000) throw new Error('it ticks without end')
      now = Math.max(now, nextDueAt(state))
      out.push(...tell({ type: 'tick' }))
    }
    now = end
    return out
  }
  const look = (
    links: readonly LanLink[] = [linkOf(1)],
    connected: string[] = [],
    wallMs = WALL,
  ): LanEffect[] => tell({ type: 'look', wallMs, links, connected: new Set(connected) })
  const hear = (
    bytes: Uint8Array,
    address = '192.0.2.2',
    port = MULTICAST_PORT,
    link = 'eth0/ip4',
  ): LanEffect[] => tell({ type: 'packet', link, bytes, from: { address, port } })
  tell({ type: 'peers', peers: peersOf(...knows) })
  look()
  if (quiet) {
    pass(3_000)
    state.query.dueAt = now + QUERY_ISOLATED_MAX_MS
  }
  return { state, log, tell, pass, look, hear, now: () => now }
}

const answers = (effects: readonly LanEffect[]): LanEffect[] =>
  effects.filter((effect) => effect.type === 'send' && decodeMulticastPacket(effect.bytes).isResponse)
const queries = (effects: readonly LanEffect[]): LanEffect[] =>
  effects.filter((effect) => effect.type === 'send' && !decodeMulticastPacket(effect.bytes).isResponse)
const found = (effects: readonly LanEffect[]) =>
  effects.flatMap((effect) => (effect.type === 'found' ? [effect] : []))
const sighting = (n: number, last = (n % 250) + 1, hour = HOUR, ttl?: number): Uint8Array =>
  encodeLanAnswer(tagOf(n, hour), { port: 4701, ips: [ip(`192.0.2.${last}`)] }, [], ttl)

test('tags: fixed by mesh, key and hour; recognised around the hour, unlinkable beyond the mesh', (t) => {
  // hashlib.sha256(b'kith/lan-tag/1\\0' + mesh + key + bytes(8)).hexdigest()[:32]
  t.is(lanTag(MESH, keyOf(1), 0), '9aebb7ca51ead02363ea7382eae12107')
  const tags = new Set<string>()
  for (let hour = 0; hour < 50; hour++)
    for (let n = 0; n < 20; n++) for (const mesh of [MESH, keyOf(7)]) tags.add(lanTag(mesh, keyOf(n), hour))
  t.is(tags.size, 50 * 20 * 2)
  t.true([...tags].every((tag) => /^[0-9a-f]{32}$/.test(tag)))
  const table = new TagTable(MESH)
  table.setPeers(peersOf(1, 2), HOUR)
  for (const [distance, isKnown] of [
    [-2, false],
    [-1, true],
    [0, true],
    [1, true],
    [2, false],
  ] as const)
    t.is(table.peerOf(tagOf(1, HOUR + distance)), isKnown ? idOf(1) : undefined, `${distance}`)
  t.is(table.peerOf(tagOf(3)), undefined)
  t.is(table.peerOf(lanTag(keyOf(7), keyOf(1), HOUR)), undefined, 'another mesh')
  // However hours pass and peers come and go, it recognises the same as one made anew.
  fc.assert(
    fc.property(
      fc.array(fc.record({ hour: fc.nat(6), peers: fc.uniqueArray(fc.nat(5), { maxLength: 6 }) }), {
        minLength: 1,
      }),
      (changes) => {
        const kept = new TagTable(MESH)
        for (const { hour, peers } of changes) {
          kept.advance(hour)
          kept.setPeers(peersOf(...peers), hour)
        }
        const { hour, peers } = changes.at(-1) ?? { hour: 0, peers: [] }
        t.is(kept.size, peers.length)
        for (let n = 0; n < 6; n++)
          for (let other = 0; other < 9; other++)
            t.is(
              kept.peerOf(tagOf(n, other)),
              peers.includes(n) && Math.abs(other - hour) <= 1 ? idOf(n) : undefined,
            )
      },
    ),
    { numRuns: 60 },
  )
})

test('addresses: bytes and text, subnets of any length', (t) => {
  t.is(ipMultiaddr(ip('192.0.2.1')), '/ip4/192.0.2.1')
  t.is(ipMultiaddr(ip('2001:db8::1')), '/ip6/2001:db8::1')
  t.is(ipBytes('host.example'), undefined)
  t.deepEqual(ipBytes('fe80::1%eth0'), ip('fe80::1'))
  t.deepEqual(
    ['fe80::1', 'febf::1', 'fec0::1', 'fd00::1', '254.128.0.0'].map((text) => isLinkLocalV6(ip(text))),
    [true, true, false, false, false],
  )
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.nat(32),
      fc.nat(31),
      (network, prefixBits, bit) => {
        t.true(inSubnet(network, { network, prefixBits }))
        const other = network.map((byte, i) => (i === bit >> 3 ? byte ^ (0x80 >> (bit & 7)) : byte))
        t.is(inSubnet(other, { network, prefixBits }), bit >= prefixBits)
      },
    ),
  )
  t.false(inSubnet(ip('192.0.2.1'), { network: ip('::'), prefixBits: 0 }), 'another family')
})

test('a node that starts announces itself twice and asks, then ever more seldom', (t) => {
  const { log, pass, look, state } = node({ quiet: false })
  pass(10 * 60_000)
  const sent = (kind: typeof answers) =>
    log.filter(({ effect }) => kind([effect]).length > 0).map(({ at }) => at - 1_000_000)
  t.deepEqual(sent(answers), [70, 1_070])
  const asked = sent(queries)
  const gaps = asked.slice(1).map((at, i) => at - (asked[i] ?? 0))
  t.deepEqual(gaps.slice(0, 7), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000])
  t.true(gaps.slice(6).every((gap) => gap === QUERY_ISOLATED_MAX_MS))
  // With company it is content with a question in a quarter of an hour.
  look([linkOf(1)], [idOf(2)])
  const before = log.length
  pass(4 * 3_600_000)
  t.true(queries(log.slice(before).map(({ effect }) => effect)).length <= (4 * 3_600_000) / QUERY_MAX_MS + 4)
  // Alone again, it asks at once.
  look([linkOf(1)], [])
  t.is(queries(pass(ANSWER_WAIT_MAX_MS)).length, 1)
  t.is(state.dropped.malformed, 0)
})

test('what is asked for is answered once after a short wait, and not while a second has not passed', (t) => {
  const { hear, pass } = node()
  t.deepEqual(hear(encodeLanQuery([])), [])
  t.deepEqual(answers(pass(ANSWER_WAIT_MIN_MS - 1)), [])
  const [sent] = answers(pass(ANSWER_WAIT_MAX_MS - ANSWER_WAIT_MIN_MS))
  t.true(sent?.type === 'send' && sent.to === null)
  for (let i = 0; i < 20; i++) hear(encodeLanQuery([]), `192.0.2.${i + 2}`)
  t.is(answers(pass(ANSWER_WAIT_MAX_MS)).length, 0, 'within a second of the last')
  t.is(answers(pass(MULTICAST_INTERVAL_MS)).length, 1, 'one for twenty')
  t.is(answers(pass(10_000)).length, 0)
})

test('known answers keep a node silent; of a list that goes on it waits for the rest', (t) => {
  const { hear, pass } = node()
  hear(encodeLanQuery([tagOf(1)]))
  t.is(answers(pass(5_000)).length, 0)
  const truncated = Uint8Array.from(encodeLanQuery([]))
  truncated[2] = (truncated[2] ?? 0) | 0x02
  hear(truncated)
  t.is(answers(pass(TRUNCATED_WAIT_MIN_MS - 1)).length, 0)
  const rest = Uint8Array.from(encodeLanQuery([tagOf(1)]))
  const withoutQuestion = Uint8Array.of(
    ...rest.subarray(0, 5),
    0,
    ...rest.subarray(6, 12),
    ...rest.subarray(12 + LAN_SERVICE.length + 6),
  )
  t.is(decodeMulticastPacket(withoutQuestion).questions.length, 0)
  hear(withoutQuestion, '192.0.2.9')
  t.is(answers(pass(1_000)).length, 1, "another host's list is not this one's")
  hear(truncated)
  hear(withoutQuestion)
  t.is(answers(pass(2_000)).length, 0)
})

test('its own question, which comes back to it, is not answered; a machine that only looks never speaks of itself', (t) => {
  const { state, tell, hear, pass, look } = node()
  look([linkOf(1)], [idOf(9)])
  look([linkOf(1)], [])
  const [query] = queries(pass(ANSWER_WAIT_MAX_MS))
  t.true(query?.type === 'send')
  if (query?.type === 'send') hear(query.bytes, '192.0.2.1')
  t.is(answers(pass(3_000)).length, 0)
  t.is(answers(tell({ type: 'stop' })).length, 1)
  t.true(state.candidates.peers(0).length === 0)
  const looker = node({ self: null, quiet: false })
  looker.hear(encodeLanQuery([]))
  looker.hear(encodeLanQuery([]), '192.0.2.2', 40_000)
  looker.pass(60_000)
  looker.tell({ type: 'stop' })
  t.is(answers(looker.log.map(({ effect }) => effect)).length, 0)
  t.true(queries(looker.log.map(({ effect }) => effect)).length > 3)
  const unknowing = node({ knows: [], quiet: false })
  unknowing.pass(60_000)
  t.is(queries(unknowing.log.map(({ effect }) => effect)).length, 0, 'who knows nobody has nothing to ask')
})

test('a program with a port of its own is answered alone and at once, so many a second', (t) => {
  const { hear, pass } = node()
  const ask = encodeLanQuery([])
  const sent = Array.from({ length: 50 }, () => hear(ask, '192.0.2.8', 50_000)).flat()
  t.is(sent.length, LEGACY_ANSWERS_PER_SECOND)
  const [first] = sent
  t.true(first?.type === 'send')
  if (first?.type === 'send') {
    t.deepEqual(first.to, { address: '192.0.2.8', port: 50_000 })
    const question = { name: LAN_SERVICE, type: TYPE.PTR }
    t.deepEqual(
      first.bytes,
      encodeLegacyAnswer(tagOf(1), { port: 4701, ips: [ip('192.0.2.1')] }, 0, [question]),
    )
  }
  pass(1_000)
  t.is(hear(ask, '192.0.2.8', 50_000).length, 1)
})

test('a member that is not connected is dialled where it is; one that is connected, or nobody known, is not', (t) => {
  const { state, hear, pass, look, now } = node()
  t.deepEqual(found(hear(sighting(2))), [
    { type: 'found', peer: idOf(2), link: 'eth0/ip4', addresses: ['/ip4/192.0.2.3/tcp/4701'] },
  ])
  t.deepEqual(found(hear(sighting(9))), [], 'a tag nobody known has')
  t.deepEqual(found(hear(sighting(1))), [], 'its own')
  t.deepEqual(found(hear(sighting(3, 3, HOUR - 2))), [], 'of hours ago')
  look([linkOf(1)], [idOf(3)])
  t.deepEqual(found(hear(sighting(3))), [])
  t.deepEqual(state.candidates.peers(now()).sort(), [idOf(2), idOf(3)].sort())
  pass(LAN_TTL_SECONDS * 1000)
  t.deepEqual(state.candidates.peers(now()), [], 'it ends with the record')
  t.deepEqual(found(hear(sighting(2, 2, HOUR, 0))), [], 'a farewell')
  t.deepEqual(state.candidates.addressesOf(idOf(2), now()), [])
})

test('whatever is not of this link is not believed: sender, addresses, port, form', (t) => {
  const { state, hear } = node()
  const away = encodeLanAnswer(tagOf(2), { port: 1, ips: [ip('198.51.100.7'), ip('fe80::7')] })
  t.deepEqual(found(hear(away)), [])
  t.deepEqual(found(hear(sighting(2), '198.51.100.7')), [])
  t.deepEqual(found(hear(sighting(2), 'fe80::1')), [], 'the link has no such range')
  t.deepEqual(found(hear(sighting(2), '192.0.2.2', 1234)), [], 'a response from another port')
  t.deepEqual(found(hear(Uint8Array.of(1, 2, 3))), [])
  t.deepEqual(found(hear(sighting(2), '192.0.2.2', MULTICAST_PORT, 'wlan0/ip4')), [])
  t.deepEqual(state.dropped, { unknownLink: 1, tooMany: 0, notOnLink: 2, malformed: 1 })
  const both = encodeLanAnswer(tagOf(2), { port: 1, ips: [ip('198.51.100.7'), ip('2001:db8::5')] })
  t.deepEqual(found(hear(both))[0]?.addresses, ['/ip6/2001:db8::5/tcp/1'])
})

test('a liar who repeats a tag it overheard causes so many dials a minute, for one member and in all', (t) => {
  const numbers = Array.from({ length: 400 }, (_, i) => i + 2)
  const one = node({ knows: numbers })
  let dials = 0
  for (let i = 0; i < 60; i++) {
    dials += found(one.hear(sighting(2, (i % 200) + 2))).length
    one.pass(999)
  }
  t.is(dials, SIGHTED_DIALS_PER_PEER)
  t.true(one.state.candidates.addressesOf(idOf(2), one.now()).length <= CANDIDATES_PER_PEER_MAX)
  const all = node({ knows: numbers })
  dials = 0
  for (const n of numbers) {
    dials += found(all.hear(sighting(n, 200))).length
    all.pass(100)
  }
  t.is(dials, SIGHTED_DIALS_MAX)
  t.is(all.state.candidates.peers(all.now()).length, CANDIDATE_PEERS_MAX)
  // The same answer by the other family is one and the same.
  const same = node()
  t.is([...found(same.hear(sighting(2))), ...found(same.hear(sighting(2)))].length, 1)
})

test('a flood costs reading so many packets a second, and leaves the list of tags short', (t) => {
  const { state, hear, pass, look } = node()
  for (let i = 0; i < 1_000; i++) hear(sighting(10 + i))
  t.is(state.dropped.tooMany, 1_000 - PACKETS_PER_SECOND)
  pass(1_000)
  t.is(found(hear(sighting(2))).length, 1, 'a second later it listens again')
  look([linkOf(1)], [idOf(3)])
  look([linkOf(1)], [])
  const [query] = queries(pass(ANSWER_WAIT_MAX_MS))
  const known = query?.type === 'send' ? decodeMulticastPacket(query.bytes).records.length : 0
  t.is(known, KNOWN_ANSWERS_MAX)
})

test('the list of known tags holds strangers’ like members’: it does not tell who belongs together', (t) => {
  const { hear, look, pass } = node()
  hear(sighting(2))
  hear(sighting(700))
  look([linkOf(1)], [idOf(3)])
  look([linkOf(1)], [])
  const [query] = queries(pass(ANSWER_WAIT_MAX_MS))
  t.true(query?.type === 'send')
  if (query?.type !== 'send') return
  const known = decodeMulticastPacket(query.bytes).records.map((record) =>
    record.type === 'PTR' ? record.target.slice(0, 32) : '',
  )
  t.deepEqual(known.sort(), [tagOf(1), tagOf(2), tagOf(700)].sort())
})

test('with the hour the tag changes, is announced at a time of its own, and others’ new ones are recognised', (t) => {
  const { log, look, pass, hear } = node()
  const before = log.length
  look([linkOf(1)], [], WALL + HOUR_MS)
  pass(HOUR_SPREAD_MS + 2_000)
  const said = answers(log.slice(before).map(({ effect }) => effect))
  t.is(said.length, 2)
  const latin = said.map((effect) =>
    effect.type === 'send' ? Buffer.from(effect.bytes).toString('latin1') : '',
  )
  t.true(latin.every((text) => text.includes(tagOf(1, HOUR + 1)) && !text.includes(tagOf(1))))
  for (const [n, distance, isKnown] of [
    [2, 2, true],
    [3, -1, false],
  ] as const)
    t.is(found(hear(sighting(n, n, HOUR + distance))).length, isKnown ? 1 : 0)
})

test('another address or another interface is announced and asked on; one that went away is forgotten', (t) => {
  const { state, look, pass } = node()
  look([linkOf(1)])
  t.deepEqual(pass(2_000), [], 'nothing changed')
  look([linkOf(77), linkOf(1, 'wlan0/ip4')])
  const sent = pass(1_500)
  t.deepEqual(
    answers(sent)
      .map((effect) => (effect.type === 'send' ? effect.link : ''))
      .sort(),
    ['eth0/ip4', 'eth0/ip4', 'wlan0/ip4', 'wlan0/ip4'],
  )
  t.is(queries(sent).length, 4)
  look([linkOf(null)])
  t.deepEqual([...state.links.keys()], ['eth0/ip4'])
  t.is(answers(pass(3_000)).length, 0, 'where it does not listen it says nothing')
})

test('nodes on a network that loses a packet in ten find each other, whatever order they start in', (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const bytes = seededRandom(`lan ${seed}`)
    const random = (): number => new DataView(bytes.bytes(4).buffer).getUint32(0) / 2 ** 32
    const size = 5
    const numbers = Array.from({ length: size }, (_, i) => i + 1)
    const nodes = numbers.map((n) => ({
      n,
      state: createLanDiscovery(MESH, keyOf(n), WALL),
      startsAt: Math.floor(random() * 5_000),
      started: false,
      seen: new Set<string>(),
    }))
    const deliver = (from: (typeof nodes)[number], effects: readonly LanEffect[], now: number): void => {
      for (const effect of effects) {
        if (effect.type === 'found') from.seen.add(effect.peer)
        else
          for (const to of nodes.filter(({ started }) => started))
            if (random() > 0.1 || to === from)
              deliver(
                to,
                step(
                  to.state,
                  {
                    type: 'packet',
                    link: 'eth0/ip4',
                    bytes: effect.bytes,
                    from: { address: `192.0.2.${from.n}`, port: MULTICAST_PORT },
                  },
                  now,
                  random,
                ),
                now,
              )
      }
    }
    let sent = 0
    for (let now = 0; now < 20_000; now += 10) {
      for (const each of nodes) {
        const tell = (event: LanEvent): void => {
          const effects = step(each.state, event, now, random)
          sent += effects.filter(({ type }) => type === 'send').length
          deliver(each, effects, now)
        }
        if (!each.started && now >= each.startsAt) {
          each.started = true
          tell({ type: 'peers', peers: peersOf(...numbers.filter((n) => n !== each.n)) })
        }
        if (each.started && now % 2_000 === 0)
          tell({ type: 'look', wallMs: WALL, links: [linkOf(each.n)], connected: new Set() })
        if (each.started && nextDueAt(each.state) <= now) tell({ type: 'tick' })
      }
    }
    for (const { n, seen } of nodes) t.is(seen.size, size - 1, `seed ${seed}, node ${n}`)
    t.true(sent < 200, `seed ${seed}: ${sent} packets`)
  }
})

test('nothing on the wire breaks the machine', (t) => {
  const {
    state,
    hear,
    pass,
  }: {
    state: LanState
    hear: (bytes: Uint8Array, address?: string, port?: number) => LanEffect[]
    pass: (ms: number) => LanEffect[]
  } = node()
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(sighting(2).length - 1).map((at) => sighting(2).with(at, 255)),
      ),
      fc.constantFrom('192.0.2.2', '', 'fe80::1%eth0', '999.1.1.1'),
      fc.nat(65_535),
      (bytes, address, port) => {
        hear(bytes, address, port)
        pass(50)
      },
    ),
    { numRuns: 2_000 },
  )
  t.true(state.candidates.peers(0).length <= 2)
})
