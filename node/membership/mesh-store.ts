import { cborFormat, row, z } from '../../protocols/common/format.ts'
import type { Store } from '../../protocols/common/ports.ts'
import { readRoot, type Root } from '../../protocols/admission/root.ts'

/** What a node keeps of the mesh it is in. */
export interface StoredMesh {
  readonly root: Root
  /** This node's member certificate and its issuer's authority certificate. */
  readonly credentials: Uint8Array
  /** This node's own authority certificate, null when it is no authority. */
  readonly authority: Uint8Array | null
  /** Multiaddrs given at the join; live ones come from the member table. */
  readonly bootstrap: readonly string[]
}

const ROOT_KEY = 'mesh/root'
const CREDENTIALS_KEY = 'mesh/credentials'
const AUTHORITY_KEY = 'mesh/authority'
const BOOTSTRAP_KEY = 'mesh/bootstrap'
/** Addresses of a join reply and a few by hand. */
const bootstrapFormat = cborFormat(
  'bootstrap list',
  row({ addresses: z.array(z.string().max(256)).max(64) }),
  24_576,
)

/** Writes the mesh, the root document last: a crash before it leaves a node without a mesh, never half in one. */
export async function saveMesh(store: Store, mesh: StoredMesh): Promise<void> {
  const sync = { sync: true }
  await store.put(CREDENTIALS_KEY, mesh.credentials, sync)
  if (mesh.authority === null) await store.delete(AUTHORITY_KEY)
  else await store.put(AUTHORITY_KEY, mesh.authority, sync)
  await store.put(BOOTSTRAP_KEY, bootstrapFormat.encode({ addresses: [...mesh.bootstrap] }), sync)
  await store.put(ROOT_KEY, mesh.root.bytes, sync)
}

/** Replaces this node's credentials by renewed ones. */
export function saveCredentials(store: Store, credentials: Uint8Array): Promise<void> {
  return store.put(CREDENTIALS_KEY, credentials, { sync: true })
}

/** Keeps this node's own authority certificate. */
export function saveAuthority(store: Store, certificate: Uint8Array): Promise<void> {
  return store.put(AUTHORITY_KEY, certificate, { sync: true })
}

/**
 * The mesh this node is in, null when it is in none.
 * @throws MalformedError when the store was damaged.
 */
export async function loadMesh(store: Store): Promise<StoredMesh | null> {
  const [root, credentials] = await Promise.all([store.get(ROOT_KEY), store.get(CREDENTIALS_KEY)])
  if (root === undefined || credentials === undefined) return null
  const authority = await store.get(AUTHORITY_KEY)
  const bootstrap = await store.get(BOOTSTRAP_KEY)
  return {
    root: readRoot(root),
    credentials,
    authority: authority ?? null,
    bootstrap: bootstrap === undefined ? [] : bootstrapFormat.decode(bootstrap).addresses,
  }
}

/** Forgets the mesh, its members and its invites; for leaving a mesh of one. The root key is the caller's to keep or move. */
export async function forgetMesh(store: Store): Promise<void> {
  await store.delete(ROOT_KEY)
  const keys: string[] = []
  for (const prefix of ['mesh/', 'm/', 'invite/', 'rev/', 'authority/'])
    for await (const [key] of store.entries(prefix)) keys.push(key)
  for (const key of keys) await store.delete(key)
}
