import test from 'ava'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { ed25519Signer, signedMessage } from '../../../protocols/common/signing.ts'
import { accuse } from '../../../protocols/membership/accusations.ts'
import { doubted, stalled } from '../../../protocols/membership/health.ts'
import { sweep } from '../../../protocols/membership/housekeeping.ts'
import {
  ACCUSED_MAX,
  ACCUSERS_MAX,
  AE_SHARED_WANTS_MAX,
  ARCHIVED_MAX,
  ENDED_MAX,
  HEALTH_MAX,
  PROBE_REPEAT_MS,
  REPORTS_MAX,
  REPUSH_MAX,
  STALL_HINT_MS,
  SUSPICION_MIN_MS,
  WEIGHED_MAX,
} from '../../../protocols/membership/limits.ts'
import { verdictOf } from '../../../protocols/membership/liveness.ts'
import { createMembership, step, type Effect } from '../../../protocols/membership/machine.ts'
import { acknowledged, probe, PROBES_MAX } from '../../../protocols/membership/probing.ts'
import { report } from '../../../protocols/membership/report.ts'
import type { Context, GossipItem, Link } from '../../../protocols/membership/state.ts'
import { suspicionOver } from '../../../protocols/membership/suspicion.ts'
import {
  accusationFormat,
  frameFormat,
  KIND,
  packRecords,
  signedAccusationFormat,
  type CarriedEntry,
  type Frame,
} from '../../../protocols/membership/wire.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
import { MEMBERS_MAX } from '../../../protocols/registry/limits.ts'
import { testMesh } from './world.ts'

const NOW = 1_800_000_000_000

interface Member {
  readonly signer: ReturnType<typeof ed25519Signer>
  readonly id: string
  readonly credentials: Uint8Array
}

/** A node with a neighbour that has introduced itself and told it of so many others. */
function knowing(seed: string, count: number) {
  const mesh = testMesh(seed, NOW)
  const member = (name: string): Member => {
    const signer = ed25519Signer(mesh.random.bytes(32))
    return { signer, id: peerIdFromKey(signer.publicKey), credentials: mesh.admit(signer.publicKey, name) }
  }
  const entryOf = ({ signer, credentials }: Member, seq = 0): CarriedEntry & { credentials: Uint8Array } => {
    const own = { key: signer.publicKey, incarnation: 1, seq, issuedAt: NOW, leaseSeconds: 86_400 }
    const said = { addresses: [], relays: [], services: [], bootNonce: new Uint8Array(8) }
    const statement = signRegistration({ ...own, ...said }, mesh.root.meshId, signer)
    return { kind: 'registration', statement, credentials, down: false }
  }
  const self = member('self')
  const state = createMembership(
    {
      root: mesh.root,
      signer: self.signer,
      credentials: self.credentials,
      random: mesh.random,
      incarnation: NOW,
      announcement: { addresses: [], relays: [], services: [] },
      stored: [],
      authorityReachable: () => true,
    },
    NOW,
  )
  const neighbour = member('neighbour')
  const hear = (frame: Frame, now = NOW): Effect[] =>
    step(state, { type: 'frame', peer: neighbour.id, bytes: frameFormat.encode(frame) }, now)
  const tell = (entries: readonly CarriedEntry[], accusations: readonly Uint8Array[] = []): Effect[] =>
    packRecords(entries, accusations).flatMap((records) => hear({ kind: KIND.records, ...records }))
  step(state, { type: 'link-up', peer: neighbour.id, initiator: true }, NOW)
  const [records] = packRecords([entryOf(neighbour)], [])
  if (records === undefined) throw new Error('nothing packed')
  const version = { heldIncarnation: 0, heldSeq: 0 }
  hear({
    kind: KIND.hello,
    version: 1,
    clock: NOW,
    digest: new Uint8Array(8),
    held: 0,
    ...version,
    ...records,
  })
  const others = Array.from({ length: count }, (_, n) => member(`m${n}`))
  tell(others.map((each) => entryOf(each)))
  state.gossip.clear()
  /** That this one says it does not hear the other. */
  const accusationBy = (by: Member, of: Member, refused = false): Uint8Array => {
    const subject = { key: of.signer.publicKey, incarnation: 1, seq: 0, refused }
    const body = accusationFormat.encode({
      version: 1,
      by: by.signer.publicKey,
      issuedAt: NOW,
      subjects: [subject],
    })
    const signature = by.signer.sign(signedMessage('accusation', mesh.root.meshId, body))
    return signedAccusationFormat.encode({ body, signature })
  }
  const link = state.links.get(neighbour.id) as Link
  const ctx: Context = { state, now: NOW, out: [] }
  return { state, ctx, link, neighbour, others, member, entryOf, hear, tell, accusationBy }
}

const framesIn = (effects: readonly Effect[]): Frame[] =>
  effects.flatMap((effect) => (effect.type === 'send' ? [frameFormat.decode(effect.frame)] : []))
const reasonsIn = (effects: readonly Effect[]): (string | undefined)[] =>
  effects.flatMap((effect) => (effect.type === 'emit' ? [effect.event.reason] : []))

test('one accusation names so many silent members, the next one those that are left', (t) => {
  const { state, ctx, others } = knowing('accused', ACCUSED_MAX + 1)
  const named = (): number => {
    accuse(ctx)
    const [item] = [...state.gossip.values()] as Extract<GossipItem, { type: 'notice' }>[]
    state.gossip.clear()
    if (item === undefined) return 0
    return accusationFormat.decode(signedAccusationFormat.decode(item.bytes).body).subjects.length
  }
  for (const { id } of others.slice(0, ACCUSED_MAX)) state.toAccuse.add(id)
  t.deepEqual([named(), named()], [ACCUSED_MAX, 0])
  for (const { id } of others) state.toAccuse.add(id)
  t.deepEqual([named(), named(), named()], [ACCUSED_MAX, 1, 0])
})

test('so many accusers settle a suspicion; one more is neither counted nor passed on, unless it saw the redial refused', (t) => {
  const { state, others, tell, accusationBy } = knowing('accusers', 2 * ACCUSERS_MAX + 3)
  const [victim, ...accusers] = others as [Member, ...Member[]]
  const verdict = verdictOf(state, victim.id)
  /** How often it is passed on. */
  const accusing = (by: Member | undefined, refused: boolean): number => {
    if (by === undefined) throw new Error('too few members')
    state.gossip.clear()
    tell([], [accusationBy(by, victim, refused)])
    return state.gossip.size
  }
  const isOver = (): boolean => suspicionOver(state, victim.id, verdict, NOW + SUSPICION_MIN_MS)
  for (let n = 0; n < ACCUSERS_MAX; n++) {
    t.false(isOver(), `${n} accusers`)
    t.is(accusing(accusers[n], false), 1)
  }
  t.true(isOver())
  t.is(accusing(accusers[ACCUSERS_MAX], false), 0)
  t.is(verdict.accusers.size, ACCUSERS_MAX)
  for (let n = 1; n <= ACCUSERS_MAX; n++) t.is(accusing(accusers[ACCUSERS_MAX + n], true), 1)
  t.is(accusing(accusers[2 * ACCUSERS_MAX + 1], true), 0)
  t.deepEqual([verdict.accusers.size, verdict.refused.size], [2 * ACCUSERS_MAX, ACCUSERS_MAX])
})

test('words of so many accusers of one record are remembered, and further ones are not heard', (t) => {
  for (const [before, held] of [
    [WEIGHED_MAX - 1, 'suspect'],
    [WEIGHED_MAX, 'alive'],
  ] as const) {
    const { state, others, tell, accusationBy } = knowing('weighed', 2)
    const [victim, accuser] = others as [Member, Member]
    const verdict = verdictOf(state, victim.id)
    for (let n = 0; n < before; n++) verdict.weighed.set(`m${n}`, NOW)
    tell([], [accusationBy(accuser, victim)])
    t.is(verdict.state, held)
    t.is(verdict.weighed.size, WEIGHED_MAX)
  }
})

test('ended records are remembered up to the limit; then whoever is not known is refused, and it is told', (t) => {
  const { state, member, entryOf, tell, others } = knowing('ended', 1)
  const end = (n: number): void =>
    void state.ended.commit({ author: `m${n}`, incarnation: 1, seq: 0, timeMs: NOW }, NOW)
  for (let n = 0; n < ENDED_MAX - 1; n++) end(n)
  const [early, late] = [member('early'), member('late')]
  tell([entryOf(early)])
  t.truthy(state.table.get(early.id))
  end(ENDED_MAX)
  t.is(state.ended.size, ENDED_MAX)
  t.deepEqual(reasonsIn(tell([entryOf(late)])), ['replay-cache-full'])
  t.is(state.table.get(late.id), undefined)
  const [known] = others as [Member]
  tell([entryOf(known, 1)])
  t.is(state.table.get(known.id)?.verified.statement.seq, 1, 'who is in the table is renewed')
})

test('a member beyond a full table is refused, and it is told; who is in the table is renewed', (t) => {
  const { state, member, entryOf, tell, others } = knowing('full', 1)
  const [known] = others as [Member]
  const row = state.table.get(known.id)
  if (row === undefined) throw new Error('nobody is known')
  const { verified } = row
  for (let n = 0; state.table.size < MEMBERS_MAX - 1; n++) {
    const key = new Uint8Array(32)
    new DataView(key.buffer).setUint32(0, n)
    state.table.put({ ...verified, member: { ...verified.member, key, id: peerIdFromKey(key) } })
  }
  const [last, beyond] = [member('last'), member('beyond')]
  tell([entryOf(last)])
  t.truthy(state.table.get(last.id))
  t.deepEqual(reasonsIn(tell([entryOf(beyond)])), ['table-full'])
  t.is(state.table.get(beyond.id), undefined)
  tell([entryOf(known, 1)])
  t.is(state.table.get(known.id)?.verified.statement.seq, 1)
})

test('so many members are kept after their lease ended; then those kept for the longest are forgotten, on the disk too', (t) => {
  const { state, ctx, member, entryOf } = knowing('archived', 0)
  const entry = entryOf(member('away'))
  const keep = (n: number): void =>
    void state.archive.set(`m${n}`, { id: `m${n}`, addresses: [], entry, notAfter: NOW + 1 })
  for (let n = 0; n < ARCHIVED_MAX; n++) keep(n)
  sweep(ctx)
  t.is(state.archive.size, ARCHIVED_MAX)
  t.deepEqual(ctx.out, [])
  keep(ARCHIVED_MAX)
  sweep(ctx)
  t.is(state.archive.size, ARCHIVED_MAX)
  t.deepEqual(ctx.out, [{ type: 'delete-entry', id: 'm0' }])
})

test('refusals are told once a minute, and all anew when more are remembered than the limit', (t) => {
  const { state, ctx } = knowing('reports', 0)
  const tellsOf = (n: number): boolean => {
    ctx.out.length = 0
    report(ctx, `peer ${n}`, 'frame-malformed', '')
    return reasonsIn(ctx.out).length === 1
  }
  for (let n = 0; n < REPORTS_MAX; n++) t.true(tellsOf(n))
  t.false(tellsOf(0))
  t.is(state.reports.size, REPORTS_MAX)
  t.true(tellsOf(REPORTS_MAX))
  t.is(state.reports.size, 1)
  t.true(tellsOf(0))
})

test('a stall makes a node doubt itself by its length, up to the limit', (t) => {
  for (const [stalls, score] of [
    [HEALTH_MAX - 1, HEALTH_MAX - 1],
    [HEALTH_MAX, HEALTH_MAX],
    [HEALTH_MAX + 1, HEALTH_MAX],
  ] as const) {
    const { state, ctx } = knowing('health', 0)
    stalled(ctx, stalls * STALL_HINT_MS)
    t.is(state.health.score, score)
    t.is(doubted(state, 1_000), 1_000 * (score + 1))
  }
})

test('so many probes of a link are remembered; the answer to one before them says nothing of the way', (t) => {
  const { ctx, link } = knowing('probes', 0)
  const first = ctx.state.probeCounter
  const probes = (count: number): void => {
    for (let n = 0; n < count; n++)
      probe({ ...ctx, now: NOW + (ctx.state.probeCounter - first + 1) * PROBE_REPEAT_MS }, link)
  }
  probes(PROBES_MAX)
  t.deepEqual([...link.probes.keys()][0], first)
  probes(1)
  t.is(link.probes.size, PROBES_MAX)
  const later = { ...ctx, now: NOW + 100 * PROBE_REPEAT_MS }
  acknowledged(later, link, first)
  t.is(link.rttMs, null)
  acknowledged(later, link, first + 1)
  t.is(link.rttMs, 98 * PROBE_REPEAT_MS)
})

test('news of one frame is pushed on up to so many entries; more came by anti-entropy, and others get it so', (t) => {
  for (const [count, pushed] of [
    [REPUSH_MAX, REPUSH_MAX],
    [REPUSH_MAX + 1, 0],
  ] as const) {
    const { state, others, tell, entryOf } = knowing('repush', count)
    tell(others.map((each) => ({ ...entryOf(each, 1), credentials: null })))
    t.true(others.every(({ id }) => state.table.get(id)?.verified.statement.seq === 1))
    t.is(state.gossip.size, pushed)
  }
})

test('a short list of wants shares its frame with entries, a longer one has one of its own', (t) => {
  for (const [wanted, shared] of [
    [AE_SHARED_WANTS_MAX, true],
    [AE_SHARED_WANTS_MAX + 1, false],
  ] as const) {
    const { state, link, hear } = knowing('wants', 1)
    link.aeUntil = NOW
    const buckets = new Uint8Array(32).fill(255)
    const items = Array.from({ length: wanted }, () => state.random.bytes(16))
    const sent = framesIn(hear({ kind: KIND.items, buckets, items, revoked: new Uint8Array(8) }))
    const told = sent.flatMap((frame) =>
      frame.kind === KIND.difference || frame.kind === KIND.records ? [frame] : [],
    )
    t.is(told[0]?.kind === KIND.difference ? told[0].wants.length : 0, wanted)
    t.deepEqual(
      told.map(({ kind, entries }) => [kind, entries.length]),
      shared
        ? [[KIND.difference, state.table.size]]
        : [
            [KIND.difference, 0],
            [KIND.records, state.table.size],
          ],
    )
  }
})
