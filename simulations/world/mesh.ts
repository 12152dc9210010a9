import { issueAuthority, issueMember } from '../../protocols/admission/certificates.ts'
import { createRevocation } from '../../protocols/admission/revocation.ts'
import { makeRoot, type Root } from '../../protocols/admission/root.ts'
import type { CryptoPort } from './crypto.ts'
import { stream } from './draws.ts'

/** A mesh with its root and one authority; admits members. */
export interface Mesh {
  readonly root: Root
  /** Credentials of a key. */
  admit(subject: Uint8Array, name: string): Uint8Array
  /** A revocation of all a key has; `now` in ms. */
  revoke(key: Uint8Array, now: number): Uint8Array
}

/** Makes a mesh from a seed. `now` in ms. */
export function makeMesh(seed: string, crypto: CryptoPort, now: number): Mesh {
  const random = stream(seed, 'mesh')
  const rootSigner = crypto.signer(random)
  const authoritySigner = crypto.signer(random)
  const rootKeys = [rootSigner.publicKey]
  const root = makeRoot({ name: 'home', rootKeys, x509Root: Uint8Array.of(0x30, 0), now })
  const authorityCertificate = issueAuthority({
    root,
    rootSigner,
    subject: authoritySigner.publicKey,
    roles: ['admit', 'revoke', 'dns', 'acme', 'policy'],
    x509Intermediate: null,
    serial: random.bytes(16),
    now,
  })
  const admit = (subject: Uint8Array, name: string): Uint8Array =>
    issueMember({
      meshId: root.meshId,
      authoritySigner,
      authorityCertificate,
      subject,
      name,
      roles: ['relay'],
      tags: [],
      serial: random.bytes(16),
      nonce: random.bytes(16),
      now,
    })
  const revoke = (key: Uint8Array, now: number): Uint8Array =>
    createRevocation({
      meshId: root.meshId,
      signer: authoritySigner,
      authorityCertificate,
      key,
      serial: null,
      reason: 'simulated',
      now,
    })
  return { root, admit, revoke }
}
