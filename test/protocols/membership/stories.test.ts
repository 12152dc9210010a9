import test, { type ExecutionContext } from 'ava'
import { toHex } from '../../../protocols/common/bytes.ts'
import { ed25519Signer, signedMessage } from '../../../protocols/common/signing.ts'
import { createRevocation, RevocationSet } from '../../../protocols/admission/revocation.ts'
import { pushAccusation } from '../../../protocols/membership/gossip.ts'
import { HEAL_DIFFER_MIN, LINKS_MAX } from '../../../protocols/membership/limits.ts'
import { digestOf, type MembershipState } from '../../../protocols/membership/machine.ts'
import { suspicionMs } from '../../../protocols/membership/suspicion.ts'
import { accusationFormat, signedAccusationFormat } from '../../../protocols/membership/wire.ts'
import { World, type SimNode } from './world.ts'

const SECOND = 1_000

/** A whole mesh of `count` nodes that has had time to link up. */
function whole(seed: string, count: number): World {
  const world = new World(seed, count)
  for (const node of world.nodes) world.start(node)
  world.runUntil(() => isWhole(world), 40 * SECOND)
  world.run(3 * SECOND)
  return world
}

const stateOf = (node: SimNode): MembershipState => node.state as MembershipState
const isWhole = (world: World) =>
  world.digests().length === 1 &&
  world
    .live()
    .every(
      (node) =>
        stateOf(node).table.size === world.nodes.length &&
        world.live().every((other) => other === node || world.held(node, other) === 'alive'),
    )
const deadEverywhere = (world: World, victim: SimNode) =>
  world.live().every((node) => node === victim || world.held(node, victim) === 'dead')
/** Deaths declared of anybody but `victim`. */
const falseDeaths = (world: World, victim: SimNode) =>
  world.nodes
    .filter((node) => node !== victim)
    .flatMap(({ events }) => events.filter(({ kind, peer }) => kind === 'member.died' && peer !== victim.id))

function accusation(world: World, by: SimNode, subject: SimNode): Uint8Array {
  const { incarnation, seq } = stateOf(subject).self
  const body = accusationFormat.encode({
    version: 1,
    by: by.signer.publicKey,
    issuedAt: world.now,
    subjects: [{ key: subject.signer.publicKey, incarnation, seq, refused: true }],
  })
  const signature = by.signer.sign(signedMessage('accusation', world.mesh.root.meshId, body))
  return signedAccusationFormat.encode({ body, signature })
}

test('the time to answer follows Lifeguard: 30 s with one accuser, 6 s with all, logarithmic between', (t) => {
  t.deepEqual(
    [1, 2, 3, 4].map((accusers) => Math.round(suspicionMs(accusers, 3))),
    [30_000, 14_858, 6_000, 6_000],
  )
  t.is(suspicionMs(1, 1), 6_000)
  t.is(suspicionMs(1, 2), 30_000)
})

const kills: [count: number, how: 'killed' | 'vanished', limitMs: number][] = [
  ...[2, 3, 4, 30].map((count): [number, 'killed', number] => [count, 'killed', 5 * SECOND]),
  ...[2, 3, 4, 30].map((count): [number, 'vanished', number] => [count, 'vanished', 12 * SECOND]),
]
for (const [count, how, limitMs] of kills) {
  test(`of ${count}, one ${how} is dead everywhere within ${limitMs / 1000} s, and nobody else`, (t) => {
    const seeds = count > 10 ? ['a'] : ['a', 'b', 'c']
    const took = seeds.map((seed) => {
      const world = whole(`${how} ${count} ${seed}`, count)
      world.lossRate = 0.05
      const victim = world.node(count - 1)
      if (how === 'killed') world.kill(victim)
      else world.partition((a, b) => (a === victim.index) !== (b === victim.index))
      const ms = world.runUntil(() => deadEverywhere(world, victim), 40 * SECOND)
      t.deepEqual(falseDeaths(world, victim), [])
      return ms
    })
    took.sort((a, b) => a - b)
    t.log(`${count} nodes, one ${how}: dead everywhere after ${took.join(', ')} ms`)
    const median = took[took.length >> 1] as number
    t.true(median <= limitMs, `median ${median} ms`)
  })
}

test('20 % of frames late for a minute: nobody is held dead', (t) => {
  const world = whole('late', 20)
  world.lossRate = 0.2
  world.run(60 * SECOND)
  t.deepEqual(falseDeaths(world, world.node(0)), [])
  t.deepEqual(falseDeaths(world, world.node(1)), [])
})

test('one liar, however loud, makes nobody hold a living member dead', (t) => {
  const world = whole('liar', 20)
  const [liar, victim] = [world.node(3), world.node(11)]
  for (let i = 0; i < 5; i++) {
    pushAccusation({ state: stateOf(liar), now: world.now, out: [] }, accusation(world, liar, victim), null)
    const { seq } = stateOf(victim).self
    world.run(3 * SECOND)
    t.true(stateOf(victim).self.seq > seq, 'it was refuted')
  }
  t.true(isWhole(world))
  for (const node of world.nodes)
    t.deepEqual(
      node.events.filter(({ kind }) => kind === 'member.died'),
      [],
    )
})

test('an asymmetric link: who hears a member only through others neither accuses it nor holds it dead', (t) => {
  const world = whole('asymmetric', 5)
  const [a, b] = [world.node(1), world.node(2)]
  world.partition((x, y) => x + y === 3 && x * y === 2)
  world.run(90 * SECOND)
  t.true(isWhole(world))
  for (const node of world.nodes)
    t.deepEqual(
      node.events.filter(({ kind }) => kind === 'member.suspected' || kind === 'member.died'),
      [],
    )
  t.true((stateOf(a).verdicts.get(b.id)?.vouchedAt ?? 0) > 0, 'others passed its answers on')
  t.false(world.linked(a, b), 'the link that carries nothing was ended')
})

test('who is cut off with most neighbours silent doubts itself first, and accuses when they stay silent', (t) => {
  const world = whole('doubt', 8)
  const node = world.node(0)
  world.partition((a, b) => a === 0 || b === 0)
  world.run(5 * SECOND)
  t.true(stateOf(node).health.score > 0)
  t.deepEqual(
    node.events.filter(({ kind }) => kind === 'member.suspected'),
    [],
  )
  world.runUntil(
    () => world.nodes.every((other) => other === node || world.held(node, other) === 'dead'),
    60 * SECOND,
  )
  world.partition(() => false)
  world.runUntil(() => isWhole(world), 60 * SECOND)
  t.is(stateOf(node).health.score, 0, 'it recovers')
})

test('after a half/half cut of 70 nodes one HEAL brings all back', (t) => {
  const world = whole('heal', 70)
  for (const node of world.nodes)
    t.true(stateOf(node).links.size <= LINKS_MAX, 'one first contact for all, and it has room')
  const far = (index: number) => index % 2 === 0
  world.partition((a, b) => far(a) !== far(b))
  const cutMs = world.runUntil(
    () =>
      world
        .live()
        .every((a) =>
          world
            .live()
            .every((b) => a === b || world.held(a, b) === (far(a.index) === far(b.index) ? 'alive' : 'dead')),
        ),
    90 * SECOND,
  )
  const seqs = world.nodes.map((node) => stateOf(node).self.seq)
  world.partition(() => false)
  const healMs = world.runUntil(() => isWhole(world), 60 * SECOND)
  t.log(`70 nodes: the cut known after ${cutMs} ms, whole ${healMs} ms after its end`)
  t.true(70 / 2 > HEAL_DIFFER_MIN)
  t.true(healMs <= 35 * SECOND)
  t.true(
    world.nodes.filter((node) => stateOf(node).healing.lastAt > 0).length >= 66,
    'all but a hole or two were asked',
  )
  t.true(
    world.nodes.every((node, i) => stateOf(node).self.seq <= (seqs[i] as number) + 12),
    'and not for ever',
  )
})

function revoke(world: World, victim: SimNode): Uint8Array {
  return createRevocation({
    meshId: world.mesh.root.meshId,
    signer: world.mesh.authoritySigner,
    authorityCertificate: world.mesh.authority,
    key: victim.signer.publicKey,
    serial: null,
    reason: 'lost laptop',
    now: world.now,
  })
}

const isCut = (world: World, victim: SimNode) =>
  world
    .live()
    .every(
      (node) =>
        node === victim ||
        (stateOf(node).table.get(victim.id) === undefined &&
          !world.linked(node, victim) &&
          node.revocations.size === 1),
    )

test('a revocation cuts the member everywhere within five seconds, for good, and is on the disk', (t) => {
  const world = whole('revoke', 30)
  const [author, victim] = [world.node(4), world.node(17)]
  world.event(author, { type: 'revoke', bytes: revoke(world, victim) })
  const ms = world.runUntil(() => isCut(world, victim), 10 * SECOND)
  t.log(`30 nodes: cut everywhere after ${ms} ms`)
  t.true(ms <= 5 * SECOND)
  world.run(30 * SECOND)
  t.true(isCut(world, victim), 'it does not come back')
  t.true(world.live().every((node) => node === victim || node.stored.size === 1))
  world.event(victim, { type: 'revoke', bytes: revoke(world, victim) })
  t.is(stateOf(victim).self.silenced, true, 'who hears that it was revoked falls silent')
  t.like(
    victim.events.find(({ kind }) => kind === 'member.revoked'),
    { peer: victim.id },
  )
  const digests = world
    .live()
    .filter((node) => node !== victim)
    .map((node) => toHex(digestOf(stateOf(node))))
  t.is(new Set(digests).size, 1)
})

test('a revocation made on one side of a cut reaches the other when it heals', (t) => {
  const world = whole('revoke cut', 12)
  const far = (index: number) => index >= 6
  world.partition((a, b) => far(a) !== far(b))
  world.run(5 * SECOND)
  const victim = world.node(9)
  world.event(world.node(0), { type: 'revoke', bytes: revoke(world, victim) })
  world.run(40 * SECOND)
  t.is(stateOf(world.node(10)).table.get(victim.id) !== undefined, true, 'the far side knows nothing')
  world.partition(() => false)
  const ms = world.runUntil(() => isCut(world, victim), 60 * SECOND)
  t.log(`12 nodes: cut ${ms} ms after the partition ended`)
})

test('forged and outdated revocations cut nobody and are reported', (t: ExecutionContext) => {
  const world = whole('forged revocation', 3)
  const victim = world.node(2)
  const nobody = ed25519Signer(world.random.bytes(32))
  const forged = createRevocation({
    meshId: world.mesh.root.meshId,
    signer: nobody,
    authorityCertificate: world.mesh.authority,
    key: victim.signer.publicKey,
    serial: null,
    reason: 'forged',
    now: world.now,
  })
  for (const bytes of [forged, Uint8Array.of(1, 2, 3)]) world.event(world.node(0), { type: 'revoke', bytes })
  world.run(2 * SECOND)
  t.true(isWhole(world))
  const refusals = world.node(0).events.filter(({ kind }) => kind === 'membership.refused')
  t.deepEqual(
    refusals.map(({ reason }) => reason),
    ['revocation-authority-unknown', 'revocation-malformed'],
  )
  t.is(new RevocationSet({ root: world.mesh.root }).add(forged, world.now).outcome, 'refused')
})
