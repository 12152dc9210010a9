import test from 'ava'
import fc from 'fast-check'
import { toHex } from '../../../protocols/common/bytes.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import {
  AuthorityCache,
  checkCredentials,
  issueAuthority,
  issueMember,
  type CheckInput,
} from '../../../protocols/admission/certificates.ts'
import { AdmissionError, isAdmissionCode } from '../../../protocols/admission/errors.ts'
import { INVITE_PREFIX, makeInvite, readInvite } from '../../../protocols/admission/invite.ts'
import {
  doorRefusal,
  makeJoinRequest,
  openReply,
  readJoinRequest,
  readJoinRoute,
  sealAnswer,
} from '../../../protocols/admission/join.ts'
import {
  GRACE_MS,
  INVITE_TTL_MAX_MS,
  LEDGER_INVITES_MAX,
  LEDGER_RETENTION_MS,
  MEMBER_LIFETIME_MS,
  VERIFIED_AUTHORITIES_MAX,
} from '../../../protocols/admission/limits.ts'
import {
  restoreLedger,
  step,
  type InviteLedger,
  type InviteRecord,
  type LedgerEffect,
  type Redemption,
} from '../../../protocols/admission/machine.ts'
import { id8Of, readRoot } from '../../../protocols/admission/root.ts'
import { seededRandom, testMesh } from '../membership/world.ts'

const NOW = 1_800_000_000_000
const mesh = testMesh('admission', NOW)
const other = testMesh('another', NOW)
const random = seededRandom('admission test')
const laptop = ed25519Signer(random.bytes(32))
const credentials = mesh.admit(laptop.publicKey, 'laptop')

const check = (change: Partial<CheckInput>) =>
  checkCredentials({
    root: mesh.root,
    credentials,
    peerKey: laptop.publicKey,
    now: NOW + 1,
    authorityReachable: true,
    ...change,
  })

test('a member certificate says who its holder is', (t) => {
  const checked = check({})
  t.true(checked.ok && checked.warning === null)
  if (!checked.ok) return
  t.is(checked.member.name, 'laptop')
  t.deepEqual(checked.member.roles, ['relay'])
  t.true(checked.member.id.startsWith('12D3KooW'))
  t.is(checked.member.notAfter, NOW + MEMBER_LIFETIME_MS)
  t.is(id8Of(mesh.root.meshId), toHex(mesh.root.meshId).slice(0, 8))
})

function credentialsWith(
  roles: Parameters<typeof issueAuthority>[0]['roles'],
  change: Partial<Parameters<typeof issueMember>[0]> = {},
) {
  const signer = ed25519Signer(random.bytes(32))
  const authority = issueAuthority({
    root: mesh.root,
    rootSigner: mesh.rootSigner,
    subject: signer.publicKey,
    roles,
    x509Intermediate: null,
    serial: random.bytes(16),
    now: NOW,
  })
  return issueMember({
    meshId: mesh.root.meshId,
    authoritySigner: signer,
    authorityCertificate: authority,
    subject: laptop.publicKey,
    name: 'laptop',
    roles: [],
    tags: [],
    serial: random.bytes(16),
    nonce: random.bytes(16),
    now: NOW,
    ...change,
  })
}

const END = NOW + MEMBER_LIFETIME_MS
const refusals: [title: string, change: Partial<CheckInput>, code: string][] = [
  ['of nonsense', { credentials: Uint8Array.of(1, 2, 3) }, 'certificate-malformed'],
  [
    'of another mesh',
    { credentials: other.admit(laptop.publicKey, 'laptop') },
    'certificate-authority-unknown',
  ],
  [
    'checked in a mesh with the same root key but another document',
    { root: { ...mesh.root, meshId: other.root.meshId } },
    'certificate-signature-invalid',
  ],
  ['of another key', { peerKey: mesh.authoritySigner.publicKey }, 'certificate-wrong-key'],
  [
    'by an authority that may not admit',
    { credentials: credentialsWith(['dns', 'revoke']) },
    'certificate-role-missing',
  ],
  [
    'beside the wrong authority',
    { credentials: credentialsWith(['admit'], { authoritySigner: laptop }) },
    'certificate-issuer-mismatch',
  ],
  [
    'begun before its authority',
    { credentials: credentialsWith(['admit'], { now: NOW - 1 }) },
    'certificate-outlives-authority',
  ],
  ['of the future', { now: NOW - 6 * 60_000 }, 'certificate-not-yet-valid'],
  ['expired, authority there', { now: END + 1 }, 'certificate-expired'],
  ['expired beyond grace', { now: END + GRACE_MS + 1, authorityReachable: false }, 'certificate-expired'],
  [
    'revoked',
    { revoked: ({ key }) => key.every((byte, i) => byte === laptop.publicKey[i]) },
    'certificate-revoked',
  ],
]
for (const [title, change, code] of refusals) {
  test(`credentials ${title} are refused: ${code}`, (t) => {
    const checked = check(change)
    t.is(checked.ok ? 'accepted' : checked.code, code)
  })
}

test('an expired certificate passes with a warning while no authority can be reached', (t) => {
  const checked = check({ now: END + GRACE_MS - 1, authorityReachable: false })
  t.true(checked.ok && checked.warning === 'certificate-expired-grace')
})

test('credentials altered in any byte are refused', (t) => {
  for (let i = 0; i < credentials.length; i++) {
    const bytes = credentials.slice()
    bytes[i] = (bytes[i] as number) ^ 0x20
    t.false(check({ credentials: bytes }).ok, `byte ${i}`)
  }
})

test('an authority certificate is verified once, and the cache stays bounded', (t) => {
  const cache = new AuthorityCache()
  let verified = 0
  const verify = () => (verified++, true)
  check({ cache, verify })
  check({ cache, verify })
  t.is(verified, 3, 'authority once, member twice')
  const again = () => (verified++, true)
  for (let i = 0; i < VERIFIED_AUTHORITIES_MAX; i++) cache.verified(mesh.root.meshId, Uint8Array.of(i), again)
  check({ cache, verify })
  t.is(verified, 3 + VERIFIED_AUTHORITIES_MAX + 2, 'the oldest was forgotten')
  t.false(cache.verified(mesh.root.meshId, Uint8Array.of(1, 1), () => false))
})

test('a root document that is not the one asked for is refused', (t) => {
  t.is(
    t.throws(() => readRoot(other.root.bytes, mesh.root.meshId), { instanceOf: AdmissionError }).code,
    'root-mismatch',
  )
})

const makeTestInvite = (change: Partial<Parameters<typeof makeInvite>[0]> = {}) =>
  makeInvite({
    issuerSigner: mesh.authoritySigner,
    seed: random.bytes(32),
    meshId: mesh.root.meshId,
    meshName: 'home',
    inviteId: random.bytes(16),
    bootstrap: [],
    reach: 'lan',
    name: null,
    roles: ['relay', 'dns'],
    tags: ['web', 'a'],
    uses: 1,
    expires: NOW + 3_600_000,
    ...change,
  })

test('an invite read back says what its issuer said', (t) => {
  const { text, invite } = makeTestInvite()
  t.deepEqual(readInvite(`  ${text}\n`, NOW), invite)
  t.deepEqual(invite.body.roles, ['dns', 'relay'])
  const code = (text: string, now = NOW) =>
    t.throws(() => readInvite(text, now), { instanceOf: AdmissionError }).code
  t.is(code(text, NOW + 3_600_000), 'invite-expired')
  t.is(code('https://example.com'), 'invite-malformed')
  t.is(code(INVITE_PREFIX), 'invite-malformed')
  t.is(code(`${text}!`), 'invite-malformed')
  t.is(code(text + 'A'.repeat(3_000)), 'invite-malformed')
})

test('an invite altered in any byte is refused', (t) => {
  const bytes = Buffer.from(makeTestInvite().text.slice(INVITE_PREFIX.length), 'base64url')
  for (let i = 0; i < bytes.length; i++) {
    const altered = Buffer.from(bytes)
    altered[i] = (altered[i] as number) ^ 1
    const error = t.throws(() => readInvite(INVITE_PREFIX + altered.toString('base64url'), NOW), {
      instanceOf: AdmissionError,
    })
    t.true(['invite-malformed', 'invite-tampered'].includes(error.code), `byte ${i}: ${error.code}`)
  }
})

function exchange() {
  const { invite } = makeTestInvite()
  const pending = makeJoinRequest({
    invite,
    joiner: laptop,
    name: 'laptop',
    replyPrivateKey: random.bytes(32),
    now: NOW,
  })
  const request = readJoinRequest(pending.bytes, mesh.root.meshId)
  const answer = {
    outcome: 'accepted' as const,
    root: mesh.root.bytes,
    credentials,
    bootstrap: ['/ip4/192.0.2.1/tcp/1'],
  }
  const seal = (change: Partial<Parameters<typeof sealAnswer>[0]> = {}) =>
    sealAnswer({
      request,
      meshId: mesh.root.meshId,
      issuer: mesh.authoritySigner,
      answer,
      ephemeral: random.bytes(32),
      now: NOW + 5,
      ...change,
    })
  return { invite, pending, request, answer, seal }
}

test('the joiner opens the reply of its issuer', (t) => {
  const { pending, request, seal } = exchange()
  const outcome = openReply(pending, seal())
  t.is(outcome.outcome, 'accepted')
  if (outcome.outcome !== 'accepted') return
  t.is(outcome.member.name, 'laptop')
  t.is(outcome.issuerTime, NOW + 5)
  t.deepEqual(outcome.root.bytes, mesh.root.bytes)
  const refused = openReply(
    pending,
    seal({ answer: { outcome: 'refused', code: 'invite-used-up', text: 'all taken' } }),
  )
  t.like(refused, { outcome: 'refused', by: 'issuer', code: 'invite-used-up', text: 'all taken' })
  t.like(openReply(pending, doorRefusal('door-busy', 'later')), {
    outcome: 'refused',
    by: 'door',
    code: 'door-busy',
  })
  t.deepEqual(readJoinRoute(pending.bytes), {
    issuer: mesh.authoritySigner.publicKey,
    joiner: laptop.publicKey,
  })
  t.true(request.signedBy(pending.invite.body.oneTimeKey))
})

test('a door cannot forge, alter, swap or read the reply', (t) => {
  const { pending, answer, seal } = exchange()
  const code = (bytes: Uint8Array) =>
    t.throws(() => openReply(pending, bytes), { instanceOf: AdmissionError }).code
  t.is(code(seal({ issuer: other.authoritySigner })), 'join-reply-invalid', 'sealed by another')
  t.is(code(seal({ meshId: other.root.meshId })), 'join-reply-invalid', 'of another mesh')
  t.is(code(exchange().seal()), 'join-reply-invalid', 'to another request')
  t.is(code(seal({ answer: { ...answer, root: other.root.bytes } })), 'root-mismatch')
  t.is(
    code(seal({ answer: { ...answer, credentials: mesh.admit(mesh.authoritySigner.publicKey, 'x') } })),
    'certificate-wrong-key',
  )
  t.is(
    code(seal({ answer: { ...answer, credentials: credentialsWith(['admit']) } })),
    'join-reply-invalid',
    'another issuer than the invite',
  )
  const sealed = seal()
  t.false(
    Buffer.from(sealed).includes(Buffer.from(credentials.subarray(0, 32))),
    'the door sees no certificate',
  )
  for (let i = 0; i < sealed.length; i += 7) {
    const altered = sealed.slice()
    altered[i] = (altered[i] as number) ^ 1
    t.is(code(altered), 'join-reply-invalid', `byte ${i}`)
  }
})

test('a request of another mesh, or not signed by its joiner, is malformed', (t) => {
  const { pending } = exchange()
  t.throws(() => readJoinRequest(pending.bytes, other.root.meshId), { code: 'malformed' })
  for (let i = 0; i < pending.bytes.length - 64 - 66; i++) {
    const altered = pending.bytes.slice()
    altered[i] = (altered[i] as number) ^ 1
    t.throws(() => readJoinRequest(altered, mesh.root.meshId), { code: 'malformed' }, `byte ${i}`)
  }
})

const inviteRecord = (change: Partial<InviteRecord> = {}): InviteRecord => ({
  inviteId: random.bytes(16),
  oneTimeKey: random.bytes(32),
  name: null,
  roles: [],
  tags: [],
  uses: 1,
  expires: NOW + 60_000,
  ...change,
})
const newLedger = () => restoreLedger([], [])
const joinerKey = (n: number) => new Uint8Array(32).fill(n)
function redeem(
  ledger: InviteLedger,
  record: InviteRecord,
  joiner: Uint8Array,
  change: { name?: string; time?: number; now?: number; signed?: boolean; taken?: boolean } = {},
): LedgerEffect[] {
  const now = change.now ?? NOW
  return step(
    ledger,
    {
      type: 'redeem',
      inviteId: record.inviteId,
      joiner,
      name: change.name ?? `n${joiner[0]}`,
      time: change.time ?? now,
      signedBy: () => change.signed ?? true,
      nameTaken: () => change.taken ?? false,
      serial: random.bytes(16),
      nonce: random.bytes(16),
    },
    now,
  )
}
const codeOf = (effects: LedgerEffect[]): string => {
  const last = effects.at(-1)
  return last?.type === 'refuse' ? last.code : (last?.type ?? 'nothing')
}

test('every reason to refuse a join has its case', (t) => {
  const ledger = newLedger()
  const record = inviteRecord({ uses: 2 })
  const named = inviteRecord({ name: 'nas' })
  for (const each of [record, named])
    t.is(codeOf(step(ledger, { type: 'create', record: each }, NOW)), 'created')
  const cases: [LedgerEffect[], string][] = [
    [redeem(ledger, inviteRecord(), joinerKey(1)), 'invite-unknown'],
    [redeem(ledger, record, joinerKey(1), { signed: false }), 'invite-tampered'],
    [redeem(ledger, record, joinerKey(1), { time: NOW + 120_001 }), 'clock-skew'],
    [redeem(ledger, record, joinerKey(1), { time: NOW - 86_400_000 }), 'clock-skew'],
    [redeem(ledger, record, joinerKey(1), { time: 0 }), 'clock-skew'],
    [redeem(ledger, record, joinerKey(1), { now: NOW + 60_000 }), 'invite-expired'],
    [redeem(ledger, named, joinerKey(1)), 'name-not-allowed'],
    [redeem(ledger, record, joinerKey(1), { taken: true }), 'node-name-taken'],
    [redeem(ledger, record, joinerKey(1)), 'admit'],
    [redeem(ledger, record, joinerKey(2), { name: 'n1' }), 'node-name-taken'],
    [redeem(ledger, record, joinerKey(2)), 'admit'],
    [redeem(ledger, record, joinerKey(3)), 'invite-used-up'],
    [redeem(ledger, named, joinerKey(3), { name: 'nas' }), 'admit'],
  ]
  for (const [effects, code] of cases) {
    t.is(codeOf(effects), code)
    if (code !== 'admit') t.true(isAdmissionCode(code))
  }
})

test('contradicting invites are refused, and the book is bounded', (t) => {
  const ledger = newLedger()
  const create = (change: Partial<InviteRecord>) =>
    codeOf(step(ledger, { type: 'create', record: inviteRecord(change) }, NOW))
  t.is(create({ uses: 2, name: 'nas' }), 'invite-invalid')
  t.is(create({ uses: 0 }), 'invite-invalid')
  t.is(create({ expires: NOW }), 'invite-invalid')
  t.is(create({ expires: NOW + INVITE_TTL_MAX_MS + 1 }), 'invite-invalid')
  for (let i = 0; i < LEDGER_INVITES_MAX; i++) t.is(create({}), 'created')
  t.is(create({}), 'invite-limit')
  const later = NOW + 60_000 + LEDGER_RETENTION_MS
  t.is(
    codeOf(step(ledger, { type: 'create', record: inviteRecord({ expires: later + 1 }) }, later)),
    'created',
    'old ones are forgotten',
  )
  t.is(ledger.invites.size, 1)
})

test('a repeated request gets the same certificate and takes no second use, even after expiry', (t) => {
  const ledger = newLedger()
  const record = inviteRecord()
  step(ledger, { type: 'create', record }, NOW)
  const first = redeem(ledger, record, joinerKey(1)).at(-1)
  const second = redeem(ledger, record, joinerKey(1), { now: NOW + 60_001, name: 'other' }).at(-1)
  t.true(first?.type === 'admit' && second?.type === 'admit' && second.repeated && !first.repeated)
  t.deepEqual(
    (first as { redemption: Redemption }).redemption,
    (second as { redemption: Redemption }).redemption,
  )
  const certificate = (effect: typeof first) => {
    if (effect?.type !== 'admit') throw new Error('not admitted')
    const { serial, nonce, name, issuedAt } = effect.redemption
    return issueMember({
      meshId: mesh.root.meshId,
      authoritySigner: mesh.authoritySigner,
      authorityCertificate: mesh.authority,
      subject: joinerKey(1),
      name,
      roles: [],
      tags: [],
      serial,
      nonce,
      now: issuedAt,
    })
  }
  t.deepEqual(certificate(first), certificate(second))
})

test('any interleaving of joins, repeats and restarts admits exactly as many keys as the invite has uses', (t) => {
  const action = fc.oneof(
    { weight: 8, arbitrary: fc.record({ joiner: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.array(action, { maxLength: 60 }), (uses, actions) => {
      const record = inviteRecord({ uses })
      let ledger = newLedger()
      const disk: Redemption[] = []
      step(ledger, { type: 'create', record }, NOW)
      const admitted = new Set<string>()
      const asked = new Set<number>()
      for (const each of actions) {
        if (each === 'restart') {
          ledger = restoreLedger([record], disk)
          continue
        }
        asked.add(each.joiner)
        for (const effect of redeem(ledger, record, joinerKey(each.joiner))) {
          if (effect.type === 'persist-redemption') disk.push(effect.redemption)
          if (effect.type === 'admit') admitted.add(toHex(effect.redemption.joiner))
        }
      }
      t.is(admitted.size, Math.min(uses, asked.size))
      t.is(disk.length, admitted.size)
    }),
  )
})
