import test from 'ava'
import { issueAuthority, issueMember } from '../../protocols/admission/certificates.ts'
import { makeRoot } from '../../protocols/admission/root.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import type { Status } from '../../node/api/schemas.ts'
import { createClient } from '../../node/cli/client.ts'
import { startNode } from '../../node/compose.ts'
import { loadConfig } from '../../node/config/load.ts'
import { saveMesh } from '../../node/membership/mesh-store.ts'
import { loadKeyFile } from '../../node/storage/identity.ts'
import { openStore } from '../../node/storage/store.ts'
import { systemRandom } from '../../node/system-ports.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const DAY_MS = 86_400_000
const flags = {
  listen: ['/ip4/127.0.0.1/tcp/0'],
  'ui.port': 0,
  'dns.port': 0,
  'gateway.port': 0,
  'log.level': 'error',
}
const loaded = loadConfig({ file: '/nonexistent', environment: {}, flags })
const start = (data: string, more = {}) => startNode({ data, loaded, isTerminal: false, ...more })

/** A data directory of a plain member that was admitted `ageMs` ago and has been off since. */
async function memberAwayFor(ageMs: number): Promise<string> {
  const data = temporaryFolder()
  const store = await openStore(data)
  const { seed } = await loadKeyFile(data, 'identity.key', true)
  const now = Date.now() - ageMs
  const rootSigner = ed25519Signer(systemRandom.bytes(32))
  const authoritySigner = ed25519Signer(systemRandom.bytes(32))
  const root = makeRoot({ name: 'home', rootKeys: [rootSigner.publicKey], x509Root: new Uint8Array(8), now })
  const authority = issueAuthority({
    root,
    rootSigner,
    subject: authoritySigner.publicKey,
    roles: ['admit'],
    x509Intermediate: null,
    serial: systemRandom.bytes(16),
    now,
  })
  const subject = ed25519Signer(seed).publicKey
  const credentials = issueMember({
    meshId: root.meshId,
    authoritySigner,
    authorityCertificate: authority,
    subject,
    name: 'pc',
    roles: [],
    tags: [],
    serial: systemRandom.bytes(16),
    nonce: systemRandom.bytes(16),
    now,
  })
  await saveMesh(store, { root, credentials, authority: null, bootstrap: [] })
  await store.close()
  return data
}

test('a member that was away for months starts, says why it is in no mesh, and does not found another over it', async (t) => {
  const data = await memberAwayFor(100 * DAY_MS)
  const node = await start(data, { createIfNone: 'other' })
  const client = createClient(data)
  const status = await client.get<Status>('/status')
  t.is(status.state, 'setup')
  t.like(status.warnings[0], { code: 'certificate-expired', severity: 'alert' })
  t.is(
    ((await t.throwsAsync(client.post('/found', { name: 'other' }))) as { code?: string }).code,
    'already-in-mesh',
  )
  await node.stop()
})

test('a member that was away for five weeks is still itself while nobody could renew it', async (t) => {
  const node = await start(await memberAwayFor(35 * DAY_MS))
  t.is(node.ready().mesh?.name, 'home')
  await node.stop()
})

test('a node founds, stops, and goes on in the same mesh under the same names; another mesh is refused', async (t) => {
  const data = temporaryFolder()
  const first = await start(data, { create: 'home' })
  const before = first.ready()
  await first.stop()
  const second = await start(data, { create: 'home' })
  t.is(second.ready().mesh?.id, before.mesh?.id)
  t.is(second.ready().node.id, before.node.id)
  t.is(second.ready().gateway?.label, before.gateway?.label)
  await second.stop()
  t.is(((await t.throwsAsync(start(data, { create: 'work' }))) as { code?: string }).code, 'already-in-mesh')
})
