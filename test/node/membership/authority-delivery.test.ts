import test from 'ava'
import { AuthorityDelivery } from '../../../node/membership/authority-delivery.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { systemClock, systemTimers } from '../../../node/system-ports.ts'
import { issueAuthority } from '../../../protocols/admission/certificates.ts'
import type { EventInput, Signer } from '../../../protocols/common/ports.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { testMesh } from '../../protocols/membership/world.ts'
import { meshNode } from '../transport/mesh.ts'
import { side } from '../../protocols/secure-channel/mesh.ts'

const NOW = Date.now()
const mesh = testMesh('delivery', NOW)
const YEAR_MS = 365 * 86_400_000
const KEPT_BEFORE = 1

/** An authority certificate for `subject`. */
function certificate(subject: Uint8Array, rootSigner: Signer = mesh.rootSigner, now = NOW): Uint8Array {
  return issueAuthority({
    root: mesh.root,
    rootSigner,
    subject,
    roles: ['admit', 'revoke'],
    x509Intermediate: null,
    serial: mesh.random.bytes(16),
    now,
  })
}

const stranger = ed25519Signer(mesh.random.bytes(32))

/** What is brought, how it is made for the receiver's key, whether that key was cut, and the reason it is refused for. */
const REFUSED: readonly (readonly [string, (subject: Uint8Array) => Uint8Array, boolean, string])[] = [
  ['of a root key nobody knows', (of) => certificate(of, stranger), false, 'certificate-authority-unknown'],
  ['for another node', () => certificate(stranger.publicKey), false, 'certificate-wrong-key'],
  ['of an authority that was cut', (of) => certificate(of), true, 'authority-retired'],
  [
    'of a past time',
    (of) => certificate(of, mesh.rootSigner, NOW - 20 * YEAR_MS),
    false,
    'certificate-expired',
  ],
  [
    'of a time to come',
    (of) => certificate(of, mesh.rootSigner, NOW + YEAR_MS),
    false,
    'certificate-not-yet-valid',
  ],
]

test('an authority certificate is brought to its node, once, and says so on both sides', async (t) => {
  const { bring, kept, events } = await scene(t, false)
  t.true(await bring((key) => certificate(key)))
  t.is(kept.length, 1)
  t.deepEqual(
    events.map(({ kind }) => kind),
    ['authority.received', 'authority.delivered'],
  )
})

for (const [what, make, isCut, reason] of REFUSED) {
  test(`a certificate ${what} is refused with its reason, and nothing is kept`, async (t) => {
    const { bring, kept, events } = await scene(t, isCut)
    await bring(make)
    t.is(kept.length, 0)
    t.deepEqual(
      events.filter(({ kind }) => kind === 'authority.refused').map((event) => event.reason),
      [reason],
    )
  })
}

/** Two nodes with the delivery between them; `bring` sends past the sender's own checks. */
async function scene(t: Parameters<typeof meshNode>[0], isCut: boolean) {
  const [from, to] = [side({ meshId: mesh.root.meshId }), side({ meshId: mesh.root.meshId })]
  const [sender, receiver] = await Promise.all([meshNode(t, from), meshNode(t, to)])
  const events: EventInput[] = []
  const kept: Uint8Array[] = []
  const deliveryOf = (own: typeof sender, key: Uint8Array, cut: boolean): AuthorityDelivery =>
    new AuthorityDelivery({
      network: own,
      root: mesh.root,
      selfKey: key,
      openStream: (_, protocol, signal) => own.dialProtocol(receiver.getMultiaddrs(), protocol, { signal }),
      isMember: () => true,
      isCut: () => cut,
      heldUntil: () => KEPT_BEFORE,
      keep: (bytes) => Promise.resolve(void kept.push(bytes)),
      received: () => undefined,
      store: memoryStore(),
      // The sender sends whatever it has: its own clock never makes it give up.
      clock: own === sender ? { now: () => 0 } : systemClock,
      timers: systemTimers,
      emit: (event) => events.push(event),
    })
  const receiverKey = ed25519Signer(to.seed).publicKey
  const [sends, receives] = [
    deliveryOf(sender, ed25519Signer(from.seed).publicKey, false),
    deliveryOf(receiver, receiverKey, isCut),
  ]
  await Promise.all([sends.start(), receives.start()])
  t.teardown(() => Promise.all([sends.stop(), receives.stop()]))
  return { kept, events, bring: (make: (key: Uint8Array) => Uint8Array) => sends.send(make(receiverKey)) }
}
