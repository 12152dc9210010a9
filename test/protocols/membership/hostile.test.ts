import test from 'ava'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { ed25519Signer, signedMessage } from '../../../protocols/common/signing.ts'
import {
  AE_BYTES_PER_S,
  AE_INTERVAL_MS,
  AE_ITEMS_MAX,
  FRAME_BYTES_MAX,
  IGNORED_MS,
  HEALERS_MAX,
  REFUTED_MAX,
  REFUTED_MEMBERS_MAX,
  REFUTED_ONCE_MS,
  REQUESTS_MAX,
} from '../../../protocols/membership/limits.ts'
import {
  createMembership,
  step,
  type Effect,
  type MembershipState,
} from '../../../protocols/membership/machine.ts'
import {
  accusationFormat,
  frameFormat,
  healFormat,
  KIND,
  noRecords,
  packRecords,
  signedAccusationFormat,
  signedHealFormat,
  unpackRecords,
  type Frame,
} from '../../../protocols/membership/wire.ts'
import { signLeave, signRegistration } from '../../../protocols/registry/entry.ts'
import { LEASE_SECONDS, LEASE_SECONDS_MAX } from '../../../protocols/registry/limits.ts'
import type { MemberEntry } from '../../../protocols/registry/wire.ts'
import { testMesh } from './world.ts'

const NOW = 1_800_000_000_000

test('a neighbour that asks about every bucket and names 850 strangers gets frames that fit', (t) => {
  const mesh = testMesh('review', NOW)
  const entryOf = (name: string) => {
    const signer = ed25519Signer(mesh.random.bytes(32))
    const statement = signRegistration(
      {
        key: signer.publicKey,
        incarnation: 1,
        seq: 0,
        issuedAt: NOW,
        leaseSeconds: 86_400,
        addresses: ['/ip4/192.0.2.1/tcp/4701'],
        relays: [],
        services: [],
        bootNonce: mesh.random.bytes(8),
      },
      mesh.root.meshId,
      signer,
    )
    const credentials = mesh.admit(signer.publicKey, name)
    return { signer, id: name, entry: { kind: 'registration' as const, statement, credentials } }
  }
  const members = Array.from({ length: 30 }, (_, i) => entryOf(`m${i}`))
  const self = ed25519Signer(mesh.random.bytes(32))
  const state = createMembership(
    {
      root: mesh.root,
      signer: self,
      credentials: mesh.admit(self.publicKey, 'self'),
      random: mesh.random,
      incarnation: 1,
      announcement: { addresses: [], relays: [], services: [] },
      stored: members.map(({ entry }) => entry),
      authorityReachable: () => true,
    },
    NOW,
  )
  const attacker = [...state.table.rows()].find((row) => row.id !== state.self.id)
  if (attacker === undefined) throw new Error('nobody is known')
  const peer = attacker.id
  const out: Effect[] = []
  const send = (frame: Parameters<typeof frameFormat.encode>[0], now: number): void =>
    void out.push(...step(state, { type: 'frame', peer, bytes: frameFormat.encode(frame) }, now))
  out.push(...step(state, { type: 'link-up', peer, initiator: false }, NOW))
  const { entry } = attacker.verified
  const [records] = packRecords([{ ...entry, down: false }], [])
  if (records === undefined) throw new Error('nothing packed')
  send(
    {
      kind: KIND.hello,
      version: 1,
      clock: NOW,
      digest: state.table.digest(),
      held: 1,
      heldIncarnation: 0,
      heldSeq: 0,
      ...records,
    },
    NOW,
  )
  const later = NOW + AE_INTERVAL_MS
  send({ kind: KIND.sums, sums: new Uint8Array(2048), revoked: new Uint8Array(8) }, later)
  const items = Array.from({ length: AE_ITEMS_MAX }, () => mesh.random.bytes(16))
  t.notThrows(() =>
    send(
      { kind: KIND.items, buckets: new Uint8Array(32).fill(255), items, revoked: new Uint8Array(8) },
      later,
    ),
  )
  const frames = out.flatMap((effect) => (effect.type === 'send' ? [effect.frame] : []))
  t.true(frames.every((frame) => frame.length <= FRAME_BYTES_MAX))
  const answers = frames.map((bytes) => frameFormat.decode(bytes))
  t.is(answers.flatMap((frame) => (frame.kind === KIND.difference ? frame.wants : [])).length, AE_ITEMS_MAX)
  const told = answers.flatMap((frame) =>
    frame.kind === KIND.difference || frame.kind === KIND.records ? unpackRecords(frame) : [],
  )
  t.true(told.length >= members.length)

  // The budget is spent: nothing but the answer itself, until it has filled again.
  const asked = (at: number): number => {
    out.length = 0
    send({ kind: KIND.sums, sums: new Uint8Array(2048), revoked: new Uint8Array(8) }, at)
    send({ kind: KIND.items, buckets: new Uint8Array(32).fill(255), items, revoked: new Uint8Array(8) }, at)
    return out.reduce((sum, effect) => sum + (effect.type === 'send' ? effect.frame.length : 0), 0)
  }
  const afterwards = later + 2 * AE_INTERVAL_MS
  state.aeTokens = 0
  t.true(asked(afterwards) < FRAME_BYTES_MAX)
  step(state, { type: 'tick' }, afterwards)
  state.aeTokens = 0
  step(state, { type: 'tick' }, afterwards + 1_000)
  t.true(state.aeTokens > 0 && state.aeTokens <= AE_BYTES_PER_S)
  t.true(asked(afterwards + 1_000) <= AE_BYTES_PER_S + 2 * FRAME_BYTES_MAX)
})

test('a clock that is set back an hour stops neither accusations nor writing', (t) => {
  const mesh = testMesh('clock', NOW)
  const self = ed25519Signer(mesh.random.bytes(32))
  const state = createMembership(
    {
      root: mesh.root,
      signer: self,
      credentials: mesh.admit(self.publicKey, 'self'),
      random: mesh.random,
      incarnation: 1,
      announcement: { addresses: [], relays: [], services: [] },
      stored: [],
      authorityReachable: () => true,
    },
    NOW,
  )
  step(state, { type: 'tick' }, NOW + 70_000)
  state.lastAccuseAt = NOW + 70_000
  const back = NOW - 3_600_000
  step(state, { type: 'tick' }, back)
  for (const at of [state.lastAccuseAt, state.lastPersistAt, state.lastSweepAt]) t.true(at <= back)
})

/** A node with one hostile neighbour that passes on what others signed. */
function besieged(seed: string) {
  const mesh = testMesh(seed, NOW)
  const member = (name: string) => {
    const signer = ed25519Signer(mesh.random.bytes(32))
    return { signer, id: peerIdFromKey(signer.publicKey), credentials: mesh.admit(signer.publicKey, name) }
  }
  const [self, neighbour, victim, accuser] = ['self', 'neighbour', 'victim', 'accuser'].map(member) as [
    ReturnType<typeof member>,
    ReturnType<typeof member>,
    ReturnType<typeof member>,
    ReturnType<typeof member>,
  ]
  const start = (stored: readonly MemberEntry[], now: number): MembershipState =>
    createMembership(
      {
        root: mesh.root,
        signer: self.signer,
        credentials: self.credentials,
        random: mesh.random,
        incarnation: now,
        announcement: { addresses: [], relays: [], services: [] },
        stored,
        authorityReachable: () => true,
      },
      now,
    )
  const registration = (
    of: typeof victim,
    seq: number,
    issuedAt: number,
    leaseSeconds = LEASE_SECONDS,
  ): MemberEntry => ({
    kind: 'registration',
    statement: signRegistration(
      {
        key: of.signer.publicKey,
        incarnation: 1,
        seq,
        issuedAt,
        leaseSeconds,
        addresses: [],
        relays: [],
        services: [],
        bootNonce: new Uint8Array(8),
      },
      mesh.root.meshId,
      of.signer,
    ),
    credentials: of.credentials,
  })
  const deliver = (state: MembershipState, frame: Frame, now: number): Effect[] =>
    step(state, { type: 'frame', peer: neighbour.id, bytes: frameFormat.encode(frame) }, now)
  const tell = (
    state: MembershipState,
    entries: readonly MemberEntry[],
    now: number,
    accusations: Uint8Array[] = [],
  ): Effect[] =>
    packRecords(
      entries.map((entry) => ({ ...entry, down: false })),
      accusations,
    ).flatMap((records) => deliver(state, { kind: KIND.records, ...records }, now))
  const link = (state: MembershipState, now: number): void => {
    step(state, { type: 'link-up', peer: neighbour.id, initiator: true }, now)
    const [records] = packRecords([{ ...registration(neighbour, 0, now), down: false }], [])
    if (records === undefined) throw new Error('nothing packed')
    const greeting = {
      version: 1,
      clock: now,
      digest: new Uint8Array(8),
      held: 0,
      heldIncarnation: 0,
      heldSeq: 0,
    } as const
    deliver(state, { kind: KIND.hello, ...greeting, ...records }, now)
  }
  return { mesh, neighbour, victim, accuser, start, registration, tell, link }
}

test('a farewell that ended cannot be rolled back to an older record with a longer lease, not even over a restart', (t) => {
  const { mesh, neighbour, victim, start, registration, tell, link } = besieged('tombstone')
  let state = start([], NOW)
  link(state, NOW)
  const recorded = registration(victim, 1, NOW, LEASE_SECONDS_MAX)
  tell(state, [recorded], NOW)
  const farewell: MemberEntry = {
    kind: 'leave',
    statement: signLeave(
      { key: victim.signer.publicKey, incarnation: 1, seq: 2, issuedAt: NOW + 1000 },
      mesh.root.meshId,
      victim.signer,
    ),
    credentials: victim.credentials,
  }
  const effects = tell(state, [farewell], NOW + 1000)
  effects.push(...step(state, { type: 'tick' }, NOW + 3000))
  t.is(state.verdicts.get(victim.id)?.state, 'left')
  const disk = new Map<string, MemberEntry>()
  const later = NOW + 2 * LEASE_SECONDS * 1000
  effects.push(...step(state, { type: 'tick' }, later))
  for (const effect of effects) {
    if (effect.type === 'store-entry') disk.set(effect.id, effect.entry)
    else if (effect.type === 'delete-entry') disk.delete(effect.id)
  }
  for (const restarted of [false, true]) {
    if (restarted) state = start([...disk.values()], later)
    link(state, later)
    t.is(state.table.get(victim.id), undefined, 'the farewell has ended')
    const refused = tell(state, [recorded], later)
    t.is(state.table.get(victim.id), undefined)
    t.like(
      refused.find(({ type }) => type === 'emit'),
      { event: { kind: 'membership.refused', peer: neighbour.id, reason: 'message-outdated' } },
    )
    t.is(state.archive.get(victim.id)?.addresses.length, 0, 'kept, and not dialled')
  }
  tell(state, [registration(victim, 3, later)], later)
  t.is(state.table.get(victim.id)?.verified.statement.seq, 3, 'the member itself may come back')
})

test('an accusation is weighed once for each record of the accused, however often it is replayed', (t) => {
  const { mesh, victim, accuser, start, registration, tell, link } = besieged('accused')
  const state = start([], NOW)
  link(state, NOW)
  tell(state, [registration(victim, 1, NOW), registration(accuser, 1, NOW)], NOW)
  const accuse = (seq: number, issuedAt: number): Uint8Array => {
    const body = accusationFormat.encode({
      version: 1,
      by: accuser.signer.publicKey,
      issuedAt,
      subjects: [{ key: victim.signer.publicKey, incarnation: 1, seq, refused: false }],
    })
    const signature = accuser.signer.sign(signedMessage('accusation', mesh.root.meshId, body))
    return signedAccusationFormat.encode({ body, signature })
  }
  const held = (): string | undefined => state.verdicts.get(victim.id)?.state
  const recorded = accuse(1, NOW)
  tell(state, [], NOW, [recorded])
  t.is(held(), 'suspect')
  // The victim links up and is heard: alive, with its record unchanged.
  step(state, { type: 'link-up', peer: victim.id, initiator: true }, NOW + 100)
  const [records] = packRecords([{ ...registration(victim, 1, NOW), down: false }], [])
  if (records === undefined) throw new Error('nothing packed')
  const greeting = {
    version: 1,
    clock: NOW,
    digest: new Uint8Array(8),
    held: 1,
    heldIncarnation: 0,
    heldSeq: 0,
  } as const
  const bytes = frameFormat.encode({ kind: KIND.hello, ...greeting, ...records })
  step(state, { type: 'frame', peer: victim.id, bytes }, NOW + 100)
  t.is(held(), 'alive')
  step(state, { type: 'link-down', peer: victim.id }, NOW + 200)
  const again = tell(state, [], NOW + 300, [recorded])
  t.is(held(), 'alive', 'the recording says nothing new')
  t.deepEqual(
    again.filter(({ type }) => type === 'send'),
    [],
  )
  tell(state, [], NOW + 1100, [accuse(1, NOW + 1000)])
  t.is(held(), 'suspect', 'the accuser said it anew')
  tell(state, [registration(victim, 2, NOW + 2000)], NOW + 2000)
  t.is(held(), 'alive')
  tell(state, [], NOW + 2100, [recorded, accuse(1, NOW + 2050)])
  t.is(held(), 'alive', 'both are of an older record')
  tell(state, [], NOW + 2200, [accuse(2, NOW + 500)])
  t.is(held(), 'suspect', 'a first word about the new record, by an accuser whose clock was set back')
})

test('who accuses a living member alone, five times in ten minutes, is ignored for an hour', (t) => {
  const { mesh, victim, accuser, start, registration, tell, link } = besieged('refuted')
  const state = start([], NOW)
  link(state, NOW)
  tell(state, [registration(victim, 1, NOW), registration(accuser, 1, NOW)], NOW)
  const accuse = (seq: number, issuedAt: number): Uint8Array => {
    const body = accusationFormat.encode({
      version: 1,
      by: accuser.signer.publicKey,
      issuedAt,
      subjects: [{ key: victim.signer.publicKey, incarnation: 1, seq, refused: true }],
    })
    const signature = accuser.signer.sign(signedMessage('accusation', mesh.root.meshId, body))
    return signedAccusationFormat.encode({ body, signature })
  }
  const held = (): string | undefined => state.verdicts.get(victim.id)?.state
  const events: Effect[] = []
  for (let n = 0; n < REFUTED_MEMBERS_MAX; n++) state.refuted.set(`m${n}`, { times: [], ignoredUntil: 0 })
  for (let n = 1; n <= REFUTED_MAX; n++) {
    const at = NOW + n * (REFUTED_ONCE_MS + 1000)
    tell(state, [], at, [accuse(n, at)])
    t.is(held(), 'suspect')
    events.push(...tell(state, [registration(victim, n + 1, at + 500)], at + 500))
    t.is(held(), 'alive')
  }
  const ignored = events.filter(
    (effect) => effect.type === 'emit' && effect.event.reason === 'accuser-refuted',
  )
  t.is(ignored.length, 1)
  t.is(state.refuted.size, REFUTED_MEMBERS_MAX)
  t.false(state.refuted.has('m0'), 'the oldest was forgotten')
  const later = NOW + 300_000
  tell(state, [], later, [accuse(REFUTED_MAX + 1, later)])
  t.is(held(), 'alive', 'nobody listens')
  const hourLater = later + IGNORED_MS
  tell(state, [], hourLater, [accuse(REFUTED_MAX + 1, hourLater)])
  t.is(held(), 'suspect', 'until an hour is over')
})

test('a request to announce anew is heeded once in 20 s, and never twice', (t) => {
  const { mesh, neighbour, accuser, start, registration, tell, link } = besieged('healer')
  const state = start([], NOW)
  link(state, NOW)
  tell(state, [registration(accuser, 1, NOW)], NOW)
  const heal = (issuedAt: number, by = accuser, signer = by.signer): Uint8Array => {
    const nonce = mesh.random.bytes(8)
    const body = healFormat.encode({ version: 1, by: by.signer.publicKey, nonce, issuedAt })
    const signature = signer.sign(signedMessage('heal', mesh.root.meshId, body))
    return signedHealFormat.encode({ body, signature })
  }
  const hear = (bytes: Uint8Array, at: number): boolean => {
    const before = state.healing.lastAt
    const frame: Frame = { kind: KIND.records, ...noRecords(), heals: [bytes] }
    step(state, { type: 'frame', peer: neighbour.id, bytes: frameFormat.encode(frame) }, at)
    return state.healing.lastAt !== before
  }
  const first = heal(NOW)
  t.false(hear(heal(NOW, accuser, neighbour.signer), NOW), 'forged')
  t.false(hear(heal(NOW - 600_000), NOW), 'old')
  t.true(hear(first, NOW))
  const { seq } = state.self
  for (let ms = 200; ms <= 6_000; ms += 200) step(state, { type: 'tick' }, NOW + ms)
  t.is(state.self.seq, seq + 1, 'announced within five seconds')
  t.false(hear(heal(NOW + 10_000, neighbour), NOW + 10_000), 'too soon')
  t.false(hear(first, NOW + 30_000), 'a recording')
  for (let n = 0; n < HEALERS_MAX; n++) state.healing.dates.set(`m${n}`, NOW)
  t.true(hear(heal(NOW + 30_000, neighbour), NOW + 30_000))
  t.is(state.healing.dates.size, 1, 'all were forgotten at the limit')
})

test('probes for others: bounded, answered by a sign of life only, and not believed unasked', (t) => {
  const { neighbour, victim, start, registration, tell, link } = besieged('helper')
  const state = start([], NOW)
  link(state, NOW)
  tell(state, [registration(victim, 1, NOW)], NOW)
  const hear = (frame: Frame, at: number): Effect[] =>
    step(state, { type: 'frame', peer: neighbour.id, bytes: frameFormat.encode(frame) }, at)
  const target = victim.signer.publicKey
  t.deepEqual(hear({ kind: KIND.request, n: 1, target }, NOW), [], 'no link to it, no answer')
  hear({ kind: KIND.relayed, n: 1, target }, NOW)
  t.is(state.verdicts.get(victim.id)?.vouchedAt, null, 'nobody was asked')
  t.is(state.requests.size, 0)
  step(state, { type: 'link-up', peer: victim.id, initiator: true }, NOW)
  const [records] = packRecords([{ ...registration(victim, 1, NOW), down: false }], [])
  if (records === undefined) throw new Error('nothing packed')
  const greeting = {
    version: 1,
    clock: NOW,
    digest: state.table.digest(),
    held: 1,
    heldIncarnation: 0,
    heldSeq: 0,
  } as const
  const fromVictim = (frame: Frame, at: number): Effect[] =>
    step(state, { type: 'frame', peer: victim.id, bytes: frameFormat.encode(frame) }, at)
  fromVictim({ kind: KIND.hello, ...greeting, ...records }, NOW)
  const kinds = (effects: readonly Effect[], peer: string): number[] =>
    effects.flatMap((effect) =>
      effect.type === 'send' && effect.peer === peer ? [frameFormat.decode(effect.frame).kind] : [],
    )
  t.deepEqual(
    kinds(hear({ kind: KIND.request, n: 2, target }, NOW), neighbour.id),
    [KIND.relayed],
    'just heard',
  )
  const later = NOW + 5_000
  t.deepEqual(kinds(hear({ kind: KIND.request, n: 3, target }, later), victim.id), [KIND.probe])
  t.is(state.requests.size, 1)
  const digest = state.table.digest()
  const ack = fromVictim({ kind: KIND.ack, n: 0, digest, held: 1 }, later + 300)
  t.deepEqual(kinds(ack, neighbour.id), [KIND.relayed])
  t.is(state.requests.size, 0)
  for (let n = 0; n < REQUESTS_MAX; n++)
    state.requests.set(`r${n}`, { requester: `r${n}`, target: victim.id, n, at: later + 5_000 })
  hear({ kind: KIND.request, n: 4, target }, later + 5_000)
  t.is(state.requests.size, REQUESTS_MAX, 'no more than the limit')
  hear({ kind: KIND.request, n: 5, target }, later + 10_000)
  t.is(state.requests.size, 1, 'what nobody waits for makes room')
})
