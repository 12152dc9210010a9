import test from 'ava'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { AE_INTERVAL_MS, AE_ITEMS_MAX, FRAME_BYTES_MAX } from '../../../protocols/membership/limits.ts'
import { createMembership, step, type Effect } from '../../../protocols/membership/machine.ts'
import { frameFormat, KIND, packRecords, unpackRecords } from '../../../protocols/membership/wire.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
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
  const members = Array.from({ length: 60 }, (_, i) => entryOf(`m${i}`))
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
  send({ kind: KIND.sums, sums: new Uint8Array(2048) }, later)
  const items = Array.from({ length: AE_ITEMS_MAX }, () => mesh.random.bytes(16))
  t.notThrows(() => send({ kind: KIND.items, buckets: new Uint8Array(32).fill(255), items }, later))
  const frames = out.flatMap((effect) => (effect.type === 'send' ? [effect.frame] : []))
  t.true(frames.every((frame) => frame.length <= FRAME_BYTES_MAX))
  const answers = frames.map((bytes) => frameFormat.decode(bytes))
  t.is(answers.flatMap((frame) => (frame.kind === KIND.difference ? frame.wants : [])).length, AE_ITEMS_MAX)
  const told = answers.flatMap((frame) =>
    frame.kind === KIND.difference || frame.kind === KIND.records ? unpackRecords(frame) : [],
  )
  t.true(told.length >= members.length)
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
