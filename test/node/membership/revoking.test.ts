import test from 'ava'
import type { EventInput, Timers } from '../../../protocols/common/ports.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { checkCredentials, issueAuthority } from '../../../protocols/admission/certificates.ts'
import { createAuthorityRevocation, createRevocation } from '../../../protocols/admission/revocation.ts'
import {
  askAny,
  authoritiesIn,
  dueWarning,
  renewers,
  watchAuthorities,
} from '../../../node/membership/authorities.ts'
import { createGatekeeper } from '../../../node/membership/gatekeeper.ts'
import { cutConnections, Revocations } from '../../../node/membership/revocations.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { testMesh } from '../../protocols/membership/world.ts'

const NOW = 1_800_000_000_000
const DAY_MS = 86_400_000
const at = (now: number) => ({ now: () => now })

test('a revoked member has no rights, no handshake and no connection, now and after a restart', async (t) => {
  const mesh = testMesh('revoking', NOW)
  const { root } = mesh
  const phone = ed25519Signer(mesh.random.bytes(32)).publicKey
  const credentials = mesh.admit(phone, 'phone')
  const id = peerIdFromKey(phone)
  const store = memoryStore()
  const events: EventInput[] = []
  const due: (() => void)[] = []
  const timers: Timers = {
    every: () => () => undefined,
    after: (_delay, run) => (due.push(run), () => undefined),
  }
  const open = (name?: string) =>
    Revocations.open({
      root,
      store,
      timers,
      emit: (event) => events.push(event),
      nameOf: (peer) => (peer === id ? name : undefined),
    })
  const revocations = await open('phone')
  const own = checkCredentials({ root, credentials, peerKey: phone, now: NOW, authorityReachable: true })
  if (!own.ok) throw new Error(own.text)
  const gatekeeper = createGatekeeper(
    {
      root,
      clock: at(NOW),
      emit: () => undefined,
      authorityReachable: () => true,
      credentialsOf: () => credentials,
      revoked: revocations.set.isRevoked,
    },
    own.member,
  )
  const claim = { key: phone, id, credentials }
  t.true(gatekeeper.checkPeer(claim).ok)
  t.false(gatekeeper.isCut(id))
  const aborted: string[] = []
  const connection = (name: string) => ({
    remotePeer: { toString: () => name },
    abort: () => aborted.push(name),
  })
  const network = { getConnections: () => [connection(id), connection('somebody')] } as never
  revocations.onChange(() => cutConnections(network, gatekeeper))

  const bytes = createRevocation({
    meshId: root.meshId,
    signer: mesh.authoritySigner,
    authorityCertificate: mesh.authority,
    key: phone,
    serial: null,
    reason: 'lost',
    now: NOW,
  })
  t.is(revocations.set.add(bytes, NOW).outcome, 'added')
  t.is(gatekeeper.proved(id), undefined, 'at once')
  t.like(gatekeeper.checkPeer(claim), { ok: false, code: 'certificate-revoked' })
  for (const run of due.splice(0)) run()
  t.deepEqual(aborted, [id])
  t.like(revocations.rows()[0], { id, kind: 'member', name: 'phone', reason: 'lost', at: NOW })
  await revocations.flush()

  await store.put('rev/00', bytes) // membership's part
  await store.put('revoked-name/damaged', Uint8Array.of(1))
  const again = await open()
  t.true(again.set.isKeyRevoked(phone))
  t.like(again.rows()[0], { name: 'phone', reason: 'lost' })
  t.is(await store.get('revoked-name/damaged'), undefined)

  const key = mesh.authoritySigner.publicKey
  const cut = { meshId: root.meshId, rootSigner: mesh.rootSigner, key, from: 0, reason: 'stolen', now: NOW }
  again.set.add(createAuthorityRevocation(cut), NOW)
  t.like(events.at(-1), { kind: 'authority.cut', peer: peerIdFromKey(key) })
})

test('authorities are known by what members show, and warned about 60, 30 and 7 days before they end', (t) => {
  const mesh = testMesh('authorities', NOW)
  const second = ed25519Signer(mesh.random.bytes(32)).publicKey
  const certificate = (lifetimeMs: number) =>
    issueAuthority({
      root: mesh.root,
      rootSigner: mesh.rootSigner,
      subject: second,
      roles: ['admit'],
      x509Intermediate: null,
      serial: mesh.random.bytes(16),
      now: NOW,
      lifetimeMs,
    })
  const founder = peerIdFromKey(mesh.authoritySigner.publicKey)
  const row = { id: founder, state: 'alive', entry: { credentials: mesh.admit(second, 'second') } }
  const membership = { members: () => [row] as never, member: () => row as never }
  const never = () => false
  const known = authoritiesIn(membership, [certificate(90 * DAY_MS), certificate(80 * DAY_MS)], never)
  t.deepEqual(
    known.map(({ id, notAfter }) => [id, (notAfter - NOW) / DAY_MS]),
    [
      [founder, 365],
      [peerIdFromKey(second), 90],
    ],
  )
  t.is(
    authoritiesIn(membership, [certificate(DAY_MS)], (key) => key.every((byte, i) => byte === second[i]))
      .length,
    1,
  )
  t.deepEqual(renewers('issuer', 'self', membership, never), ['issuer', founder])
  t.deepEqual(renewers('issuer', founder, membership, never), ['issuer'])

  t.deepEqual(
    [61, 60, 31, 30, 8, 7, -1].map((days) => dueWarning(NOW + days * DAY_MS, NOW)),
    [null, 60, 60, 30, 30, 7, 7],
  )
  let now = NOW
  let look = (): void => undefined
  const events: EventInput[] = []
  watchAuthorities({
    list: () => known,
    clock: { now: () => now },
    timers: { every: (_ms, run) => ((look = run), () => undefined), after: () => () => undefined },
    emit: (event) => events.push(event),
  })
  for (; now < NOW + 90 * DAY_MS; now += DAY_MS) look()
  t.deepEqual(
    events.map(({ kind, severity, fields }) => [kind, severity, fields?.['days']]),
    [
      ['authority.expires', 'notice', 60],
      ['authority.expires', 'warning', 30],
      ['authority.expires', 'alert', 7],
    ],
  )
})

test('whoever is asked for a certificate and fails, the next one is asked', async (t) => {
  const ask = (id: string): Promise<string> =>
    id === 'b' ? Promise.resolve('fresh') : Promise.reject(new Error(`${id} is away`))
  t.is(await askAny(['a', 'b', 'c'], ask), 'fresh')
  await t.throwsAsync(askAny(['a', 'c'], ask), { message: 'c is away' })
  await t.throwsAsync(askAny([], ask), { code: 'invite-issuer-unreachable' })
})
