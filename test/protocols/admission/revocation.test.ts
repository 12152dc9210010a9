import test from 'ava'
import fc from 'fast-check'
import { toHex } from '../../../protocols/common/bytes.ts'
import type { Signer } from '../../../protocols/common/ports.ts'
import { ed25519Signer, sha256 } from '../../../protocols/common/signing.ts'
import {
  AuthorityCache,
  checkCredentials,
  issueAuthority,
} from '../../../protocols/admission/certificates.ts'
import { AdmissionError } from '../../../protocols/admission/errors.ts'
import {
  AUTHORITY_REVOCATIONS_MAX,
  CLOCK_TOLERANCE_MS,
  MEMBER_REVOCATIONS_MAX,
  REVOCATION_KEPT_MS,
  REVOCATION_REASON_BYTES_MAX,
} from '../../../protocols/admission/limits.ts'
import {
  createAuthorityRevocation,
  createRevocation,
  endOfRevocation,
  RevocationSet,
  type Revocation,
} from '../../../protocols/admission/revocation.ts'
import { revocationBodyFormat, revocationFormat } from '../../../protocols/admission/wire.ts'
import { seededRandom, testMesh } from '../membership/world.ts'
import { bytesOf, count, golden, obeys } from './format-laws.ts'

const NOW = 1_800_000_000_000
const DAY_MS = 86_400_000
const mesh = testMesh('admission', NOW)
const other = testMesh('another', NOW)
const random = seededRandom('revocation test')
const { meshId } = mesh.root
const laptop = ed25519Signer(random.bytes(32)).publicKey
const credentials = mesh.admit(laptop, 'laptop')

interface Authority {
  readonly signer: Signer
  readonly certificate: Uint8Array
}
const founder: Authority = { signer: mesh.authoritySigner, certificate: mesh.authority }
function authorityWith(
  roles: Parameters<typeof issueAuthority>[0]['roles'],
  rootSigner = mesh.rootSigner,
): Authority {
  const signer = ed25519Signer(random.bytes(32))
  const subject = signer.publicKey
  const serial = random.bytes(16)
  const made = { root: mesh.root, rootSigner, subject, roles, x509Intermediate: null, serial, now: NOW }
  return { signer, certificate: issueAuthority(made) }
}
const second = authorityWith(['admit', 'revoke'])

const revoke = (
  key: Uint8Array,
  change: Partial<Parameters<typeof createRevocation>[0]> = {},
  by = founder,
) =>
  createRevocation({
    meshId,
    signer: by.signer,
    authorityCertificate: by.certificate,
    key,
    serial: null,
    reason: 'lost on a train',
    now: NOW,
    ...change,
  })
const cut = (key: Uint8Array, from: number, change: { now?: number; reason?: string } = {}) =>
  createAuthorityRevocation({
    meshId,
    rootSigner: mesh.rootSigner,
    key,
    from,
    reason: 'stolen',
    now: NOW,
    ...change,
  })
const newSet = () => new RevocationSet({ root: mesh.root })
const outcome = (set: RevocationSet, bytes: Uint8Array, now = NOW): string => {
  const added = set.add(bytes, now)
  return added.outcome === 'refused' ? added.code : added.outcome
}
const believed = (set: RevocationSet, bytes: Uint8Array, peerKey: Uint8Array, now = NOW + 1): string => {
  const checked = checkCredentials({
    root: mesh.root,
    credentials: bytes,
    peerKey,
    now,
    authorityReachable: false,
    revoked: set.isRevoked,
  })
  return checked.ok ? 'believed' : checked.code
}

test('revocations keep their bytes', (t) => {
  const hex = golden('admission')
  const common = {
    version: fc.constant(1 as const),
    key: bytesOf(32),
    reason: fc.string({ unit: fc.constantFrom('a', 'é', ' ', '漢'), maxLength: 60 }),
    issuedAt: count,
    issuer: bytesOf(32),
  }
  const member = fc.record({
    kind: fc.constant('member' as const),
    serial: fc.option(bytesOf(16)),
    ...common,
  })
  const authority = fc.record({ kind: fc.constant('authority' as const), from: count, ...common })
  obeys(t, revocationBodyFormat, fc.oneof(member, authority), hex['memberRevocationBody'])
  obeys(t, revocationBodyFormat, fc.oneof(member, authority), hex['authorityRevocationBody'])
  const signed = fc.record({
    body: fc.uint8Array({ maxLength: 200 }),
    authority: fc.option(fc.uint8Array({ maxLength: 300 })),
    signature: bytesOf(64),
  })
  obeys(t, revocationFormat, signed, hex['memberRevocation'])
  obeys(t, revocationFormat, signed, hex['authorityRevocation'])
  const longest = 'é'.repeat(REVOCATION_REASON_BYTES_MAX / 2)
  t.notThrows(() => revoke(laptop, { reason: longest }))
  t.throws(() => revoke(laptop, { reason: `${longest}x` }), undefined, 'a byte more')
  t.throws(() => revoke(laptop, { reason: 'two\nlines' }), undefined, 'a control character')
})

test('a revocation cuts one certificate, or all of a key', (t) => {
  const set = newSet()
  t.deepEqual(set.hash(), new Uint8Array(8))
  t.is(believed(set, credentials, laptop), 'believed')
  const renewed = mesh.admit(laptop, 'laptop', NOW + 1)
  const first = checkCredentials({
    root: mesh.root,
    credentials,
    peerKey: laptop,
    now: NOW,
    authorityReachable: true,
  })
  const serial = first.ok ? first.member.serial : null
  t.is(outcome(set, revoke(laptop, { serial })), 'added')
  t.is(believed(set, credentials, laptop), 'certificate-revoked')
  t.is(believed(set, renewed, laptop), 'believed', 'another serial of the key')
  t.is(outcome(set, revoke(laptop)), 'added')
  t.is(believed(set, renewed, laptop), 'certificate-revoked')
  t.is(set.size, 2)
  t.is(outcome(set, revoke(laptop)), 'known')
  t.is(set.size, 2)
  t.notDeepEqual(set.hash(), new Uint8Array(8))
  const { isRevoked } = set
  const member = {
    key: second.signer.publicKey,
    serial: serial as Uint8Array,
    issuer: laptop,
    notBefore: NOW,
  }
  t.false(isRevoked(member), 'nobody else, and the check is bound to its set')
})

test('grace does not help who was revoked', (t) => {
  const set = newSet()
  const late = NOW + 31 * DAY_MS
  t.is(believed(set, credentials, laptop, late), 'believed', 'by grace')
  set.add(revoke(laptop), NOW)
  t.is(believed(set, credentials, laptop, late), 'certificate-revoked')
})

const forged = ed25519Signer(random.bytes(32))
const refusals: [title: string, bytes: () => Uint8Array, code: string, now?: number][] = [
  ['nonsense', () => Uint8Array.of(1, 2, 3), 'revocation-malformed'],
  [
    'one of another mesh',
    () => revoke(laptop, { meshId: other.root.meshId }),
    'revocation-signature-invalid',
  ],
  [
    'one signed by an authority of another mesh',
    () => revoke(laptop, {}, { signer: other.authoritySigner, certificate: other.authority }),
    'revocation-authority-unknown',
  ],
  [
    'one by an authority nobody made',
    () => revoke(laptop, {}, authorityWith(['revoke'], forged)),
    'revocation-authority-unknown',
  ],
  [
    'one beside a certificate of somebody else',
    () => revoke(laptop, {}, { signer: forged, certificate: mesh.authority }),
    'revocation-authority-unknown',
  ],
  [
    'one by an authority that may not revoke',
    () => {
      const admits = authorityWith(['admit'])
      const good = revocationFormat.decode(revoke(laptop, {}, { ...second, signer: admits.signer }))
      return revocationFormat.encode({ ...good, authority: admits.certificate })
    },
    'revocation-role-missing',
  ],
  [
    'one of the future',
    () => revoke(laptop, { now: NOW + CLOCK_TOLERANCE_MS + 1 }),
    'revocation-out-of-time',
  ],
  ['one signed before its authority', () => revoke(laptop, { now: NOW - DAY_MS }), 'revocation-out-of-time'],
  [
    'one signed after the end of its authority',
    () => revoke(laptop, { now: NOW + 366 * DAY_MS }),
    'revocation-out-of-time',
    NOW + 366 * DAY_MS,
  ],
  ['one whose work is done', () => revoke(laptop), 'revocation-ended', NOW + REVOCATION_KEPT_MS],
  [
    'a cut authority without a root key',
    () =>
      createAuthorityRevocation({
        meshId,
        rootSigner: second.signer,
        key: laptop,
        from: 0,
        reason: '',
        now: NOW,
      }),
    'revocation-authority-unknown',
  ],
]
for (const [title, bytes, code, now] of refusals) {
  test(`the set refuses ${title}: ${code}`, (t) => {
    const set = newSet()
    t.is(outcome(set, bytes(), now), code)
    t.is(set.size, 0)
  })
}

test('a revocation altered in any byte is refused', (t) => {
  const set = newSet()
  for (const bytes of [revoke(laptop), cut(second.signer.publicKey, 0)]) {
    for (let i = 0; i < bytes.length; i++) {
      const altered = bytes.slice()
      altered[i] = (altered[i] as number) ^ 0x20
      t.is(set.add(altered, NOW).outcome, 'refused', `byte ${i}`)
    }
  }
})

test('who may not revoke is told so before anything is signed', (t) => {
  const error = t.throws(() => revoke(laptop, {}, authorityWith(['admit'])), { instanceOf: AdmissionError })
  t.is(error.code, 'revocation-role-missing')
})

test('a retired authority leaves its work behind, a stolen one does not', (t) => {
  const admitted = mesh.admit(laptop, 'laptop', NOW + DAY_MS)
  const at = NOW + 3 * DAY_MS
  const key = founder.signer.publicKey
  const thief = random.bytes(32)
  const set = newSet()
  set.add(revoke(thief, { now: NOW + DAY_MS }), at)
  t.is(outcome(set, cut(key, NOW + 2 * DAY_MS), at), 'added')
  t.is(believed(set, admitted, laptop, at), 'believed', 'admitted before')
  t.is(believed(set, mesh.admit(laptop, 'laptop', at), laptop, at), 'certificate-revoked', 'admitted after')
  t.is(outcome(set, revoke(laptop, { now: at }), at), 'revocation-void')
  t.is(set.size, 2)
  const whole = set.add(cut(key, 0), at)
  t.is(whole.outcome === 'added' && whole.dropped.length, 2, 'the later cut and what it had revoked')
  t.is(believed(set, admitted, laptop, at), 'certificate-revoked')
  t.is(outcome(set, cut(key, NOW + 2 * DAY_MS, { now: at }), at), 'known', 'a later cut takes nothing back')
  t.is(set.size, 1)
})

test('nodes that hear the same revocations in any order hold the same set', (t) => {
  const keys = [laptop, second.signer.publicKey, founder.signer.publicKey, random.bytes(32)]
  const documents: Uint8Array[] = []
  for (const key of keys) {
    for (const by of [founder, second]) {
      documents.push(revoke(key, { now: NOW + 5 }, by), revoke(key, { now: NOW + 50, reason: 'again' }, by))
      documents.push(revoke(key, { now: NOW + 20, serial: new Uint8Array(16).fill(1) }, by))
    }
  }
  const { publicKey } = second.signer
  documents.push(
    cut(publicKey, NOW + 40),
    cut(publicKey, NOW + 30),
    cut(publicKey, NOW + 30, { now: NOW + 1 }),
  )
  const order = fc.shuffledSubarray(documents, { minLength: documents.length })
  const cache = new AuthorityCache()
  const build = (list: readonly Uint8Array[]) => {
    const set = new RevocationSet({ root: mesh.root, cache })
    for (const bytes of list) set.add(bytes, NOW + 100)
    return set
  }
  // Twice, as anti-entropy would: an entry that took another's place may have been cut itself.
  const whole = build([...documents, ...documents])
  const expected = whole.all().map(toHex).sort()
  fc.assert(
    fc.property(order, (list) => {
      const set = build([...list, ...list])
      t.deepEqual(set.hash(), whole.hash())
      t.deepEqual(set.all().map(toHex).sort(), expected)
    }),
    { numRuns: 30 },
  )
  const xor = new Uint8Array(8)
  for (const bytes of whole.all())
    sha256(bytes).forEach((byte, i) => i < 8 && (xor[i] = (xor[i] as number) ^ byte))
  t.deepEqual(whole.hash(), xor)
  const copy = newSet()
  for (const bytes of whole.all()) t.is(copy.restore(bytes).outcome, 'added')
  t.deepEqual(copy.hash(), whole.hash(), 'what was kept comes back')
})

test('a kept revocation comes back under a clock that lost its battery, a damaged one does not', (t) => {
  const bytes = revoke(laptop)
  const set = newSet()
  t.is(set.add(bytes, 0).outcome, 'refused')
  t.is(set.restore(bytes).outcome, 'added')
  t.is(set.restore(Uint8Array.of(0)).outcome, 'refused')
})

test('what is over is forgotten, and nothing before it is', (t) => {
  const set = newSet()
  set.add(revoke(laptop), NOW)
  set.add(cut(second.signer.publicKey, 0, { now: NOW + DAY_MS }), NOW + DAY_MS)
  t.is(endOfRevocation((set.entries()[1] as Revocation).body), NOW + REVOCATION_KEPT_MS)
  t.deepEqual(set.sweep(NOW + REVOCATION_KEPT_MS - 1), [])
  t.is(set.sweep(NOW + REVOCATION_KEPT_MS).length, 1)
  t.is(set.sweep(NOW + REVOCATION_KEPT_MS + DAY_MS).length, 1)
  t.deepEqual(set.hash(), new Uint8Array(8))
  t.is(believed(set, credentials, laptop), 'believed')
})

test('a full set takes no more until something ends, and an authority that filled it can be cut', (t) => {
  const set = new RevocationSet({ root: mesh.root, verify: () => true })
  const key = (n: number) => {
    const bytes = new Uint8Array(32)
    new DataView(bytes.buffer).setUint32(0, n)
    return bytes
  }
  // Signatures are not checked here, and 4,096 of them take a second to make.
  const sample = revocationFormat.decode(revoke(laptop, {}, second))
  const body = revocationBodyFormat.decode(sample.body)
  const quick = (n: number, now = NOW) =>
    revocationFormat.encode({
      ...sample,
      body: revocationBodyFormat.encode({ ...body, key: key(n), issuedAt: now }),
    })
  for (let n = 0; n < MEMBER_REVOCATIONS_MAX; n++) t.is(outcome(set, quick(n)), 'added')
  t.is(outcome(set, quick(0)), 'known')
  const hash = set.hash()
  t.is(outcome(set, quick(MEMBER_REVOCATIONS_MAX)), 'full')
  t.deepEqual(set.hash(), hash, 'nothing was forgotten for it')
  t.is(outcome(set, cut(second.signer.publicKey, 0)), 'added')
  t.is(set.size, 1)
  t.is(outcome(set, revoke(laptop)), 'added', 'there is room again')

  for (let n = 1; n < AUTHORITY_REVOCATIONS_MAX; n++) t.is(outcome(set, cut(key(n), 0)), 'added')
  t.is(outcome(set, cut(key(0), 0)), 'full')
  const later = NOW + REVOCATION_KEPT_MS
  t.is(outcome(set, cut(key(0), 0, { now: later }), later), 'added', 'what ended made room')
})
