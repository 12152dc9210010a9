import test from 'ava'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { checkCredentials } from '../../../protocols/admission/certificates.ts'
import { createGatekeeper } from '../../../node/membership/gatekeeper.ts'
import { testMesh } from '../../protocols/membership/world.ts'

const NOW = 1_800_000_000_000
const DAY_MS = 86_400_000

test('over a session that outlives its certificate a member has no rights, until the certificate is renewed', (t) => {
  const mesh = testMesh('gatekeeper', NOW)
  const { root } = mesh
  const signer = ed25519Signer(mesh.random.bytes(32))
  const peerKey = signer.publicKey
  const credentials = mesh.admit(peerKey, 'nas')
  const own = checkCredentials({ root, credentials, peerKey, now: NOW, authorityReachable: true })
  if (!own.ok) throw new Error(own.text)
  const { id } = own.member
  let now = NOW
  let isAuthorityThere = true
  let known: Uint8Array | undefined = credentials
  const gatekeeper = createGatekeeper(
    {
      root,
      clock: { now: () => now },
      emit: () => undefined,
      authorityReachable: () => isAuthorityThere,
      credentialsOf: () => known,
    },
    own.member,
  )
  t.is(gatekeeper.proved(id), undefined)
  t.true(gatekeeper.checkPeer({ key: peerKey, id, credentials }).ok)
  t.is(gatekeeper.proved(id)?.name, 'nas')
  now = NOW + 31 * DAY_MS
  t.is(gatekeeper.proved(id), undefined)
  isAuthorityThere = false
  t.is(gatekeeper.proved(id)?.name, 'nas', 'nobody is there to renew it')
  isAuthorityThere = true
  known = undefined
  t.is(gatekeeper.proved(id), undefined)
  known = mesh.admit(ed25519Signer(mesh.random.bytes(32)).publicKey, 'nas', NOW + 20 * DAY_MS)
  t.is(gatekeeper.proved(id), undefined, 'of another key')
  known = mesh.admit(peerKey, 'nas', NOW + 20 * DAY_MS)
  t.is(gatekeeper.proved(id)?.notAfter, NOW + 50 * DAY_MS)
})
