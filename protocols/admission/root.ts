import { compareBytes, equalBytes, toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { sha256 } from '../common/signing.ts'
import { AdmissionError } from './errors.ts'
import { rootFormat, type RootDocument } from './wire.ts'

/** A root document together with its bytes and the id they hash to. */
export interface Root {
  readonly document: RootDocument
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`. */
  readonly meshId: Uint8Array
}

/** Builds the document of a new mesh. `x509Root` is DER made elsewhere, opaque here; `now` in ms. */
export function makeRoot(input: {
  name: string
  rootKeys: readonly Uint8Array[]
  x509Root: Uint8Array
  now: number
}): Root {
  const bytes = rootFormat.encode({
    version: 1,
    name: input.name,
    domain: `${input.name}.internal`,
    rootKeys: [...input.rootKeys].sort(compareBytes),
    x509Root: input.x509Root,
    createdAt: input.now,
  })
  return { document: rootFormat.decode(bytes), bytes, meshId: sha256(bytes) }
}

/**
 * Reads a stored or received root document; `meshId`, where known, must be its hash.
 * @throws AdmissionError `root-mismatch`. @throws MalformedError
 */
export function readRoot(bytes: Uint8Array, meshId?: Uint8Array): Root {
  const hash = sha256(bytes)
  if (meshId !== undefined && !equalBytes(hash, meshId)) {
    throw new AdmissionError(
      'root-mismatch',
      `root document hashes to ${toHex(hash)}, expected ${toHex(meshId)}`,
    )
  }
  return { document: rootFormat.decode(bytes), bytes, meshId: hash }
}

/** First 8 hex digits of the mesh id: prefix of every protocol id, so that two meshes never speak to each other. */
export function id8Of(meshId: Uint8Array): string {
  if (meshId.length !== 32) throw new MalformedError(`mesh id of ${meshId.length} bytes, expected 32`)
  return toHex(meshId.subarray(0, 4))
}
