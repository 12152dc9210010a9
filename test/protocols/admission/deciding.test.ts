import test from 'ava'
import fc from 'fast-check'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import {
  readRequest,
  readResult,
  signAct,
  writeRequest,
  writeResult,
} from '../../../protocols/admission/ceremony.ts'
import { verifyAuthority } from '../../../protocols/admission/certificates.ts'
import { AdmissionError } from '../../../protocols/admission/errors.ts'
import { INVITE_PREFIX, readInvite } from '../../../protocols/admission/invite.ts'
import {
  MEMBER_LIFETIME_MS,
  PENDING_JOINS_MAX,
  PENDING_KEPT_MS,
} from '../../../protocols/admission/limits.ts'
import {
  restoreLedger,
  step,
  waitingJoins,
  type InviteRecord,
  type LedgerEffect,
} from '../../../protocols/admission/machine.ts'
import {
  acceptPeerInvite,
  makePeerInvite,
  meshIdOfInvite,
  readPeerInvite,
} from '../../../protocols/admission/peer-invite.ts'
import { RevocationSet } from '../../../protocols/admission/revocation.ts'
import * as wire from '../../../protocols/admission/wire.ts'
import { seededRandom, testMesh } from '../membership/world.ts'
import { bytesOf, count, golden, label, obeys, setOf, tag } from './format-laws.ts'

const NOW = 1_800_000_000_000
const mesh = testMesh('admission', NOW)
const other = testMesh('another', NOW)
const random = seededRandom('deciding test')
const laptop = ed25519Signer(random.bytes(32)).publicKey
const hex = golden('admission')

test('invites for one peer, requests for the root key and gated records keep their bytes', (t) => {
  const one = fc.constant(1 as const)
  const blob = fc.uint8Array({ maxLength: 200 })
  const body = fc.record({
    version: one,
    root: blob,
    credentials: blob,
    bootstrap: fc.array(fc.constantFrom('/ip4/192.0.2.1/tcp/1', '/dns4/a/tcp/2'), { maxLength: 8 }),
    reach: fc.constantFrom('internet' as const, 'lan' as const, 'unknown' as const),
  })
  obeys(t, wire.peerInviteBodyFormat, body, hex['peerInviteBody'])
  obeys(t, wire.peerInviteFormat, fc.record({ body: blob, signature: bytesOf(64) }), hex['peerInvite'])
  const common = { version: one, root: blob, key: bytesOf(32), name: label }
  const roles = setOf(fc.constantFrom(...wire.authorityRoleSchema.options), 5)
  const request = fc.oneof(
    fc.record({ act: fc.constant('add' as const), ...common, roles }),
    fc.record({ act: fc.constant('retire' as const), ...common, from: count, reason: tag }),
  )
  obeys(t, wire.ceremonyRequestFormat, request, hex['addRequest'])
  obeys(t, wire.ceremonyRequestFormat, request, hex['retireRequest'])
  const result = fc.record({ act: fc.constantFrom('add' as const, 'retire' as const), bytes: blob })
  obeys(t, wire.ceremonyResultFormat, result, hex['ceremonyResult'])
  const record = fc.record({
    inviteId: bytesOf(16),
    oneTimeKey: bytesOf(32),
    name: fc.option(label),
    roles: setOf(fc.constantFrom(...wire.memberRoleSchema.options), 5),
    tags: setOf(tag, 4),
    uses: fc.integer({ min: 1, max: 9 }),
    expires: count,
    approve: fc.constant(true as const),
  })
  obeys(t, wire.inviteRecordFormat, record, hex['approvedInviteRecord'])
})

const gated = (change: Partial<InviteRecord> = {}): InviteRecord => ({
  inviteId: random.bytes(16),
  oneTimeKey: random.bytes(32),
  name: null,
  roles: [],
  tags: [],
  uses: 1,
  expires: NOW + 3_600_000,
  approve: true,
  ...change,
})
const key = (n: number) => new Uint8Array(32).fill(n)
function book(record: InviteRecord) {
  const ledger = restoreLedger([record], [])
  const ids = () => ({ serial: random.bytes(16), nonce: random.bytes(16) })
  const last = (effects: LedgerEffect[]): string => {
    const effect = effects.at(-1)
    return effect?.type === 'refuse' ? effect.code : (effect?.type ?? 'nothing')
  }
  return {
    ledger,
    ask: (joiner: Uint8Array, now = NOW, name = `n${joiner[0]}`, taken = false) =>
      step(
        ledger,
        {
          type: 'redeem',
          inviteId: record.inviteId,
          joiner,
          name,
          time: now,
          signedBy: () => true,
          nameTaken: () => taken,
          ...ids(),
        },
        now,
      ),
    approve: (joiner: Uint8Array, now = NOW, taken = false) =>
      last(step(ledger, { type: 'approve', joiner, nameTaken: () => taken, ...ids() }, now)),
    deny: (joiner: Uint8Array, now = NOW) => last(step(ledger, { type: 'deny', joiner }, now)),
    last,
  }
}

test('a gated invite gives no use before a person said so, and exactly its uses after', (t) => {
  const { ledger, ask, approve, last } = book(gated())
  t.deepEqual(
    ask(key(1)).map(({ type }) => type),
    ['pending', 'refuse'],
    'told once',
  )
  t.deepEqual(
    ask(key(1), NOW + 3_000).map(({ type }) => type),
    ['refuse'],
  )
  t.is(last(ask(key(2))), 'join-pending')
  t.deepEqual(
    waitingJoins(ledger, NOW).map(({ name, askedAt }) => [name, askedAt]),
    [
      ['n1', NOW],
      ['n2', NOW],
    ],
  )
  t.is(approve(key(3)), 'join-not-pending')
  t.is(approve(key(1), NOW, true), 'node-name-taken')
  t.is(approve(key(1)), 'admit')
  t.is(last(ask(key(1))), 'admit', 'its next question brings the certificate')
  t.is(approve(key(2)), 'invite-used-up')
  t.is(approve(key(1)), 'join-not-pending', 'it waits no more')
})

test('who is denied is told so, who stops asking is forgotten, and the waiting room is bounded', (t) => {
  const { ledger, ask, approve, deny, last } = book(gated({ uses: 1000 }))
  t.is(deny(key(1)), 'join-not-pending')
  ask(key(1))
  t.is(deny(key(1)), 'denied')
  t.is(last(ask(key(1))), 'join-denied')
  t.deepEqual(waitingJoins(ledger, NOW), [])
  for (let n = 2; n <= PENDING_JOINS_MAX; n++) t.is(last(ask(key(n))), 'join-pending')
  t.is(last(ask(key(200))), 'approval-limit')
  t.is(last(ask(key(2))), 'join-pending', 'who waits already goes on waiting')
  const later = NOW + PENDING_KEPT_MS
  t.is(last(ask(key(200), later)), 'join-pending')
  t.is(ledger.pending.size, 1)
  t.is(approve(key(2), later), 'join-not-pending')
})

test('an invite for one peer is taken by that peer, whole, in its time', (t) => {
  const credentials = mesh.admit(laptop, 'laptop')
  const make = (bootstrap: readonly string[], issuerSigner = mesh.authoritySigner) =>
    makePeerInvite({ root: mesh.root, issuerSigner, credentials, bootstrap, reach: 'lan' })
  const { text, expires } = make(['/ip4/192.0.2.1/tcp/1'])
  t.is(expires, NOW + MEMBER_LIFETIME_MS)
  const invite = readPeerInvite(text)
  if (invite === null) return t.fail('not read')
  t.is(acceptPeerInvite(invite, laptop, NOW).name, 'laptop')
  t.deepEqual(meshIdOfInvite(text, NOW), mesh.root.meshId)
  const code = (run: () => unknown) => t.throws(run, { instanceOf: AdmissionError }).code
  t.is(
    code(() => acceptPeerInvite(invite, key(1), NOW)),
    'invite-wrong-peer',
  )
  t.is(
    code(() => acceptPeerInvite(invite, laptop, expires)),
    'invite-expired',
  )
  t.is(
    code(() => readInvite(text, NOW)),
    'invite-malformed',
    'it is no open invite',
  )
  t.is(
    code(() => readPeerInvite(make(['/a'], other.authoritySigner).text)),
    'invite-tampered',
  )
  const long = Array.from({ length: 8 }, (_, i) => `/dns4/${'x'.repeat(240)}/tcp/${i}`)
  const fewer = readPeerInvite(make(long).text)
  t.true(fewer !== null && fewer.bootstrap.length > 0 && fewer.bootstrap.length < 8, 'addresses make room')
  t.is(
    code(() => make([])),
    'invite-invalid',
  )
  const bytes = Buffer.from(text.slice(INVITE_PREFIX.length), 'base64url')
  for (let i = 0; i < bytes.length; i += 3) {
    const altered = Buffer.from(bytes)
    altered[i] = (altered[i] as number) ^ 1
    const garbled = INVITE_PREFIX + altered.toString('base64url')
    t.throws(
      () => readPeerInvite(garbled) ?? readInvite(garbled, NOW),
      { instanceOf: AdmissionError },
      `byte ${i}`,
    )
  }
  return undefined
})

test('an act of the root key goes to the key as a file and comes back signed', (t) => {
  const add = { act: 'add' as const, key: laptop, name: 'laptop', roles: ['admit' as const] }
  const { root, act } = readRequest(`${writeRequest(mesh.root, add)}\n`)
  t.like(act, add)
  const by = (rootSigner: typeof mesh.rootSigner) =>
    signAct({ root, act, rootSigner, serial: random.bytes(16), now: NOW })
  const signed = readResult(writeResult('add', by(mesh.rootSigner)))
  t.deepEqual(verifyAuthority(mesh.root, signed.bytes)?.subject, laptop)
  t.is(verifyAuthority(other.root, signed.bytes), null)
  t.is(verifyAuthority(mesh.root, Uint8Array.of(1)), null)
  t.throws(() => by(other.rootSigner), { code: 'root-key-wrong' })

  const retire = { act: 'retire' as const, key: laptop, name: 'laptop', from: 0, reason: 'sold' }
  const cut = signAct({ root, act: retire, rootSigner: mesh.rootSigner, serial: key(0), now: NOW })
  t.is(new RevocationSet({ root: mesh.root }).add(cut, NOW).outcome, 'added')
  for (const text of ['', 'kith-root-request:AAAA', writeResult('add', cut)])
    t.throws(() => readRequest(text), { code: 'ceremony-malformed' })
  t.throws(() => readResult(writeRequest(mesh.root, add)), { code: 'ceremony-malformed' })
})
