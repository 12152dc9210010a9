import { join } from 'node:path'
import type { SecretStore } from '../membership/founding.ts'
import { readFileIfPresent, writeFileAtomic } from './atomic-file.ts'

/** Secrets as files of the data directory, mode 0600, written atomically. */
export function secretFiles(directory: string): SecretStore {
  return {
    read: (name) => readFileIfPresent(join(directory, name)),
    write: (name, secret) => writeFileAtomic(join(directory, name), secret),
  }
}
