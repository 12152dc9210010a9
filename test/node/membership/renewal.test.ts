import { noise } from '@chainsafe/libp2p-noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import test from 'ava'
import { createLibp2p, type Libp2p } from 'libp2p'
import type { EventInput, Timers } from '../../../protocols/common/ports.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { checkCredentials, issueMember } from '../../../protocols/admission/certificates.ts'
import { AdmissionError } from '../../../protocols/admission/errors.ts'
import { AUTHORITY_LIFETIME_MS, GRACE_MS, MEMBER_LIFETIME_MS } from '../../../protocols/admission/limits.ts'
import { Issuer } from '../../../node/membership/issuer.ts'
import { Renewal } from '../../../node/membership/renewal.ts'
import { OwnCertificate, type OwnCertificateInit } from '../../../node/membership/own-certificate.ts'
import { testMesh } from '../../protocols/membership/world.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'

const NOW = 1_800_000_000_000
const DAY_MS = 86_400_000
const timers: Timers = { every: () => () => undefined, after: () => () => undefined }

/** A mesh, an issuer on a clock that can be moved, and a member "nas" of it. */
async function makeMesh() {
  const mesh = testMesh('renewal', NOW)
  const state = { now: NOW }
  const clock = { now: () => state.now }
  const events: EventInput[] = []
  const emit = (event: EventInput): void => void events.push(event)
  const issuer = await Issuer.open({
    root: mesh.root,
    signer: mesh.authoritySigner,
    authorityCertificate: mesh.authority,
    store: memoryStore(),
    clock,
    random: mesh.random,
    emit,
    nameTaken: () => false,
    bootstrap: () => [],
    isRevoked: () => false,
  })
  const signer = ed25519Signer(mesh.random.bytes(32))
  const own = (change: Partial<OwnCertificateInit> = {}): OwnCertificate =>
    new OwnCertificate({
      root: mesh.root,
      selfKey: signer.publicKey,
      credentials: mesh.admit(signer.publicKey, 'nas'),
      clock,
      timers,
      emit,
      issue: null,
      ask: () => Promise.reject(new AdmissionError('invite-issuer-unreachable', 'nobody there')),
      save: () => Promise.resolve(),
      renewed: () => undefined,
      ...change,
    })
  return { mesh, state, events, issuer, signer, own }
}

test('a member renews from half of its certificate on, on the disk before it shows it, for the same name', async (t) => {
  const { state, issuer, own } = await makeMesh()
  const order: string[] = []
  const member = own({
    ask: () => {
      order.push('ask')
      return Promise.resolve(issuer.renew(member.member))
    },
    save: () => Promise.resolve(void order.push('save')),
    renewed: () => void order.push('renewed'),
  })
  const first = member.credentials
  state.now = NOW + 14 * DAY_MS
  await member.renewIfDue()
  t.deepEqual(order, [])
  state.now = NOW + 15 * DAY_MS
  await member.renewIfDue()
  t.deepEqual(order, ['ask', 'save', 'renewed'])
  t.not(member.credentials, first)
  t.is(member.member.notAfter, state.now + MEMBER_LIFETIME_MS)
  t.is(member.member.name, 'nas')
  await member.renewIfDue()
  t.is(order.length, 3)
})

test('what is not a renewal is not taken, and a failure is reported once in six hours', async (t) => {
  const { mesh, state, events, signer, own } = await makeMesh()
  const other = mesh.admit(signer.publicKey, 'other', NOW + 16 * DAY_MS)
  const answers = [
    () => Promise.reject(new Error('down')),
    () => Promise.resolve(new Uint8Array(3)),
    () => Promise.resolve(mesh.admit(ed25519Signer(mesh.random.bytes(32)).publicKey, 'nas')),
    () => Promise.resolve(other),
  ]
  const member = own({ ask: () => (answers.shift() ?? answers[0] ?? (() => Promise.reject(new Error())))() })
  const before = member.credentials
  state.now = NOW + 16 * DAY_MS
  while (answers.length > 0) await member.renewIfDue()
  t.is(member.credentials, before)
  t.deepEqual(
    events.map(({ kind }) => kind),
    ['certificate.renewal-failed'],
  )
})

test('an authority renews itself, even when it was off for longer than its certificate and the grace', async (t) => {
  const { mesh, state, own } = await makeMesh()
  const signer = mesh.authoritySigner
  state.now = NOW + MEMBER_LIFETIME_MS + GRACE_MS + DAY_MS
  const credentials = mesh.admit(signer.publicKey, 'founder')
  t.throws(() => own({ selfKey: signer.publicKey, credentials }), { code: 'certificate-expired' })
  const founder = own({
    selfKey: signer.publicKey,
    credentials,
    issue: (member) =>
      issueMember({
        meshId: mesh.root.meshId,
        authoritySigner: signer,
        authorityCertificate: mesh.authority,
        subject: member.key,
        name: member.name,
        roles: member.roles,
        tags: member.tags,
        serial: mesh.random.bytes(16),
        nonce: mesh.random.bytes(16),
        now: state.now,
      }),
  })
  await founder.renewIfDue()
  const { root } = mesh
  const checked = checkCredentials({
    root,
    credentials: founder.credentials,
    peerKey: signer.publicKey,
    now: state.now,
    authorityReachable: true,
  })
  t.true(checked.ok)
})

test('an authority whose own year is over says so instead of making certificates nobody believes', async (t) => {
  const { state, events, issuer, own } = await makeMesh()
  const member = own({ issue: (held) => issuer.renew(held) })
  const before = member.credentials
  state.now = NOW + AUTHORITY_LIFETIME_MS + GRACE_MS + DAY_MS
  await member.renewIfDue()
  t.is(member.credentials, before)
  t.is(events.at(-1)?.kind, 'certificate.renewal-failed')
})

test('an authority renews what another one issued, who may be away for good', async (t) => {
  const { mesh, state, issuer, own } = await makeMesh()
  const { member } = own()
  state.now = NOW + DAY_MS
  const checked = checkCredentials({
    root: mesh.root,
    credentials: issuer.renew({ ...member, issuer: new Uint8Array(32) }),
    peerKey: member.key,
    now: state.now,
    authorityReachable: true,
  })
  t.true(checked.ok && checked.member.name === 'nas' && checked.member.notAfter > member.notAfter)
})

test('over a connection a member gets its own certificate anew, and a stranger nothing', async (t) => {
  const { mesh, issuer, own } = await makeMesh()
  const start = (): Promise<Libp2p> =>
    createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    })
  const [server, client, stranger] = await Promise.all([start(), start(), start()])
  const kinds: string[] = []
  const party = (network: Libp2p, issue: ((held: typeof member) => Uint8Array) | null): Renewal =>
    new Renewal({
      network,
      meshId: mesh.root.meshId,
      openStream: async (id, protocol, signal) => {
        const connection = await network.dial(server.getMultiaddrs(), { signal })
        t.true(connection.remotePeer.equals(peerIdFromString(id)))
        return connection.newStream(protocol, { signal })
      },
      proved: (id) => (id === client.peerId.toString() ? member : undefined),
      issue,
      emit: ({ kind }) => void kinds.push(kind),
    })
  const { member } = own()
  const serving = party(server, (held) => issuer.renew(held))
  await serving.start()
  const id = server.peerId.toString()
  const credentials = await party(client, null).ask(id, AbortSignal.timeout(5000))
  const { root } = mesh
  const checked = checkCredentials({
    root,
    credentials,
    peerKey: member.key,
    now: NOW,
    authorityReachable: true,
  })
  t.true(checked.ok && checked.member.name === 'nas')
  await t.throwsAsync(party(stranger, null).ask(id, AbortSignal.timeout(5000)))
  t.deepEqual(kinds.sort(), ['certificate.issued', 'certificate.refused'])
  await serving.stop()
  await Promise.all([server.stop(), client.stop(), stranger.stop()])
})
