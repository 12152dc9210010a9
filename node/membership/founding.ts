import type { Clock, Random, Signer, Store } from '../../protocols/common/ports.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import { issueAuthority, issueMember } from '../../protocols/admission/certificates.ts'
import { makeRoot } from '../../protocols/admission/root.ts'
import { authorityRoleSchema, memberRoleSchema } from '../../protocols/admission/wire.ts'
import { saveMesh, type StoredMesh } from './mesh-store.ts'

/** Files only the node's user may read (0600). */
export interface SecretStore {
  read(name: string): Promise<Uint8Array | undefined>
  /** On the disk when it resolves. */
  write(name: string, secret: Uint8Array): Promise<void>
}

/** Name of the file with the root key's 32-byte Ed25519 seed. */
export const ROOT_KEY_FILE = 'root.key'

/** Makes the mesh's X.509 root and this node's intermediate, and keeps their keys; answers with both as DER. */
export type MakeX509 = (mesh: { name: string; domain: string; now: number }) => Promise<{
  root: Uint8Array
  intermediate: Uint8Array
}>

/**
 * Founds a mesh: this node becomes root, first authority and first member, with every role. The root key is on the disk
 * before anything it signed.
 */
export async function foundMesh(input: {
  name: string
  nodeName: string
  signer: Signer
  makeX509: MakeX509
  secrets: SecretStore
  store: Store
  clock: Clock
  random: Random
}): Promise<StoredMesh> {
  const { signer, random } = input
  const now = input.clock.now()
  const seed = random.bytes(32)
  const rootSigner = ed25519Signer(seed)
  const x509 = await input.makeX509({ name: input.name, domain: `${input.name}.internal`, now })
  const root = makeRoot({ name: input.name, rootKeys: [rootSigner.publicKey], x509Root: x509.root, now })
  const authority = issueAuthority({
    root,
    rootSigner,
    subject: signer.publicKey,
    roles: authorityRoleSchema.options,
    x509Intermediate: x509.intermediate,
    serial: random.bytes(16),
    now,
  })
  const credentials = issueMember({
    meshId: root.meshId,
    authoritySigner: signer,
    authorityCertificate: authority,
    subject: signer.publicKey,
    name: input.nodeName,
    roles: memberRoleSchema.options,
    tags: [],
    serial: random.bytes(16),
    nonce: random.bytes(16),
    now,
  })
  await input.secrets.write(ROOT_KEY_FILE, seed)
  const mesh: StoredMesh = { root, credentials, authority, bootstrap: [] }
  await saveMesh(input.store, mesh)
  return mesh
}
