import test from 'ava'
import fc from 'fast-check'
import type { NetcheckReport } from '../../node/api/path-schemas.ts'
import { natKind } from '../../protocols/traversal/nat.ts'
import type { LogEvent, Peer } from '../../node/api/schemas.ts'
import {
  carriesWords,
  natName,
  natParts,
  punchWords,
  v6Words,
  reachWords,
  unknownWhole,
} from '../../ui/src/models/nat-words.ts'
import { createNetworkModel } from '../../ui/src/models/network-model.ts'
import { triedWays } from '../../ui/src/models/tried-ways.ts'
import { topologySummary, topologyWords } from '../../ui/src/models/topology-words.ts'
import { layOut, TOPOLOGY_PEERS_MAX, type Topology } from '../../ui/src/models/topology.ts'
import { FakeControl } from '../node/http/fake-control.ts'

const SELF = { id: 'self', name: 'study' }
const SIZE = { width: 900, height: 500 }

function peer(id: string, given: Partial<Peer> = {}): Peer {
  return { ...new FakeControl().peersNow[0]!, id, name: id, ...given }
}

/** Peers with any mixture of paths and states; `via` is another one's id, or nobody's. */
const somePeers: fc.Arbitrary<Peer[]> = fc
  .array(
    fc.record({
      name: fc.stringMatching(/^[a-z0-9-]{1,40}$/),
      state: fc.constantFrom<Peer['state']>('alive', 'suspect', 'dead', 'left'),
      path: fc.constantFrom<Peer['path']>('direct', 'relay', 'none'),
      via: fc.nat(260),
    }),
    { maxLength: 250 },
  )
  .map((rows) =>
    rows.map(({ via, ...row }, i) =>
      peer(`id-${i}`, { ...row, via: row.path === 'relay' ? `id-${via}` : null }),
    ),
  )

function labelBoxes({ nodes }: Topology): { left: number; right: number; top: number; bottom: number }[] {
  return nodes.flatMap(({ label }) => {
    if (label === null) return []
    const width = label.text.length * 6 // what 12 px letters take on average
    const left = label.x - (label.anchor === 'end' ? width : label.anchor === 'middle' ? width / 2 : 0)
    return [{ left, right: left + width, top: label.y - 6, bottom: label.y + 6 }]
  })
}

test('whatever the mesh, everything drawn is inside, no two names overlap, and nobody is lost', (t) => {
  fc.assert(
    fc.property(somePeers, fc.integer({ min: 300, max: 1400 }), (peers, width) => {
      const size = { width, height: SIZE.height }
      const drawing = layOut(SELF, peers, size)
      const members = peers.filter(({ state }) => state !== 'left')
      const drawn = drawing.nodes.length - 1
      const places = [...drawing.nodes, ...drawing.links.flatMap(({ from, to }) => [from, to])]
      const boxes = labelBoxes(drawing)
      return (
        drawn === Math.min(members.length, TOPOLOGY_PEERS_MAX) &&
        drawn + drawing.hidden === members.length &&
        drawing.links.length <= drawn &&
        places.every(({ x, y }) => x >= 0 && y >= 0 && x <= size.width && y <= size.height) &&
        boxes.every(
          (a, i) =>
            a.left >= 0 &&
            a.right <= width &&
            boxes.every(
              (b, k) =>
                k <= i || a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top,
            ),
        )
      )
    }),
    { numRuns: 150 },
  )
  t.pass()
})

test('the same peers stand in the same places, whatever their order and their figures', (t) => {
  fc.assert(
    fc.property(somePeers, fc.integer(), (peers, by) => {
      const turned = peers
        .map((one, i) => ({ one: { ...one, rttMs: i, rxBytes: by }, at: Math.sin(i + by) }))
        .sort((a, b) => a.at - b.at)
        .map(({ one }) => one)
      t.deepEqual(layOut(SELF, turned, SIZE), layOut(SELF, peers, SIZE))
    }),
    { numRuns: 30 },
  )
})

test('a relayed peer hangs on its relay by a dashed line, a direct one on this node, the others on nothing', (t) => {
  const peers = [
    peer('relay', { path: 'direct' }),
    peer('behind', { path: 'relay', via: 'relay' }),
    peer('lost', { path: 'relay', via: 'nobody' }),
    peer('away', { path: 'none', state: 'dead' }),
    peer('gone', { path: 'none', state: 'left' }),
  ]
  const { nodes, links, hidden } = layOut(SELF, peers, SIZE)
  const at = (id: string) => {
    const { x, y } = nodes.find((node) => node.id === id)!
    return { x, y }
  }
  const byId = Object.fromEntries(links.map((link) => [link.id, link]))
  t.deepEqual(byId, {
    relay: { id: 'relay', kind: 'direct', from: at('self'), to: at('relay') },
    behind: { id: 'behind', kind: 'relay', from: at('relay'), to: at('behind') },
    lost: { id: 'lost', kind: 'relay', from: at('self'), to: at('lost') },
  })
  t.deepEqual(at('self'), { x: 450, y: 250 })
  t.deepEqual(nodes.map(({ id }) => id).sort(), ['away', 'behind', 'lost', 'relay', 'self'])
  t.is(hidden, 0)
  t.true(nodes.every(({ label }) => label !== null))
  const far = (id: string) => Math.hypot(at(id).x - 450, at(id).y - 250)
  t.true(far('behind') > far('relay'), 'behind its relay')
})

test('where there are too many, those that carry for others are drawn first, then the reached ones', (t) => {
  const peers = Array.from({ length: TOPOLOGY_PEERS_MAX }, (_, i) => peer(`direct-${i}`, { path: 'direct' }))
  const far = peer('zz-behind', { path: 'relay', via: 'zz-relay' })
  const all = [peer('aa-none', { path: 'none' }), ...peers, far, peer('zz-relay', { path: 'direct' })]
  const { nodes, hidden } = layOut(SELF, all, SIZE)
  const ids = nodes.map(({ id }) => id)
  t.is(ids[1], 'zz-relay')
  t.false(ids.includes('aa-none') || ids.includes('zz-behind') || ids.includes('direct-149'))
  t.is(hidden, 3)
})

test('the drawing is also said in words', (t) => {
  const peers = new FakeControl().peersNow
  t.is(topologySummary([]), 'No other machine is in the mesh yet.')
  t.is(topologySummary([peer('a', { path: 'direct' })]), 'One peer: 1 direct.')
  t.is(topologySummary(peers), '4 peers: 2 direct, 1 through a relay, 1 without a connection now.')
  t.deepEqual(
    topologyWords([...peers, peer('left', { state: 'left' })]).map(({ text }) => text),
    ['no connection now, dead', 'direct, 1.4 ms', 'direct, 212 ms, suspect', 'through attic, 42 ms'],
  )
  t.is(topologyWords([peer('a', { path: 'relay', via: null, rttMs: null })])[0]?.text, 'through a relay')
})

test('what was tried again and again in vain is one row, the newest first', (t) => {
  const reason = { code: 'punch-timeout', text: '', fix: '' }
  const base = { way: 'punch', endpoint: null, outcome: 'failed', tookMs: 5, reason } as const
  const known = {
    ...base,
    way: 'public',
    endpoint: '1.2.3.4:4701',
    outcome: 'connected',
    reason: null,
  } as const
  const tried = [
    { ...base, at: 1 },
    { ...known, at: 2 },
    { ...base, at: 3 },
    { ...base, at: 4, reason: { ...reason, code: 'port-unknown' } },
    { ...base, at: 5 },
  ]
  t.deepEqual(
    triedWays(tried).map(({ last, times }) => [last.at, times]),
    [
      [5, 3],
      [4, 1],
      [2, 1],
    ],
  )
  t.deepEqual(triedWays([]), [])
})

const REPORT = new FakeControl().netcheckNow
const INDEPENDENT = 'endpoint-independent'
const BY_ADDRESS = 'address-dependent'
const BY_PORT = 'address-and-port-dependent'

test('what a NAT does has the name people search for, and says who can be met directly', (t) => {
  const cases: [
    NetcheckReport['nat']['mapping'],
    NetcheckReport['nat']['filtering'],
    string | null,
    RegExp,
  ][] = [
    [INDEPENDENT, INDEPENDENT, 'full cone', /^Peers behind any NAT/],
    [INDEPENDENT, BY_ADDRESS, 'address-restricted cone', /^Peers behind any NAT/],
    [INDEPENDENT, BY_PORT, 'port-restricted cone', /^Peers behind most NATs.*symmetric/],
    [INDEPENDENT, null, 'some kind of cone', /^Peers behind most NATs/],
    [BY_ADDRESS, BY_PORT, 'symmetric', /^Peers are met directly where they can be dialled/],
    [BY_PORT, INDEPENDENT, 'symmetric', /^Peers are met directly where they can be dialled/],
    [null, BY_PORT, null, /^$/],
  ]
  for (const [mapping, filtering, name, words] of cases) {
    const nat = { ...REPORT.nat, mapping, filtering, kind: natKind(mapping, filtering) }
    t.is(natName(nat), name)
    t.regex(punchWords({ ...REPORT, nat }), words)
    t.is(punchWords({ ...REPORT, nat, dialable: true }), 'Every peer can connect directly.')
  }
})

test('an address in IPv6 is shown, with what it is good for where that matters', (t) => {
  t.regex(v6Words(REPORT), /^2003:e8:9f0b::7: peers that have it too are met directly/)
  t.is(v6Words({ ...REPORT, dialable: true }), '2003:e8:9f0b::7')
  t.is(v6Words({ ...REPORT, ipv6: null }), 'no address of the internet')
})

test('each part of a NAT is its value with its meaning, or the reason why it is not known', (t) => {
  const [mapping, filtering, keepsPort, hairpins] = natParts(REPORT.nat)
  t.deepEqual(mapping, {
    term: 'Mapping',
    value: INDEPENDENT,
    meaning: 'one outside port for all targets',
    reason: null,
  })
  t.is(filtering?.value, BY_PORT)
  t.is(keepsPort?.value, 'yes')
  t.like(hairpins, { value: null, meaning: '', reason: { code: 'nat-not-probed' } })
  t.is(natParts({ ...REPORT.nat, hairpins: false })[3]?.value, 'no')
  t.is(unknownWhole(REPORT.nat), null)
  const reason = { code: 'nat-not-seen', text: 'Nobody said.', fix: '' }
  const nothing = { kind: null, mapping: null, filtering: null, keepsPort: null, hairpins: null, hints: [] }
  const unknown = [
    { part: 'mapping', ...reason },
    { part: 'filtering', ...reason },
  ]
  t.like(unknownWhole({ ...nothing, unknown }), reason)
  t.like(unknownWhole({ ...nothing, unknown: [...unknown, { ...unknown[0]!, code: 'other' }] }), reason)
  t.is(unknownWhole({ ...nothing, unknown: [] }), null)
})

test('whether this machine is reached is one verdict', (t) => {
  const held = (count: number) => REPORT.relays.map((relay, i) => ({ ...relay, held: i < count }))
  const cases: [Partial<NetcheckReport>, string, RegExp][] = [
    [{ dialable: true, needsRelays: false }, 'reached directly', /unasked\.$/],
    [{ dialable: null, needsRelays: false, relays: [] }, 'not known', /said yet/],
    [{ dialable: null, needsRelays: true, relays: [] }, 'not known', /in the same network reach it/],
    [{ dialable: null, needsRelays: true, relays: held(1) }, 'reached through relays', /^It is not known/],
    [{ dialable: false, needsRelays: true, relays: held(1) }, 'reached through relays', /one member keeps/],
    [{ dialable: false, needsRelays: true, relays: held(2) }, 'reached through relays', /2 members keep/],
    [{ dialable: false, needsRelays: true, relays: [] }, 'not reached', /no relay keeps/],
  ]
  for (const [given, verdict, text] of cases) {
    const words = reachWords({ ...REPORT, ...given })
    t.is(words.verdict, verdict)
    t.regex(words.text, text)
  }
  const carries = { reservations: 1, circuits: 1, bytesPerSecond: 1e6, bytes: 2e9 }
  t.is(carriesWords(carries), 'keeps one member reachable, one connection at 1.0 MB/s, 2.0 GB so far')
  t.is(
    carriesWords({ reservations: 0, circuits: 0, bytesPerSecond: 0, bytes: 0 }),
    'nothing for others so far',
  )
  t.regex(carriesWords(null), /--no-relay/)
})

test('the report is asked for when something of it changed, one question at a time', async (t) => {
  const asked: boolean[] = []
  const answers: ((report: NetcheckReport | Error) => void)[] = []
  let tell: ((event: LogEvent) => void) | undefined
  let stopped = false
  const model = createNetworkModel(
    {
      netcheck(measure) {
        asked.push(measure)
        return new Promise((resolve, reject) =>
          answers.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer))),
        )
      },
    },
    {
      onEvent(listener) {
        tell = listener
        return () => (stopped = true)
      },
    },
  )
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const event = (kind: string): void => tell?.({ ...new FakeControl().log[0]!, kind })
  t.deepEqual(asked, [false], 'at once')
  for (const kind of ['relay.held', 'port.mapped', 'member.alive', 'netcheck.done']) event(kind)
  t.is(asked.length, 1, 'while an answer is on its way nothing is asked')
  answers[0]!(REPORT)
  await settled()
  t.is(model.report.value, REPORT)
  t.is(asked.length, 2, 'one question for all that happened meanwhile')
  answers[1]!(new Error('The node does not answer.'))
  await settled()
  t.is(model.report.value, REPORT, 'what was known stays')
  t.regex(String(model.failure.value), /does not answer/)
  event('member.alive')
  t.is(asked.length, 2, 'other events change nothing')
  const measured = model.measure()
  void model.measure()
  t.deepEqual(asked.slice(2), [true], 'one measurement at a time')
  t.true(model.isMeasuring.value)
  const later = { ...REPORT, dialable: true }
  answers[2]!(later)
  await measured
  t.deepEqual([model.report.value, model.failure.value, model.isMeasuring.value], [later, null, false])
  model.stop()
  t.true(stopped)
})
