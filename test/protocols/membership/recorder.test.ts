import test from 'ava'
import fc from 'fast-check'
import { credentialsFormat } from '../../../protocols/admission/wire.ts'
import { createRevocation, RevocationSet } from '../../../protocols/admission/revocation.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { createMembership } from '../../../protocols/membership/machine.ts'
import { FlightRecorder } from '../../../protocols/membership/recorder.ts'
import { RECORDED_BYTES_MAX, RECORDED_EVENTS_MAX } from '../../../protocols/membership/recorder-limits.ts'
import { restoreMembership, snapshotOf } from '../../../protocols/membership/snapshot.ts'
import type { MembershipConfig } from '../../../protocols/membership/state.ts'
import { verdictOf } from '../../../protocols/membership/liveness.ts'
import { frameFormat, KIND, noRecords } from '../../../protocols/membership/wire.ts'
import { ENDED_LIMITS } from '../../../protocols/membership/state.ts'
import { AuthorWindow } from '../../../protocols/replay/author-window.ts'
import { seededRandom, testMesh } from './world.ts'

const NOW = 1_800_000_000_000

/** Two members; the first has the machine, the second is its neighbour. */
function pair() {
  const mesh = testMesh('recorder', NOW - 86_400_000)
  const [signer, other] = [1, 2].map((n) => ed25519Signer(new Uint8Array(32).fill(n)))
  if (signer === undefined || other === undefined) throw new Error('two signers')
  const config = (of: typeof signer, name: string): MembershipConfig => ({
    root: mesh.root,
    signer: of,
    credentials: mesh.admit(of.publicKey, name),
    random: seededRandom(name),
    incarnation: NOW,
    announcement: { addresses: [], relays: [], services: [] },
    stored: [],
    authorityReachable: () => true,
    revocations: new RevocationSet({ root: mesh.root }),
  })
  const peer = createMembership(config(other, 'other'), NOW)
  return { mesh, config: config(signer, 'node'), peer }
}

/** What the neighbour says first. */
function helloOf({ table, self }: ReturnType<typeof createMembership>): Uint8Array {
  const row = table.get(self.id)
  if (row === undefined) throw new Error('no own row')
  const { member, authority } = credentialsFormat.decode(row.verified.entry.credentials)
  return frameFormat.encode({
    kind: KIND.hello,
    version: 1,
    clock: NOW,
    digest: table.digest(),
    held: 0,
    heldIncarnation: 0,
    heldSeq: 0,
    ...noRecords(),
    authorities: [authority],
    entries: [
      { kind: 'registration', statement: row.verified.entry.statement, member, authority: 0, down: false },
    ],
  })
}

function recorded(limits?: ConstructorParameters<typeof FlightRecorder>[0]) {
  const { mesh, config, peer } = pair()
  const recorder = new FlightRecorder(limits)
  const state = createMembership(recorder.listenTo(config), NOW)
  recorder.begin(state, NOW)
  return { mesh, config, peer, recorder, state }
}

test('a snapshot is a copy of every field of the state but the ports, and has no private key', (t) => {
  const { state, peer } = recorded()
  verdictOf(state, peer.self.id).accusers.set('a', Uint8Array.of(1))
  const snapshot = snapshotOf(state)
  const ports = ['root', 'random', 'verify', 'revoked', 'authorityReachable']
  t.deepEqual([...Object.keys(snapshot), ...ports].sort(), Object.keys(state).sort())
  t.deepEqual([...Object.keys(snapshot.self), 'signer'].sort(), Object.keys(state.self).sort())
  t.notRegex(JSON.stringify(snapshot), /signer|privateKey|seed/)
  verdictOf(state, peer.self.id).accusers.clear()
  state.suspicions.add(peer.self.id)
  t.is(snapshot.verdicts.get(peer.self.id)?.accusers.size, 1)
  t.is(snapshot.suspicions.size, 0)
})

test('a field that is no data makes a snapshot impossible instead of being lost', (t) => {
  const { state } = recorded()
  for (const field of [() => 1, new Date(0), new WeakMap(), Symbol('s')])
    t.throws(() => snapshotOf({ ...state, health: { ...state.health, field } as never }), {
      message: /snapshot/,
    })
})

test('a restored machine shares nothing with its snapshot that it changes', (t) => {
  const { state, config, peer } = recorded()
  verdictOf(state, peer.self.id)
  const snapshot = snapshotOf(state)
  const [one, two] = [restoreMembership(snapshot, config), restoreMembership(snapshot, config)]
  verdictOf(one, peer.self.id).accusers.set('a', Uint8Array.of(1))
  one.gossip.set('x', { type: 'entry', id: 'x', full: true, source: null })
  one.self.adoptions.push(1)
  t.deepEqual(snapshotOf(two), snapshot)
  t.is(verdictOf(two, peer.self.id).accusers.size, 0)
  t.deepEqual(one.table.digest(), state.table.digest())
  t.deepEqual(one.table.sums(), state.table.sums())
})

test('a recorder keeps the stretch before the present one and forgets older ones', (t) => {
  const { recorder } = recorded({ eventsMax: 10, bytesMax: 1_000_000 })
  for (let i = 1; i <= 25; i++) recorder.step({ type: 'tick' }, NOW + i * 200)
  const recording = recorder.recording()
  t.is(recording?.steps.length, 15)
  t.is(recording?.at, NOW + 11 * 200)
  t.is(recording?.steps[0]?.now, NOW + 11 * 200)
  t.is(recording?.checkpoint.lastTickAt, NOW + 10 * 200)
  t.is(recording?.final.lastTickAt, NOW + 25 * 200)
})

test('large frames fill a stretch by their bytes, and keep no larger buffer alive', (t) => {
  const { recorder } = recorded({ eventsMax: 1_000, bytesMax: 10_000 })
  const buffer = new Uint8Array(64_000)
  for (let i = 1; i <= 9; i++)
    recorder.step({ type: 'frame', peer: 'nobody', bytes: buffer.subarray(i, i + 4_000) }, NOW + i)
  const steps = recorder.recording()?.steps ?? []
  t.is(steps.length, 6)
  for (const { event } of steps) t.is(event.type === 'frame' ? event.bytes.buffer.byteLength : 0, 4_000)
})

test('the shipped limits keep minutes of an idle node in a few megabytes', (t) => {
  const idleEventsPerSecond = 9
  t.true(RECORDED_EVENTS_MAX / idleEventsPerSecond > 5 * 60)
  t.true(2 * RECORDED_BYTES_MAX <= 2 ** 21)
})

test('what the ports answer is recorded step by step, and nothing that is asked between steps', (t) => {
  const { recorder, state, peer, config } = recorded()
  state.random.bytes(4)
  recorder.step({ type: 'link-up', peer: peer.self.id, initiator: false }, NOW)
  recorder.step({ type: 'frame', peer: peer.self.id, bytes: helloOf(peer) }, NOW + 1)
  recorder.step(
    { type: 'announce', announcement: { addresses: ['/dns4/x/tcp/1'], relays: [], services: [] } },
    NOW + 2_000,
  )
  state.self.signer.sign(Uint8Array.of(1))
  const [up, hello, announced] = recorder.recording()?.steps ?? []
  t.true(up?.effects !== 0)
  t.deepEqual(up?.answers.random, [])
  t.deepEqual(hello?.answers.reachable, [true])
  t.deepEqual(hello?.answers.unverified, [])
  t.is(announced?.answers.signed.length, 1)
  t.deepEqual(
    announced?.answers.signed[0]?.signature,
    config.signer.sign(announced?.answers.signed[0]?.message as Uint8Array),
  )
})

test('signatures that do not hold are recorded by their number', (t) => {
  const { mesh, recorder, peer } = recorded()
  recorder.step({ type: 'link-up', peer: peer.self.id, initiator: false }, NOW)
  const hello = helloOf(peer)
  const row = peer.table.get(peer.self.id)
  const signature = row?.verified.entry.statement.slice(-64) as Uint8Array
  const at = Buffer.from(hello).indexOf(signature)
  hello[at] = (hello[at] as number) ^ 1
  recorder.step({ type: 'frame', peer: peer.self.id, bytes: hello }, NOW + 1)
  // The authority's certificate is known, the member's holds, the statement's signature does not.
  t.deepEqual(recorder.recording()?.steps[1]?.answers.unverified, [1])
  const revocation = createRevocation({
    meshId: mesh.root.meshId,
    signer: mesh.authoritySigner,
    authorityCertificate: mesh.authority,
    key: peer.self.signer.publicKey,
    serial: null,
    reason: 'lost',
    now: NOW,
  })
  const forged = Uint8Array.from(revocation)
  forged[forged.length - 1] = (forged[forged.length - 1] as number) ^ 1
  recorder.step({ type: 'revoke', bytes: forged }, NOW + 2)
  recorder.step({ type: 'revoke', bytes: revocation }, NOW + 3)
  t.deepEqual(
    recorder
      .recording()
      ?.steps.slice(2)
      .map(({ answers }) => answers.unsigned),
    [[0], []],
  )
})

test('a revocation that somebody else put into the shared set begins a recording anew', (t) => {
  const { mesh, recorder, config, peer } = recorded()
  recorder.step({ type: 'tick' }, NOW + 200)
  const outcome = config.revocations?.add(
    createRevocation({
      meshId: mesh.root.meshId,
      signer: mesh.authoritySigner,
      authorityCertificate: mesh.authority,
      key: peer.self.signer.publicKey,
      serial: null,
      reason: 'lost',
      now: NOW,
    }),
    NOW + 300,
  )
  t.is(outcome?.outcome, 'added')
  recorder.step({ type: 'tick' }, NOW + 400)
  const recording = recorder.recording()
  t.is(recording?.steps.length, 1)
  t.is(recording?.checkpoint.revocations?.length, 1)
})

test('a memory of those who left goes on from its dump as if nothing had happened', (t) => {
  const message = fc.record({
    author: fc.constantFrom('a', 'b', 'c', 'd'),
    incarnation: fc.integer({ min: 1, max: 3 }),
    seq: fc.integer({ min: 0, max: 5 }),
    timeMs: fc.integer({ min: NOW - 9 * 86_400_000, max: NOW + 600_000 }),
    now: fc.integer({ min: NOW - 86_400_000, max: NOW + 8 * 86_400_000 }),
  })
  const limits = { ...ENDED_LIMITS, authorsMax: 3 }
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 12 }),
      fc.array(message, { maxLength: 12 }),
      (before, after) => {
        const window = new AuthorWindow(limits)
        for (const each of before) window.commit(each, each.now)
        const again = AuthorWindow.load(window.dump(), limits)
        t.deepEqual(again.dump(), window.dump())
        for (const each of after) t.deepEqual(again.commit(each, each.now), window.commit(each, each.now))
        t.deepEqual(again.dump(), window.dump())
      },
    ),
    { numRuns: 60 },
  )
  t.throws(() => AuthorWindow.restore(undefined, NOW, limits).dump(), { message: /durable/ })
  t.throws(
    () => {
      const window = new AuthorWindow({ ...limits, windowBits: 224 })
      window.commit({ author: 'a', incarnation: 1, seq: 1, timeMs: NOW }, NOW)
      window.dump()
    },
    { message: /bits/ },
  )
})
