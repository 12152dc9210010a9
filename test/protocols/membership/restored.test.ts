import test from 'ava'
import type { Verify } from '../../../protocols/common/ports.ts'
import { ed25519Signer, verifyEd25519 } from '../../../protocols/common/signing.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
import { RESTORED_CHECKS_PER_TICK, TICK_MS } from '../../../protocols/membership/limits.ts'
import {
  createMembership,
  step,
  type Effect,
  type MembershipState,
} from '../../../protocols/membership/machine.ts'
import { isChecked } from '../../../protocols/membership/restored.ts'
import { frameFormat, KIND, packRecords } from '../../../protocols/membership/wire.ts'
import { ownRegistration } from '../../../protocols/membership/state.ts'
import type { MemberEntry } from '../../../protocols/registry/wire.ts'
import { testMesh } from './world.ts'

const NOW = 1_800_000_000_000

/** A mesh, a count of the signatures looked at, and a machine that starts from entries. */
function scene(seed: string) {
  const mesh = testMesh(seed, NOW)
  const announcement = { addresses: ['/ip4/192.0.2.1/tcp/4701'], relays: [], services: [] }
  const counted = { signatures: 0 }
  const verify: Verify = (...signed) => {
    counted.signatures++
    return verifyEd25519(...signed)
  }
  const entryOf = (name: string): MemberEntry => {
    const signer = ed25519Signer(mesh.random.bytes(32))
    const body = ownRegistration(
      signer.publicKey,
      { incarnation: 1, announcement },
      0,
      mesh.random.bytes(8),
      NOW,
    )
    const statement = signRegistration(body, mesh.root.meshId, signer)
    return { kind: 'registration', statement, credentials: mesh.admit(signer.publicKey, name) }
  }
  const start = (stored: readonly MemberEntry[]): MembershipState => {
    const signer = ed25519Signer(mesh.random.bytes(32))
    return createMembership(
      {
        root: mesh.root,
        signer,
        credentials: mesh.admit(signer.publicKey, 'self'),
        random: mesh.random,
        incarnation: 1,
        announcement,
        stored,
        authorityReachable: () => true,
        verify,
      },
      NOW,
    )
  }
  return { entryOf, start, counted }
}

/** As a bit that turned over on the disk: the last of the signature. */
function spoiled(entry: MemberEntry): MemberEntry {
  const statement = entry.statement.slice()
  statement[statement.length - 1] = (statement.at(-1) as number) ^ 1
  return { ...entry, statement }
}

test('a machine knows all it stored at once, and checks the signatures a few a tick', (t) => {
  const { entryOf, start, counted } = scene('restored')
  const stored = Array.from({ length: 40 }, (_, i) => entryOf(`n${i}`))
  const state = start(stored)
  t.is(state.table.size, 41)
  t.is(counted.signatures, 3, 'its own authority, certificate and registration')
  let before = counted.signatures
  for (let tick = 1; state.unchecked.size > 0; tick++) {
    step(state, { type: 'tick' }, NOW + tick * TICK_MS)
    t.true(
      counted.signatures - before <= 2 * RESTORED_CHECKS_PER_TICK,
      'two an entry, the authority is known',
    )
    before = counted.signatures
    t.true(tick <= 40 / RESTORED_CHECKS_PER_TICK)
  }
  t.is(counted.signatures, 3 + 2 * 40)
  t.is(state.table.size, 41)
})

test('what the disk changed leaves table and disk again, with its reason', (t) => {
  const { entryOf, start } = scene('spoiled')
  const state = start([entryOf('good'), spoiled(entryOf('bad'))])
  t.is(state.table.size, 3)
  const out: Effect[] = step(state, { type: 'tick' }, NOW + TICK_MS)
  t.is(state.table.size, 2)
  t.is(state.unchecked.size, 0)
  const gone = out.filter(({ type }) => type === 'delete-entry')
  t.is(gone.length, 1)
  const told = out.flatMap((effect) => (effect.type === 'emit' ? [effect.event] : []))
  t.deepEqual(
    told.filter(({ kind }) => kind === 'membership.refused').map(({ reason }) => reason),
    ['registration-signature-invalid'],
  )
})

test('an entry that waits for its check is checked before anybody is told of it', (t) => {
  const { entryOf, start, counted } = scene('asked')
  const state = start([entryOf('good'), spoiled(entryOf('bad'))])
  const [good, bad] = [...state.unchecked] as [string, string]
  const out: Effect[] = []
  const ctx = { state, now: NOW, out }
  t.true(isChecked(ctx, good))
  t.false(isChecked(ctx, bad))
  t.is(state.table.get(bad), undefined)
  const looked = counted.signatures
  t.true(isChecked(ctx, good), 'once is enough')
  t.is(counted.signatures, looked)
})

test('who brings its true entry is not blamed for what our disk made of it', (t) => {
  const { entryOf, start } = scene('blamed')
  const entry = entryOf('victim')
  const state = start([spoiled(entry)])
  const [peer] = [...state.unchecked] as [string]
  const [records] = packRecords([{ ...entry, down: false }], [])
  if (records === undefined) throw new Error('nothing packed')
  const out = step(state, { type: 'link-up', peer, initiator: false }, NOW)
  const hello = frameFormat.encode({
    kind: KIND.hello,
    version: 1,
    clock: NOW,
    digest: new Uint8Array(8),
    held: 1,
    heldIncarnation: 0,
    heldSeq: 0,
    ...records,
  })
  out.push(...step(state, { type: 'frame', peer, bytes: hello }, NOW))
  const told = out.flatMap((effect) => (effect.type === 'emit' ? [effect.event.kind] : []))
  t.false(told.includes('registry.equivocation'))
  t.deepEqual(state.table.get(peer)?.verified.entry.statement, entry.statement)
})
