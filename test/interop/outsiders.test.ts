import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { multiaddr } from '@multiformats/multiaddr'
import type { Invite, LogEvent, Peer } from '../../node/api/schemas.ts'
import { ROOT_KEY_FILE } from '../../node/membership/founding.ts'
import { loadMesh, saveCredentials, type StoredMesh } from '../../node/membership/mesh-store.ts'
import { loadKeyFile } from '../../node/storage/identity.ts'
import { openStore } from '../../node/storage/store.ts'
import { issueAuthority, issueMember } from '../../protocols/admission/certificates.ts'
import { makeRoot } from '../../protocols/admission/root.ts'
import { peerIdFromKey } from '../../protocols/common/peer-id.ts'
import type { Signer } from '../../protocols/common/ports.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import { meshNode } from '../node/transport/mesh.ts'
import { side } from '../protocols/secure-channel/mesh.ts'
import { Lab, until, LabNode } from './lab.ts'

/*
 * Certificates that are no good, before a real member: one that its bearer made up, one that ended, one of another mesh. Each is
 * shown twice: by a program that does not check itself, and by a real node that finds it on its own disk.
 */

const DAY_MS = 86_400_000
const PORTS = ['--no-ui', '--dns', '0', '--gateway-port', '0', '--no-mdns']

interface Forger {
  readonly mesh: StoredMesh
  readonly root: Signer
  readonly founder: Signer
  readonly bearer: Signer
}

/** Credentials of `bearer` signed by an authority that `rootSigner` made. */
function issued(
  { mesh, bearer }: Forger,
  by: { rootSigner: Signer; authority: Signer; root?: StoredMesh['root']; now?: number },
): Uint8Array {
  const now = by.now ?? Date.now()
  const root = by.root ?? mesh.root
  const authorityCertificate = issueAuthority({
    root,
    rootSigner: by.rootSigner,
    subject: by.authority.publicKey,
    roles: ['admit'],
    x509Intermediate: null,
    serial: new Uint8Array(16).fill(7),
    now,
  })
  return issueMember({
    meshId: root.meshId,
    authoritySigner: by.authority,
    authorityCertificate,
    subject: bearer.publicKey,
    name: 'mallory',
    roles: ['relay'],
    tags: [],
    serial: new Uint8Array(16).fill(9),
    nonce: new Uint8Array(16).fill(3),
    now,
  })
}

/** What is presented, how it is made, and the reason the member must give. */
const CASES: readonly (readonly [string, (forger: Forger) => Uint8Array, RegExp])[] = [
  [
    'a forged certificate',
    (forger) => issued(forger, { rootSigner: forger.bearer, authority: forger.bearer }),
    /^certificate-(authority-unknown|signature-invalid)$/,
  ],
  [
    'a certificate of another mesh',
    (forger) => {
      const rootKeys = [forger.bearer.publicKey]
      const x509Root = Uint8Array.of(0x30, 0)
      const root = makeRoot({ name: 'elsewhere', rootKeys, x509Root, now: Date.now() })
      return issued(forger, { rootSigner: forger.bearer, authority: forger.bearer, root })
    },
    /^certificate-(authority-unknown|signature-invalid)$/,
  ],
  [
    'an expired certificate',
    // By the real root and the real authority, sixty days ago.
    (forger) =>
      issued(forger, {
        rootSigner: forger.root,
        authority: forger.founder,
        now: Date.now() - 60 * DAY_MS,
      }),
    /^certificate-expired$/,
  ],
]

let lab: Lab
let founder: LabNode
let mallory: LabNode
let founderListen: string
let mesh: StoredMesh
let founderSigner: Signer
let rootSigner: Signer

test.before(async (t) => {
  t.timeout(60_000)
  lab = new Lab()
  founder = new LabNode(lab, 'founder')
  mallory = new LabNode(lab, 'mallory')
  founderListen = `/ip4/127.0.0.1/tcp/${await freePort()}`
  await founder.up('--create', 'home', '--name', 'founder', '--listen', founderListen, ...PORTS)
  const { invite } = await founder.json<Invite>('invite')
  await mallory.up('--join', invite, '--name', 'mallory', '--listen', '/ip4/127.0.0.1/tcp/0', ...PORTS)
  await founder.untilAlive(1)
  await mallory.stop()
  await founder.stop()
  const store = await openStore(founder.data)
  const loaded = await loadMesh(store)
  await store.close()
  if (loaded === null) throw new Error('the founder is in no mesh')
  mesh = loaded
  founderSigner = ed25519Signer((await loadKeyFile(founder.data, 'identity.key', false)).seed)
  rootSigner = ed25519Signer(readFileSync(join(founder.data, ROOT_KEY_FILE)))
  await founder.up('--listen', founderListen, ...PORTS)
})
test.afterEach.always((t) => {
  if (!t.passed)
    for (const node of [founder, mallory]) t.log(`log of ${node.name}:\n${node.log().slice(-1200)}`)
})
test.after.always(async () => {
  await lab?.close()
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

const failures = async (node: LabNode, peer: string): Promise<LogEvent[]> =>
  (await node.client.get<LogEvent[]>('/events?kind=handshake.failed')).filter((event) => event.peer === peer)

for (const [what, make, reason] of CASES) {
  test.serial(`${what} gets a program nowhere, and both sides say why`, async (t) => {
    const visitor = side({ meshId: mesh.root.meshId })
    const bearer = ed25519Signer(visitor.seed)
    const credentials = make({ mesh, root: rootSigner, founder: founderSigner, bearer })
    const init = { ...visitor.init, credentials: () => credentials }
    const node = await meshNode(t, { ...visitor, init })
    const address = multiaddr(`${founderListen}/p2p/${peerIdFromKey(founderSigner.publicKey)}`)
    await t.throwsAsync(node.dial(address))
    const id = peerIdFromKey(bearer.publicKey)
    const seen = await until('the founder to log it', async () => (await failures(founder, id))[0])
    t.regex(seen.reason ?? '', reason)
    t.true(seen.severity === 'warning' || seen.severity === 'alert')
    const own = visitor.events.filter(({ kind }) => kind === 'handshake.failed')
    t.true(own.length > 0, 'its own side knows that it was refused')
    t.log(`${what}: ${seen.reason} at the member, ${own.map((event) => event.reason).join()} at the visitor`)
    t.deepEqual(
      (await founder.client.get<Peer[]>('/peers')).map(({ name }) => name),
      ['mallory'],
      'as before',
    )
    t.is((await founder.status()).peers.alive, 0)
  })
}

for (const [what, make, reason] of CASES) {
  test.serial(`a node that finds ${what} on its own disk says so, and stays out`, async (t) => {
    const { seed } = await loadKeyFile(mallory.data, 'identity.key', false)
    const bearer = ed25519Signer(seed)
    const store = await openStore(mallory.data)
    await saveCredentials(store, make({ mesh, root: rootSigner, founder: founderSigner, bearer }))
    await store.close()
    const before = (await failures(founder, peerIdFromKey(bearer.publicKey))).length
    try {
      await mallory.up('--listen', '/ip4/127.0.0.1/tcp/0', ...PORTS)
    } catch (error) {
      const [, code] = /\[([a-z-]+)\]/.exec((error as Error).message) ?? []
      t.regex(code ?? '', reason)
      t.log(`${what} on its own disk: refuses to start, ${code}`)
      return
    }
    const warning = await until('a warning', async () =>
      (await mallory.status()).warnings.find(({ code }) => reason.test(code)),
    )
    t.log(`${what} on its own disk: starts in ${(await mallory.status()).state}, warns ${warning.code}`)
    t.is((await mallory.status()).peers.alive, 0)
    t.is((await founder.status()).peers.alive, 0)
    t.log(
      `handshakes the founder refused meanwhile: ${(await failures(founder, peerIdFromKey(bearer.publicKey))).length - before}`,
    )
    await mallory.stop()
  })
}

test.serial('nothing of a certificate that was refused is kept', async (t) => {
  await founder.stop()
  const store = await openStore(founder.data)
  const known: string[] = []
  for await (const [key] of store.entries('m/')) known.push(key)
  await store.close()
  t.deepEqual(
    known.filter((key) => key !== `m/${peerIdFromKey(founderSigner.publicKey)}`),
    [
      `m/${peerIdFromKey(ed25519Signer((await loadKeyFile(mallory.data, 'identity.key', false)).seed).publicKey)}`,
    ],
  )
})
