import test from 'ava'
import fc from 'fast-check'
import { compareBytes, toHex } from '../../../protocols/common/bytes.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { sha256 } from '../../../protocols/common/signing.ts'
import {
  signLeave,
  signRegistration,
  verifyEntry,
  type VerifiedEntry,
} from '../../../protocols/registry/entry.ts'
import { RegistryError } from '../../../protocols/registry/errors.ts'
import { LEASE_SECONDS, MEMBERS_MAX, STATEMENT_BYTES_MAX } from '../../../protocols/registry/limits.ts'
import { mergeEntries } from '../../../protocols/registry/merge.ts'
import { MemberTable, rowHash } from '../../../protocols/registry/table.ts'
import * as wire from '../../../protocols/registry/wire.ts'
import { bytesOf, count, golden, label, obeys, tag } from '../admission/format-laws.ts'
import { seededRandom, testMesh } from '../membership/world.ts'

const NOW = 1_800_000_000_000
const mesh = testMesh('registry', NOW)
const random = seededRandom('registry test')
const keys = Array.from({ length: 4 }, () => ed25519Signer(random.bytes(32)))
const laptop = keys[0] as (typeof keys)[number]
const hex = golden('registry')

const body = (change: Partial<wire.Registration> = {}) => ({
  key: laptop.publicKey,
  incarnation: NOW,
  seq: 0,
  issuedAt: NOW,
  leaseSeconds: LEASE_SECONDS,
  addresses: ['/ip4/192.0.2.1/tcp/1'],
  relays: [],
  services: [],
  bootNonce: new Uint8Array(8),
  ...change,
})
const entryOf = (change: Partial<wire.Registration> = {}, signer = laptop): wire.MemberEntry => ({
  kind: 'registration',
  statement: signRegistration(body({ key: signer.publicKey, ...change }), mesh.root.meshId, signer),
  credentials: mesh.admit(signer.publicKey, 'laptop'),
})
const verify = (entry: wire.MemberEntry, now = NOW) =>
  verifyEntry({ root: mesh.root, entry, now, authorityReachable: true })
const verified = (entry: wire.MemberEntry, now = NOW): VerifiedEntry => {
  const checked = verify(entry, now)
  if (!checked.ok) throw new Error(checked.code)
  return checked.verified
}

test('registration, leave, statement and entry keep their bytes', (t) => {
  const one = fc.constant(1 as const)
  const service = fc.record({
    name: label,
    proto: fc.constantFrom('http' as const, 'https' as const, 'tcp' as const),
    port: fc.integer({ min: 1, max: 65_535 }),
    tags: fc.array(tag, { maxLength: 3 }),
    allow: fc.array(fc.constantFrom('members', 'lan', 'tag:web', 'peer:nas'), { maxLength: 3 }),
    crossSite: fc.boolean(),
    healthy: fc.boolean(),
    publishedAt: count,
  })
  const registration = fc.record({
    version: one,
    key: bytesOf(32),
    incarnation: count,
    seq: count,
    issuedAt: count,
    leaseSeconds: fc.integer({ min: 1, max: 86_400 }),
    addresses: fc.array(fc.constant('/ip4/192.0.2.1/tcp/1'), { maxLength: 8 }),
    relays: fc.array(bytesOf(32), { maxLength: 3 }),
    services: fc.array(service, { maxLength: 4 }),
    bootNonce: bytesOf(8),
  })
  obeys(t, wire.registrationFormat, registration, hex['registration'])
  obeys(
    t,
    wire.leaveFormat,
    fc.record({ version: one, key: bytesOf(32), incarnation: count, seq: count, issuedAt: count }),
    hex['leave'],
  )
  const blob = fc.uint8Array({ maxLength: 300 })
  obeys(t, wire.statementFormat, fc.record({ body: blob, signature: bytesOf(64) }), hex['statement'])
  obeys(
    t,
    wire.entryFormat,
    fc.record({
      kind: fc.constantFrom('registration' as const, 'leave' as const),
      statement: blob,
      credentials: blob,
    }),
    hex['entry'],
  )
})

test('an entry verifies with nothing but the root document', (t) => {
  const { statement, member } = verified(entryOf())
  t.is(statement.kind, 'registration')
  t.is(member.name, 'laptop')
  const leave = signLeave(
    { key: laptop.publicKey, incarnation: NOW, seq: 1, issuedAt: NOW },
    mesh.root.meshId,
    laptop,
  )
  t.true(verify({ ...entryOf(), kind: 'leave', statement: leave }).ok)
})

test('every reason to refuse an entry has its case', (t) => {
  const other = keys[1] as (typeof keys)[number]
  const good = entryOf()
  const foreign = testMesh('foreign', NOW)
  const badSignature = good.statement.slice()
  badSignature[badSignature.length - 1] = (badSignature.at(-1) as number) ^ 1
  const cases: [wire.MemberEntry, number, string][] = [
    [{ ...good, statement: Uint8Array.of(1) }, NOW, 'registration-malformed'],
    [{ ...good, kind: 'leave' }, NOW, 'registration-malformed'],
    [good, NOW - 300_001, 'registration-from-the-future'],
    [good, NOW + LEASE_SECONDS * 1000 + 300_000, 'registration-expired'],
    [{ ...good, credentials: mesh.admit(other.publicKey, 'other') }, NOW, 'registration-wrong-key'],
    [
      { ...good, credentials: foreign.admit(laptop.publicKey, 'laptop') },
      NOW,
      'certificate-authority-unknown',
    ],
    [{ ...good, statement: badSignature }, NOW, 'registration-signature-invalid'],
    [
      { ...good, statement: signRegistration(body(), foreign.root.meshId, laptop) },
      NOW,
      'registration-signature-invalid',
    ],
    [
      { ...good, credentials: mesh.admit(laptop.publicKey, 'laptop', NOW - 31 * 86_400_000) },
      NOW,
      'certificate-outlives-authority',
    ],
  ]
  for (const [entry, now, code] of cases) {
    const checked = verify(entry, now)
    t.is(checked.ok ? 'accepted' : checked.code, code)
  }
  t.true(verify(good, NOW - 300_000).ok, 'five minutes ahead are tolerated')
})

test('more than fits a registration is a typed error, and the limit itself fits', (t) => {
  const service = {
    name: 'wiki',
    proto: 'http' as const,
    port: 80,
    tags: [],
    allow: ['members'],
    crossSite: false,
    healthy: true,
    publishedAt: NOW,
  }
  const many = Array.from({ length: 16 }, (_, i) => ({ ...service, name: `service-${i}` }))
  t.true(entryOf({ services: many }).statement.length <= STATEMENT_BYTES_MAX)
  const big = many.map((each) => ({
    ...each,
    allow: Array.from({ length: 8 }, (_, i) => `tag:some-long-tag-${i}`),
  }))
  t.is(t.throws(() => entryOf({ services: big }), { instanceOf: RegistryError }).code, 'registration-too-big')
  t.is(
    t.throws(() => entryOf({ services: [...many, service] }), { instanceOf: RegistryError }).code,
    'registration-too-big',
  )
})

// A small pool of versions and credentials of one key, so that collisions and equivocation are common.
const pool = (() => {
  const credentials = [0, 1, 2].map((n) => mesh.admit(laptop.publicKey, 'laptop', NOW + (n >> 1)))
  const statements: Pick<wire.MemberEntry, 'kind' | 'statement'>[] = []
  for (const incarnation of [1, 2]) {
    for (const seq of [0, 1]) {
      for (const address of ['/a', '/b'])
        statements.push({
          kind: 'registration',
          statement: signRegistration(
            body({ incarnation, seq, addresses: [address] }),
            mesh.root.meshId,
            laptop,
          ),
        })
      statements.push({
        kind: 'leave',
        statement: signLeave(
          { key: laptop.publicKey, incarnation, seq, issuedAt: NOW },
          mesh.root.meshId,
          laptop,
        ),
      })
    }
  }
  return statements.flatMap((statement) =>
    credentials.map((each) => verified({ ...statement, credentials: each })),
  )
})()
const pooled = fc.constantFrom(...pool)
const bytes = (each: VerifiedEntry) => toHex(wire.entryFormat.encode(each.entry))
const join = (a: VerifiedEntry, b: VerifiedEntry) => mergeEntries(a, b).result

test('merge is commutative, associative and idempotent', (t) => {
  fc.assert(fc.property(pooled, pooled, (a, b) => t.is(bytes(join(a, b)), bytes(join(b, a)))))
  fc.assert(
    fc.property(pooled, pooled, pooled, (a, b, c) =>
      t.is(bytes(join(join(a, b), c)), bytes(join(a, join(b, c)))),
    ),
  )
  fc.assert(fc.property(pooled, (a) => t.is(bytes(join(a, a)), bytes(a))))
})

test('one version over two contents is equivocation, and the lower hash stands', (t) => {
  const a = verified({
    ...entryOf({ addresses: ['/a'] }),
    credentials: pool[0]?.entry.credentials as Uint8Array,
  })
  const b = verified({ ...entryOf({ addresses: ['/b'] }), credentials: a.entry.credentials })
  const lower = compareBytes(sha256(a.entry.statement), sha256(b.entry.statement)) < 0 ? a : b
  for (const merged of [mergeEntries(a, b), mergeEntries(b, a)]) {
    t.true(merged.equivocation)
    t.is(bytes(merged.result), bytes(lower))
  }
  t.false(mergeEntries(a, a).equivocation)
})

test('tables fed the same entries in any order and number have equal digests', (t) => {
  const everybody = keys.flatMap((signer, n) =>
    [0, 1].map((seq) =>
      verified({ ...entryOf({ seq }, signer), credentials: mesh.admit(signer.publicKey, `n${n}`) }),
    ),
  )
  fc.assert(
    fc.property(
      fc.shuffledSubarray(everybody, { minLength: everybody.length }),
      fc.array(fc.constantFrom(...everybody)),
      (order, extra) => {
        const a = new MemberTable()
        const b = new MemberTable()
        for (const each of everybody) a.put(each)
        for (const each of [...extra, ...order]) b.put(each)
        t.deepEqual(a.digest(), b.digest())
        t.deepEqual(a.sums(), b.sums())
        t.is(a.size, keys.length)
      },
    ),
    { numRuns: 30 },
  )
})

test('the digest is the sum of what is there: verdicts change it, removal undoes it', (t) => {
  const table = new MemberTable()
  const empty = table.digest()
  t.deepEqual(empty, new Uint8Array(8))
  const entry = verified(entryOf())
  t.is(table.put(entry).outcome, 'added')
  const { id } = entry.member
  const up = table.digest()
  t.deepEqual(up, rowHash(table.get(id) as never))
  table.mark(id, true)
  t.notDeepEqual(table.digest(), up)
  table.mark(id, false)
  t.deepEqual(table.digest(), up)
  t.is(table.bucket((table.get(id) as { place: Uint8Array }).place[0] as number).length, 1)
  table.delete(id)
  t.deepEqual(table.digest(), empty)
})

test('a lease that ended is swept with the tolerance verification has, but never our own', (t) => {
  const table = new MemberTable()
  table.put(verified(entryOf()))
  const end = NOW + LEASE_SECONDS * 1000 + 300_000
  const self = peerIdFromKey(laptop.publicKey)
  t.is(table.sweep(end - 1, '').length, 0)
  t.is(table.sweep(end, self).length, 0)
  t.is(table.sweep(end, '').length, 1)
  t.is(table.size, 0)
})

test('the table takes as many members as its limit and no more', (t) => {
  const table = new MemberTable()
  const template = verified(entryOf())
  const fake = (n: number): VerifiedEntry => {
    const key = new Uint8Array(32)
    new DataView(key.buffer).setUint32(0, n)
    return { ...template, member: { ...template.member, key, id: peerIdFromKey(key) } }
  }
  for (let n = 0; n < MEMBERS_MAX; n++) table.put(fake(n))
  t.is(table.size, MEMBERS_MAX)
  t.is(table.put(fake(MEMBERS_MAX)).outcome, 'full')
  t.is(table.put(fake(0)).outcome, 'unchanged', 'known members are still merged')
})
