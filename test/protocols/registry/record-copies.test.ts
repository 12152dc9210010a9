import test from 'ava'
import fc from 'fast-check'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
import { RegistryError } from '../../../protocols/registry/errors.ts'
import { LEASE_SECONDS, RECORD_COPIES_MAX, SKEW_MS } from '../../../protocols/registry/limits.ts'
import { RecordCopies, recordKey } from '../../../protocols/registry/record-copies.ts'
import { entryFormat, type MemberEntry } from '../../../protocols/registry/wire.ts'
import { seededRandom, testMesh } from '../membership/world.ts'

const NOW = 1_800_000_000_000
const mesh = testMesh('record copies', NOW)
const random = seededRandom('record copies test')
const member = ed25519Signer(random.bytes(32))
const id = peerIdFromKey(member.publicKey)
const credentials = mesh.admit(member.publicKey, 'wiki')

function entryOf(
  version: { incarnation: number; seq: number },
  from = { mesh, member, credentials },
): MemberEntry {
  const body = {
    key: from.member.publicKey,
    ...version,
    issuedAt: NOW,
    leaseSeconds: LEASE_SECONDS,
    addresses: [],
    relays: [],
    services: [],
    bootNonce: new Uint8Array(8),
  }
  const statement = signRegistration(body, from.mesh.root.meshId, from.member)
  return { kind: 'registration', statement, credentials: from.credentials }
}
const copyOf = (incarnation: number, seq: number): Uint8Array =>
  entryFormat.encode(entryOf({ incarnation, seq }))

function open(known?: { incarnation: number; seq: number }, clock = { ms: NOW }): RecordCopies {
  return new RecordCopies({
    root: mesh.root,
    clock: { now: () => clock.ms },
    authorityReachable: () => true,
    known: () => known,
  })
}

/** The code `validate` throws, `ok` when it throws nothing. Anything but its own error escapes. */
function judged(copies: RecordCopies, key: Uint8Array, value: Uint8Array): string {
  try {
    copies.validate(key, value)
    return 'ok'
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    return error.code
  }
}

test('a copy is kept only where it belongs, and when it is whole, in its time, and of a member', (t) => {
  const stranger = testMesh('another mesh', NOW)
  const foreign = entryOf(
    { incarnation: 1, seq: 0 },
    { mesh: stranger, member, credentials: stranger.admit(member.publicKey, 'wiki') },
  )
  const forged = {
    ...entryOf({ incarnation: 1, seq: 0 }),
    statement: entryOf({ incarnation: 1, seq: 1 }).statement.slice(),
  }
  forged.statement[forged.statement.length - 1] = (forged.statement.at(-1) ?? 0) ^ 1
  const late = { ms: NOW + LEASE_SECONDS * 1000 + SKEW_MS }
  const cases: [string, RecordCopies, Uint8Array, Uint8Array, string][] = [
    ['as it should be', open(), recordKey(id), copyOf(1, 0), 'ok'],
    ['under the key of somebody else', open(), recordKey(`${id}x`), copyOf(1, 0), 'registration-wrong-key'],
    ['no entry at all', open(), recordKey(id), Uint8Array.of(1, 2, 3), 'registration-malformed'],
    ['of another mesh', open(), recordKey(id), entryFormat.encode(foreign), 'certificate-authority-unknown'],
    [
      'changed on its way',
      open(),
      recordKey(id),
      entryFormat.encode(forged),
      'registration-signature-invalid',
    ],
    ['after its lease', open(undefined, late), recordKey(id), copyOf(1, 0), 'registration-expired'],
  ]
  for (const [what, copies, key, value, code] of cases) t.is(judged(copies, key, value), code, what)
})

test('an older copy never takes the place of a newer one, in whatever order they come', (t) => {
  const version = fc.record({ incarnation: fc.integer({ min: 1, max: 3 }), seq: fc.nat(3) })
  const order = ({ incarnation, seq }: { incarnation: number; seq: number }): number => incarnation * 10 + seq
  fc.assert(
    fc.property(fc.array(version, { minLength: 1, maxLength: 8 }), (versions) => {
      const copies = open()
      let newest = 0
      for (const { incarnation, seq } of versions) {
        const taken = judged(copies, recordKey(id), copyOf(incarnation, seq))
        if (taken !== (order({ incarnation, seq }) >= newest ? 'ok' : 'record-outdated')) return false
        newest = Math.max(newest, order({ incarnation, seq }))
      }
      const values = versions.map(({ incarnation, seq }) => copyOf(incarnation, seq))
      const chosen = versions[copies.select(recordKey(id), values)]
      return chosen !== undefined && order(chosen) === newest
    }),
    { numRuns: 40 },
  )
  t.pass()
})

test('what the member table knows counts, though no copy was ever seen here', (t) => {
  const copies = open({ incarnation: 5, seq: 2 })
  t.is(judged(copies, recordKey(id), copyOf(5, 1)), 'record-outdated')
  t.is(judged(copies, recordKey(id), copyOf(5, 2)), 'ok')
})

test('a watcher hears of each copy that holds, until it stops', (t) => {
  const copies = open()
  const heard: number[] = []
  const stop = copies.watch((_, { statement }) => heard.push(statement.seq))
  copies.validate(recordKey(id), copyOf(1, 1))
  t.throws(() => copies.validate(recordKey(id), copyOf(1, 0)), {
    instanceOf: RegistryError,
    code: 'record-outdated',
  })
  copies.validate(recordKey(id), copyOf(1, 2))
  stop()
  copies.validate(recordKey(id), copyOf(1, 3))
  t.deepEqual(heard, [1, 2])
})

test('the memory has a bound: further members are refused, known ones go on, and ended leases make room', (t) => {
  const clock = { ms: NOW }
  // Real signatures of two thousand members would take most of a minute and show nothing more.
  const copies = new RecordCopies({
    root: mesh.root,
    clock: { now: () => clock.ms },
    authorityReachable: () => true,
    known: () => undefined,
    verify: () => true,
  })
  const put = (number: number, issuedAt: number): string => {
    const key = new Uint8Array(32).fill(7)
    new DataView(key.buffer).setUint32(0, number)
    const signer = { publicKey: key, sign: () => new Uint8Array(64) }
    const body = {
      key,
      incarnation: issuedAt,
      seq: 0,
      issuedAt,
      leaseSeconds: LEASE_SECONDS,
      addresses: [],
      relays: [],
      services: [],
      bootNonce: new Uint8Array(8),
    }
    const entry = {
      kind: 'registration' as const,
      statement: signRegistration(body, mesh.root.meshId, signer),
      credentials: mesh.admit(key, `n${number}`),
    }
    return judged(copies, recordKey(peerIdFromKey(key)), entryFormat.encode(entry))
  }
  for (let number = 0; number < RECORD_COPIES_MAX; number++)
    if (put(number, NOW) !== 'ok') return t.fail(`${number}`)
  t.is(copies.size, RECORD_COPIES_MAX)
  t.is(put(RECORD_COPIES_MAX, NOW), 'record-copies-full')
  t.is(put(1, NOW + 1), 'ok')
  clock.ms = NOW + LEASE_SECONDS * 1000 + SKEW_MS
  t.is(put(RECORD_COPIES_MAX, clock.ms), 'ok')
  t.true(copies.size < 3)
})

test('bytes of any kind under any key throw nothing but their own error', (t) => {
  const copies = open()
  const good = copyOf(1, 0)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 300 }), (key, value) => {
      judged(copies, key, value)
      copies.select(key, [value, good])
    }),
  )
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const value = good.slice()
      value[at] = (value[at] ?? 0) ^ change
      return judged(open(), recordKey(id), value) !== 'ok'
    }),
    { numRuns: 60 },
  )
  t.pass()
})
