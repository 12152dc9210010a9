import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Secrets and state alike: readable by the owner only. */
const OWNER_ONLY = 0o600

/**
 * Replaces `file` so that after a crash at any moment either the old or the new bytes are there, whole: written beside it,
 * synced, renamed, and the directory synced too. Mode 0600.
 */
export async function writeFileAtomic(file: string, bytes: Uint8Array | string): Promise<void> {
  const temporary = `${file}.new`
  const handle = await open(temporary, 'w', OWNER_ONLY)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
  const directory = await open(dirname(file), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** The file's bytes, or undefined when there is none. */
export async function readFileIfPresent(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
