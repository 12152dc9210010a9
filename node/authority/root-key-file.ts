import { createPrivateKey } from 'node:crypto'
import { open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { AdmissionError } from '../../protocols/admission/errors.ts'
import type { Signer } from '../../protocols/common/ports.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import { ROOT_KEY_FILE } from '../membership/founding.ts'
import { readFileIfPresent } from '../storage/atomic-file.ts'

/** The mesh's X.509 root key, which leaves with the root key. */
export const X509_ROOT_KEY_FILE = 'x509-root.key'
const AGE_ARMOR = '-----BEGIN AGE ENCRYPTED FILE-----'
const PEM_BLOCK = /-----BEGIN [A-Z ]+-----[\s\S]+?-----END [A-Z ]+-----/g
/** PKCS#8 header of an Ed25519 seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/**
 * Moves the root keys into one file of PEM blocks (RFC 7468); with a passphrase as an armored age file (scrypt with 2^18 rounds,
 * where PKCS#8 encryption by OpenSSL would make each guess a hundred times cheaper), so that `age -d` opens it too. The keys
 * leave the data directory only when the file was read back from the disk.
 * @throws AdmissionError `root-key-missing`, `root-file-unwritable`.
 */
export async function exportRootKey(
  data: string,
  file: string,
  passphrase: string | undefined,
): Promise<void> {
  const seed = await readFileIfPresent(join(data, ROOT_KEY_FILE))
  if (seed === undefined) throw new AdmissionError('root-key-missing', `there is no root key in ${data}`)
  const x509 = await readFileIfPresent(join(data, X509_ROOT_KEY_FILE))
  const keys = [createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })]
  if (x509 !== undefined) keys.push(createPrivateKey(Buffer.from(x509)))
  const pem = keys.map((key) => key.export({ type: 'pkcs8', format: 'pem' })).join('')
  await writeNew(file, passphrase === undefined ? pem : await encrypted(pem, passphrase))
  const kept = await openRootKey(file, passphrase)
  if (Buffer.compare(kept.publicKey, ed25519Signer(Uint8Array.from(seed)).publicKey) !== 0)
    throw new AdmissionError('root-file-unreadable', `${file} does not hold what was written`)
  for (const name of [ROOT_KEY_FILE, ...(x509 === undefined ? [] : [X509_ROOT_KEY_FILE])])
    await unlink(join(data, name))
}

/** The root key in an exported file. @throws AdmissionError `root-file-unreadable`. */
export async function openRootKey(file: string, passphrase: string | undefined): Promise<Signer> {
  try {
    const text = await readFile(file, 'utf8')
    const pem = text.startsWith(AGE_ARMOR) ? await decrypted(text, passphrase) : text
    for (const block of pem.match(PEM_BLOCK) ?? []) {
      const key = createPrivateKey(block)
      if (key.asymmetricKeyType !== 'ed25519') continue
      const { d } = key.export({ format: 'jwk' })
      return ed25519Signer(Uint8Array.from(Buffer.from(d ?? '', 'base64url')))
    }
  } catch (cause) {
    throw new AdmissionError('root-file-unreadable', `${file}: ${(cause as Error).message}`, { cause })
  }
  throw new AdmissionError('root-file-unreadable', `${file} holds no Ed25519 key`)
}

async function encrypted(text: string, passphrase: string): Promise<string> {
  const { armor, Encrypter } = await import('age-encryption')
  const encrypter = new Encrypter()
  encrypter.setPassphrase(passphrase)
  return armor.encode(await encrypter.encrypt(text))
}

async function decrypted(text: string, passphrase: string | undefined): Promise<string> {
  if (passphrase === undefined) throw new Error('it is encrypted: give the passphrase')
  const { armor, Decrypter } = await import('age-encryption')
  const decrypter = new Decrypter()
  decrypter.addPassphrase(passphrase)
  return decrypter.decrypt(armor.decode(text), 'text')
}

async function writeNew(file: string, text: string): Promise<void> {
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw new AdmissionError('root-file-unwritable', (cause as Error).message, { cause })
  }
}
