import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { toHex } from '../../../protocols/common/bytes.ts'
import { MalformedError } from '../../../protocols/common/errors.ts'
import { ed25519Signer, signedMessage } from '../../../protocols/common/signing.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
import { LEASE_SECONDS } from '../../../protocols/registry/limits.ts'
import { placeOf } from '../../../protocols/registry/table.ts'
import {
  FULL_MESH_MAX,
  GOSSIP_QUEUE_MAX,
  LINKS_MAX,
  NEAREST,
  REDIAL_DEAD,
  TOP_BUCKETS,
} from '../../../protocols/membership/limits.ts'
import {
  createMembership,
  step,
  wantedNeighbours,
  type MembershipState,
} from '../../../protocols/membership/machine.ts'
import { chooseNeighbours } from '../../../protocols/membership/neighbours.ts'
import { pushAccusation } from '../../../protocols/membership/gossip.ts'
import * as wire from '../../../protocols/membership/wire.ts'
import { bytesOf, count, golden, obeys } from '../admission/format-laws.ts'
import { seededRandom, testMesh, World, type SimNode } from './world.ts'

const hex = golden('membership')
const SECOND = 1_000

function started(seed: string, count: number): World {
  const world = new World(seed, count)
  for (const node of world.nodes) world.start(node)
  return world
}

const heldBy = (world: World, subject: SimNode, state: string) =>
  world.live().every((node) => node === subject || world.held(node, subject) === state)
const whole = (world: World) =>
  world.digests().length === 1 &&
  world.live().every((node) => node.state?.table.size === world.nodes.length) &&
  world.live().every((subject) => heldBy(world, subject, 'alive'))
const kinds = (node: SimNode, kind: string) => node.events.filter((event) => event.kind === kind)

test('accusations and every frame keep their bytes', (t) => {
  const one = fc.constant(1 as const)
  const subjects = fc.array(
    fc.record({ key: bytesOf(32), incarnation: count, seq: count, refused: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  obeys(
    t,
    wire.accusationFormat,
    fc.record({ version: one, by: bytesOf(32), issuedAt: count, subjects }),
    hex['accusation'],
  )
  obeys(
    t,
    wire.signedAccusationFormat,
    fc.record({ body: fc.uint8Array({ maxLength: 99 }), signature: bytesOf(64) }),
    hex['signedAccusation'],
  )
  const heals = fc.record({
    version: fc.constant(1 as const),
    by: bytesOf(32),
    nonce: bytesOf(8),
    issuedAt: count,
  })
  obeys(t, wire.healFormat, heals, hex['heal'])
  obeys(
    t,
    wire.signedHealFormat,
    fc.record({ body: fc.uint8Array({ maxLength: 64 }), signature: bytesOf(64) }),
    hex['signedHeal'],
  )
  const blob = fc.uint8Array({ maxLength: 200 })
  const entry = fc.record({
    kind: fc.constantFrom('registration' as const, 'leave' as const),
    statement: blob,
    member: fc.option(blob),
    authority: fc.nat({ max: 3 }),
    down: fc.boolean(),
  })
  const records = {
    authorities: fc.array(blob, { maxLength: 4 }),
    entries: fc.array(entry, { maxLength: 4 }),
    accusations: fc.array(blob, { maxLength: 3 }),
    heals: fc.array(fc.uint8Array({ maxLength: 160 }), { maxLength: 4 }),
    revocations: fc.array(blob, { maxLength: 3 }),
  }
  const held = fc.nat({ max: 3 })
  const digest = bytesOf(8)
  const { KIND } = wire
  const frames: [string, fc.Arbitrary<wire.Frame>][] = [
    [
      'hello',
      fc.record({
        kind: fc.constant(KIND.hello),
        version: one,
        clock: count,
        digest,
        held,
        heldIncarnation: count,
        heldSeq: count,
        ...records,
      }),
    ],
    ['probe', fc.record({ kind: fc.constant(KIND.probe), n: count, digest, held })],
    ['ack', fc.record({ kind: fc.constant(KIND.ack), n: count, digest, held })],
    ['records', fc.record({ kind: fc.constant(KIND.records), ...records })],
    ['sums', fc.record({ kind: fc.constant(KIND.sums), sums: bytesOf(2_048), revoked: digest })],
    [
      'items',
      fc.record({
        kind: fc.constant(KIND.items),
        buckets: bytesOf(32),
        items: fc.array(bytesOf(16), { maxLength: 9 }),
        revoked: digest,
      }),
    ],
    [
      'difference',
      fc.record({
        kind: fc.constant(KIND.difference),
        ...records,
        wants: fc.array(bytesOf(8), { maxLength: 9 }),
      }),
    ],
    ['part', fc.constant({ kind: KIND.part })],
    ['request', fc.record({ kind: fc.constant(KIND.request), n: count, target: bytesOf(32) })],
    ['relayed', fc.record({ kind: fc.constant(KIND.relayed), n: count, target: bytesOf(32) })],
  ]
  for (const [name, values] of frames) obeys(t, wire.frameFormat, values, hex[name])
})

test('records split over frames come back whole and in order, authority certificates written once a frame', (t) => {
  const mesh = testMesh('pack', 1_800_000_000_000)
  const random = seededRandom('pack')
  const entries = Array.from({ length: 60 }, (_, n) => {
    const signer = ed25519Signer(random.bytes(32))
    const statement = random.bytes(300 + n * 10)
    return {
      kind: 'registration' as const,
      statement,
      credentials: n % 3 === 0 ? null : mesh.admit(signer.publicKey, `n${n}`),
      down: n % 2 === 0,
    }
  })
  const accusations = Array.from({ length: 40 }, () => random.bytes(900))
  const frames = wire.packRecords(entries, accusations)
  t.true(frames.length > 1)
  for (const frame of frames) {
    t.true(frame.authorities.length <= 1)
    wire.frameFormat.encode({ kind: wire.KIND.records, ...frame })
  }
  t.deepEqual(
    frames.flatMap((frame) => wire.unpackRecords(frame)),
    entries,
  )
  t.deepEqual(
    frames.flatMap((frame) => frame.accusations),
    accusations,
  )
  const lost = {
    ...wire.noRecords(),
    entries: [
      {
        kind: 'leave' as const,
        statement: random.bytes(9),
        member: random.bytes(9),
        authority: 0,
        down: false,
      },
    ],
  }
  t.throws(() => wire.unpackRecords(lost), { instanceOf: MalformedError })
})

test('neighbours: everybody in a small mesh, the near ones and one per top bucket in a large one', (t) => {
  const random = seededRandom('neighbours')
  const members = Array.from({ length: 200 }, (_, n) => ({
    id: `n${n}`,
    place: placeOf(random.bytes(32)),
    dead: n >= 190,
  }))
  const self = placeOf(random.bytes(32))
  t.is(chooseNeighbours(self, members.slice(0, FULL_MESH_MAX - 1), 0).length, FULL_MESH_MAX - 1)
  const chosen = chooseNeighbours(self, members, 0)
  t.true(chosen.length <= NEAREST + TOP_BUCKETS + REDIAL_DEAD)
  t.true(chosen.length >= NEAREST + REDIAL_DEAD)
  t.deepEqual(chooseNeighbours(self, members, 29_999), chosen, 'stable within a turn')
  const dead = new Set<string>()
  for (let turn = 0; turn < 5; turn++)
    for (const id of chooseNeighbours(self, members, turn * 30_000))
      if (Number(id.slice(1)) >= 190) dead.add(id)
  t.is(dead.size, 10, 'every dead member gets its turn')
  const graph = new Map(
    members.slice(0, 190).map((member) => [
      member.id,
      chooseNeighbours(
        member.place,
        members.filter((other) => other !== member),
        0,
      ),
    ]),
  )
  const reached = new Set(['n0'])
  for (const id of reached) for (const next of graph.get(id) ?? []) reached.add(next)
  t.is([...reached].filter((id) => graph.has(id)).length, 190, 'the overlay is connected')
})

test('30 nodes converge with late frames, then through death, restart, partition and heal', (t) => {
  const world = started('thirty', 30)
  world.lossRate = 0.05
  t.true(world.runUntil(() => whole(world), 20 * SECOND) > 0)
  for (const node of world.nodes) t.true((node.state?.links.size ?? 99) <= LINKS_MAX)

  world.run(10 * SECOND)
  const before = world.sentBytes
  world.run(20 * SECOND)
  t.is(world.digests().length, 1)
  const rate = (world.sentBytes - before) / 20 / 30
  t.true(rate < 200, `${rate} B/s a node when idle`)

  const victim = world.node(7)
  world.kill(victim)
  world.runUntil(() => heldBy(world, victim, 'dead'), 25 * SECOND)
  world.run(5 * SECOND)
  t.is(world.digests().length, 1, 'verdicts converge too')
  for (const node of world.live())
    t.deepEqual(
      world.live().filter((other) => other !== node && world.held(node, other) !== 'alive'),
      [],
    )
  world.start(victim)
  t.true(world.runUntil(() => whole(world), 10 * SECOND) <= 10 * SECOND)

  const far = (index: number) => index < 15
  world.partition((a, b) => far(a) !== far(b))
  world.runUntil(
    () =>
      world
        .live()
        .every((a) =>
          world
            .live()
            .every((b) => a === b || world.held(a, b) === (far(a.index) === far(b.index) ? 'alive' : 'dead')),
        ),
    60 * SECOND,
  )
  world.run(20 * SECOND)
  world.partition(() => false)
  t.true(world.runUntil(() => whole(world), 60 * SECOND) > 0)
})

test('random cuts, kills and restarts end in one view, whatever the seed', (t) => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const world = started(`chaos ${seed}`, 9)
      world.lossRate = 0.1
      const random = seededRandom(`faults ${seed}`)
      const pick = () => world.node(Math.floor(random.fraction() * 9))
      for (let i = 0; i < 12; i++) {
        world.run(Math.floor(random.fraction() * 4 * SECOND))
        const [a, b] = [pick(), pick()]
        const draw = random.fraction()
        if (draw < 0.3 && a.state !== null) world.kill(a)
        else if (draw < 0.6 && a.state === null) world.start(a)
        else if (draw < 0.9 && a !== b) world.unlink(a, b)
        else world.partition((x, y) => x < 4 !== y < 4 && draw < 0.95)
      }
      world.partition(() => false)
      for (const node of world.nodes) if (node.state === null) world.start(node)
      world.runUntil(() => whole(world), 60 * SECOND)
      for (const node of world.nodes) t.deepEqual(kinds(node, 'registry.equivocation'), [])
    }),
    { numRuns: 6 },
  )
})

test('a killed node of a small mesh is dead within ten seconds and back within one after its restart', (t) => {
  const world = started('three', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  world.run(3 * SECOND) // links between all pairs
  const [victim, witness] = [world.node(2), world.node(0)]
  const states: (string | undefined)[] = []
  world.kill(victim)
  const deadMs = world.runUntil(() => {
    if (states.at(-1) !== world.held(witness, victim)) states.push(world.held(witness, victim))
    return heldBy(world, victim, 'dead')
  }, 12 * SECOND)
  t.true(deadMs <= 7 * SECOND, `${deadMs} ms`)
  t.deepEqual(states, ['alive', 'suspect', 'dead'])
  world.run(60 * SECOND)
  world.start(victim)
  t.true(world.runUntil(() => whole(world), 10 * SECOND) <= SECOND)
})

test('a silent host (links stand, nothing comes) is dead within fifteen seconds', (t) => {
  const world = started('silent', 5)
  world.runUntil(() => whole(world), 10 * SECOND)
  world.run(3 * SECOND)
  const victim = world.node(3)
  world.partition((a, b) => a === 3 || b === 3)
  const deadMs = world.runUntil(
    () => world.live().every((node) => node === victim || world.held(node, victim) === 'dead'),
    30 * SECOND,
  )
  t.true(deadMs <= 15 * SECOND, `${deadMs} ms`)
})

test('a false accusation is refuted by the accused with a newer record', (t) => {
  const world = started('refute', 4)
  world.runUntil(() => whole(world), 10 * SECOND)
  world.run(3 * SECOND)
  const [liar, victim, judge] = [world.node(1), world.node(2), world.node(3)]
  const { incarnation, seq } = (victim.state as MembershipState).self
  const body = wire.accusationFormat.encode({
    version: 1,
    by: liar.signer.publicKey,
    issuedAt: world.now,
    subjects: [{ key: victim.signer.publicKey, incarnation, seq, refused: false }],
  })
  const bytes = wire.signedAccusationFormat.encode({
    body,
    signature: liar.signer.sign(signedMessage('accusation', world.mesh.root.meshId, body)),
  })
  // The judge has lost its own link, so it has to believe, for a while.
  world.partition((a, b) => a + b === 5 && Math.abs(a - b) === 1)
  world.run(12 * SECOND)
  pushAccusation({ state: liar.state as MembershipState, now: world.now, out: [] }, bytes, null)
  world.run(8 * SECOND)
  t.true(((victim.state as MembershipState).self.seq ?? 0) > seq, 'the accused answered')
  t.is(world.held(judge, victim), 'alive', 'others vouch where the own link is gone')
  t.is(world.digests().length, 1)
})

test('an accusation signed by another key than it names changes nothing', (t) => {
  const world = started('forged', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  const [forger, victim, judge] = [world.node(0), world.node(1), world.node(2)]
  const { incarnation, seq } = (victim.state as MembershipState).self
  const body = wire.accusationFormat.encode({
    version: 1,
    by: victim.signer.publicKey,
    issuedAt: world.now,
    subjects: [{ key: forger.signer.publicKey, incarnation, seq, refused: false }],
  })
  const accusation = wire.signedAccusationFormat.encode({ body, signature: forger.signer.sign(body) })
  const frame = wire.frameFormat.encode({
    kind: wire.KIND.records,
    ...wire.noRecords(),
    accusations: [accusation],
  })
  world.event(judge, { type: 'frame', peer: forger.id, bytes: frame })
  t.is(world.held(judge, forger), 'alive')
})

test('a farewell is held as left by all, without a death, until the next start', (t) => {
  const world = started('leave', 4)
  world.runUntil(() => whole(world), 10 * SECOND)
  const leaver = world.node(2)
  world.stop(leaver, true)
  world.runUntil(() => heldBy(world, leaver, 'left'), 2 * SECOND)
  world.run(20 * SECOND)
  t.true(heldBy(world, leaver, 'left'))
  for (const node of world.live()) t.deepEqual(kinds(node, 'member.died'), [])
  world.start(leaver)
  world.runUntil(() => whole(world), 5 * SECOND)
  t.pass()
})

test('a rolled-back disk with a slow clock adopts the incarnation its neighbours know', (t) => {
  const world = started('rollback', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  const node = world.node(1)
  const known = (node.state as MembershipState).self.incarnation
  world.kill(node)
  world.run(SECOND)
  node.disk = { incarnation: 5, entries: new Map() }
  node.clockOffsetMs = -200 * SECOND
  world.start(node)
  t.true((node.state as MembershipState).self.incarnation < known)
  world.runUntil(() => whole(world), 10 * SECOND)
  t.true((node.state as MembershipState).self.incarnation > known)
  t.true(node.disk.incarnation > known, 'on the disk before it is announced')
  t.is(kinds(node, 'membership.incarnation-adopted').length, 1)
  t.true(kinds(world.node(0), 'membership.refused').some(({ reason }) => reason === 'clock-apart'))
})

test('two processes with one identity: equivocation is seen, and the copy falls silent', (t) => {
  const world = started('clone', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  const [node, judge] = [world.node(1), world.node(0)]
  const self = (node.state as MembershipState).self
  const statementAt = (incarnation: number, seq: number) =>
    signRegistration(
      {
        key: node.signer.publicKey,
        incarnation,
        seq,
        issuedAt: world.now,
        leaseSeconds: LEASE_SECONDS,
        addresses: ['/clone'],
        relays: [],
        services: [],
        bootNonce: new Uint8Array(8),
      },
      world.mesh.root.meshId,
      node.signer,
    )
  const give = (to: SimNode, statement: Uint8Array) => {
    const entry = { kind: 'registration' as const, statement, member: null, authority: 0, down: false }
    const bytes = wire.frameFormat.encode({
      kind: wire.KIND.records,
      ...wire.noRecords(),
      entries: [entry],
    })
    world.event(to, { type: 'frame', peer: world.node(2).id, bytes })
  }
  give(judge, statementAt(self.incarnation, self.seq))
  t.like(kinds(judge, 'registry.equivocation')[0], {
    severity: 'alert',
    peer: node.id,
    reason: 'equivocation',
  })
  world.run(3 * SECOND)
  for (let i = 0; i < 3; i++) {
    give(node, statementAt(self.incarnation + 1_000, 0))
    world.run(2 * SECOND)
  }
  t.like(kinds(node, 'membership.silenced')[0], { severity: 'alert', reason: 'identity-cloned' })
  const { seq, incarnation } = self
  world.event(node, { type: 'announce', announcement: { addresses: [], relays: [], services: [] } })
  world.run(5 * SECOND)
  t.like(self, { seq, incarnation }, 'nothing more is announced')
})

test('an announcement reaches everybody within a second and is limited to one a second', (t) => {
  const world = started('announce', 20)
  world.runUntil(() => whole(world), 20 * SECOND)
  world.run(2 * SECOND)
  const node = world.node(4)
  const announce = (address: string) =>
    world.event(node, { type: 'announce', announcement: { addresses: [address], relays: [], services: [] } })
  const seen = (address: string) =>
    world.live().every(({ state }) => {
      const statement = state?.table.get(node.id)?.verified.statement
      return statement?.kind === 'registration' && statement.addresses[0] === address
    })
  announce('/first')
  t.true(world.runUntil(() => seen('/first'), 3 * SECOND) <= SECOND)
  const { self } = node.state as MembershipState
  const seq = self.seq
  for (let i = 0; i < 50; i++) announce(`/burst-${i}`)
  t.true(world.runUntil(() => seen('/burst-49'), 5 * SECOND) <= 2 * SECOND)
  t.true(self.seq <= seq + 2)
})

test('after everybody was off, stored members are held dead until they show themselves', (t) => {
  const world = started('power-cut', 4)
  world.runUntil(() => whole(world), 10 * SECOND)
  world.run(11 * SECOND)
  for (const node of world.nodes) world.stop(node)
  world.run(60 * SECOND)
  for (const index of [0, 1, 2]) world.start(world.node(index))
  world.run(20 * SECOND)
  const missing = world.node(3)
  t.true(heldBy(world, missing, 'dead'))
  t.is(world.digests().length, 1)
  world.start(missing)
  world.runUntil(() => whole(world), 10 * SECOND)
  t.is(
    kinds(world.node(0), 'member.learned').length,
    3,
    'learned once, in the first run; the second read the disk',
  )
})

test('a lease that ends leaves the table and stays known for dialling while its certificate stands', (t) => {
  const world = started('lease', 2)
  world.runUntil(() => whole(world), 10 * SECOND)
  const [node, gone] = [world.node(0), world.node(1)]
  world.kill(gone)
  world.run(11 * SECOND)
  world.sleep((LEASE_SECONDS + 301) * SECOND)
  world.run(130 * SECOND)
  const state = node.state as MembershipState
  t.is(state.table.get(gone.id), undefined)
  t.like(state.archive.get(gone.id), { id: gone.id, addresses: ['/memory/1'] })
  t.deepEqual(wantedNeighbours(state, world.now), [gone.id], 'a cut that outlasts the lease still ends')
  world.sleep(31 * 86_400 * SECOND)
  world.run(130 * SECOND)
  t.is(state.archive.size, 0)
})

test('a sleeping laptop does not hold the others dead when it wakes', (t) => {
  const world = started('sleep', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  const state = world.node(0).state as MembershipState
  // Probes are under way when the lid closes; an hour later the first thing that runs is a tick.
  for (const link of state.links.values()) link.unansweredSince = world.now
  const effects = step(state, { type: 'tick' }, world.now + 3_600 * SECOND)
  t.deepEqual(
    effects.filter(({ type }) => type === 'close'),
    [],
  )
  for (const other of [1, 2]) t.is(world.held(world.node(0), world.node(other)), 'alive')
})

test('who introduces itself wrongly is closed with the reason', (t) => {
  const world = started('hello', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  const [a, b] = [world.node(0), world.node(1)]
  const hello = (node: SimNode, change: Partial<wire.Records> = {}): Uint8Array => {
    const { entry } = (node.state as MembershipState).table.get(node.id)?.verified ?? {}
    if (entry === undefined) throw new Error('no entry')
    const [records] = wire.packRecords([{ ...entry, down: false }], [])
    return wire.frameFormat.encode({
      kind: wire.KIND.hello,
      version: 1,
      clock: world.now,
      digest: new Uint8Array(8),
      held: 0,
      heldIncarnation: 0,
      heldSeq: 0,
      ...(records as wire.Records),
      ...change,
    })
  }
  const foreign = testMesh('hello-foreign', world.now)
  const foreignEntry = {
    ...(b.state as MembershipState).table.get(b.id)?.verified.entry,
    credentials: foreign.admit(b.signer.publicKey, 'x'),
    down: false,
  }
  const [foreignRecords] = wire.packRecords([foreignEntry as wire.CarriedEntry], [])
  const cases: [string, Uint8Array][] = [
    ['frame-malformed', Uint8Array.of(1, 2, 3)],
    ['hello-wrong-key', hello(a)],
    ['hello-wrong-key', hello(b, { entries: [] })],
    ['certificate-authority-unknown', hello(b, foreignRecords)],
  ]
  for (const [code, bytes] of cases) {
    const state = lonely(world)
    t.is(step(state, { type: 'link-up', peer: b.id, initiator: false }, world.now)[0]?.type, 'send')
    const closes = step(state, { type: 'frame', peer: b.id, bytes }, world.now).filter(
      (effect) => effect.type === 'close',
    )
    t.is(closes.map(({ code }) => code).join(), code)
    t.is(state.links.size, 0)
  }
  const state = lonely(world)
  step(state, { type: 'link-up', peer: b.id, initiator: false }, world.now)
  const closed: string[] = []
  for (let ms = 200; ms <= 11_000; ms += 200) {
    const effects = step(state, { type: 'tick' }, world.now + ms)
    for (const effect of effects) if (effect.type === 'close') closed.push(effect.code)
  }
  t.deepEqual(closed, ['hello-missing'])
})

function lonely(world: World): MembershipState {
  const signer = ed25519Signer(world.random.bytes(32))
  return createMembership(
    {
      root: world.mesh.root,
      signer,
      credentials: world.mesh.admit(signer.publicKey, 'lonely'),
      random: seededRandom('lonely'),
      incarnation: world.now,
      announcement: { addresses: [], relays: [], services: [] },
      stored: [],
      authorityReachable: () => true,
    },
    world.now,
  )
}

test('links and the gossip queue stop at their limits', (t: ExecutionContext) => {
  const world = new World('limits', LINKS_MAX + 2)
  const state = lonely(world)
  for (const node of world.nodes) step(state, { type: 'link-up', peer: node.id, initiator: false }, world.now)
  t.is(state.links.size, LINKS_MAX)
  const closed = step(state, { type: 'link-up', peer: 'one more', initiator: false }, world.now)
  t.like(closed[0], { type: 'close', code: 'link-limit' })
  const ctx = { state, now: world.now, out: [] }
  for (let i = 0; i < GOSSIP_QUEUE_MAX + 10; i++) pushAccusation(ctx, Uint8Array.of(i, i >> 8), 'somebody')
  t.is(state.gossip.size, GOSSIP_QUEUE_MAX)
  t.is(state.gossipDropped, 10)
})

test('credentials of another key do not start a machine', (t) => {
  const world = new World('foreign identity', 2)
  const config = {
    root: world.mesh.root,
    signer: world.node(0).signer,
    credentials: world.node(1).credentials,
    random: seededRandom('x'),
    incarnation: 1,
    announcement: { addresses: [], relays: [], services: [] },
    stored: [],
    authorityReachable: () => true,
  }
  t.throws(() => createMembership(config, world.now), { code: 'foreign-identity' })
  t.throws(
    () =>
      createMembership(
        { ...config, credentials: world.node(0).credentials },
        world.now + 99 * 86_400 * SECOND,
      ),
    { code: 'certificate-expired' },
  )
})

test('renewed credentials spread like a record', (t) => {
  const world = started('renew', 3)
  world.runUntil(() => whole(world), 10 * SECOND)
  const node = world.node(1)
  const renewed = world.mesh.admit(node.signer.publicKey, 'node-1', world.now + 1)
  world.event(node, { type: 'credentials', credentials: renewed })
  world.run(SECOND)
  for (const { state } of world.live())
    t.is(toHex(state?.table.get(node.id)?.verified.entry.credentials ?? new Uint8Array(0)), toHex(renewed))
  t.is(world.digests().length, 1)
})
