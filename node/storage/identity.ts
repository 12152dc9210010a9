import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { readFileIfPresent, writeFileAtomic } from './atomic-file.ts'
import { StorageError } from './errors.ts'

/** An Ed25519 private key as PKCS #8 PEM (RFC 8410), so that `openssl pkey -in identity.key` reads it too. */
export interface KeyFile {
  /** The 32-byte private seed. */
  readonly seed: Uint8Array
  readonly created: boolean
}

/**
 * Reads `name` in the data directory or, when `create` allows it, makes it (0600, atomic, synced).
 * @throws StorageError `identity-corrupt` for a file that is no Ed25519 key, `identity-missing` when it must exist.
 */
export async function loadKeyFile(directory: string, name: string, create: boolean): Promise<KeyFile> {
  const file = join(directory, name)
  const pem = await readFileIfPresent(file)
  if (pem !== undefined) return { seed: seedOf(parse(file, pem)), created: false }
  if (!create)
    throw new StorageError('identity-missing', `${file} is missing but this directory belongs to a member`)
  const { privateKey } = generateKeyPairSync('ed25519')
  await writeFileAtomic(file, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return { seed: seedOf(privateKey), created: true }
}

function parse(file: string, pem: Uint8Array): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey({ key: Buffer.from(pem), format: 'pem' })
  } catch (cause) {
    throw new StorageError(
      'identity-corrupt',
      `${file} (${pem.length} bytes) is not a private key in PEM form`,
      { cause },
    )
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new StorageError(
      'identity-corrupt',
      `${file} holds a key of type ${key.asymmetricKeyType}, expected ed25519`,
    )
  }
  return key
}

function seedOf(key: KeyObject): Uint8Array {
  const { d } = key.export({ format: 'jwk' })
  if (d === undefined) throw new Error('an Ed25519 private key without its private part')
  return Uint8Array.from(Buffer.from(d, 'base64url'))
}
