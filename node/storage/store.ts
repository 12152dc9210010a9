import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import type { Store } from '../../protocols/common/ports.ts'
import { StorageError } from './errors.ts'

/** The node's database: one level store, split by key prefix. */
export interface NodeStore extends Store {
  close(): Promise<void>
  /** The open level database, for libp2p's own sublevel. */
  readonly level: Level<string, Uint8Array>
}

/**
 * Creates the data directory (0700) and opens `store/` in it. The database lock also is the lock of the whole directory:
 * the kernel drops it when the process dies, so a crash never leaves a stale one.
 * @throws StorageError `data-locked`, `data-unusable`, `store-corrupt`.
 */
export async function openStore(directory: string): Promise<NodeStore> {
  try {
    await mkdir(join(directory, 'logs'), { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new StorageError('data-unusable', `Cannot create ${directory}: ${(cause as Error).message}`, {
      cause,
    })
  }
  const level = new Level<string, Uint8Array>(join(directory, 'store'), {
    keyEncoding: 'utf8',
    valueEncoding: 'view',
  })
  try {
    await level.open()
  } catch (error) {
    throw openFailure(directory, error)
  }
  return {
    level,
    get: (key) => level.get(key),
    put: (key, value, options) => level.put(key, value, { sync: options?.sync ?? false }),
    delete: (key, options) => level.del(key, { sync: options?.sync ?? false }),
    entries: (prefix) => level.iterator({ gte: prefix, lt: `${prefix}\u{10FFFF}` }),
    close: () => level.close(),
  }
}

function openFailure(directory: string, error: unknown): StorageError {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  if (cause?.code === 'LEVEL_LOCKED') {
    return new StorageError('data-locked', `Another node is running on ${directory}`, { cause: error })
  }
  if (cause?.code === 'LEVEL_CORRUPTION' || /corrupt/i.test(cause?.message ?? '')) {
    return new StorageError('store-corrupt', `The database in ${directory} is damaged: ${cause?.message}`, {
      cause: error,
    })
  }
  return new StorageError(
    'data-unusable',
    `Cannot open the database in ${directory}: ${cause?.message ?? String(error)}`,
    { cause: error },
  )
}
