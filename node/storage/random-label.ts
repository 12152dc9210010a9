import { toHex } from '../../protocols/common/bytes.ts'
import type { Random, Store } from '../../protocols/common/ports.ts'

/** 32 bits: nobody guesses the name, and it still fits a host name people can read. */
const LABEL_BYTES = 4

/** The random label kept under `key`, 8 hexadecimal digits; made at the first call, the same ever after. */
export async function randomLabel(store: Store, random: Random, key: string): Promise<string> {
  const held = await store.get(key)
  if (held !== undefined) return toHex(held)
  const made = random.bytes(LABEL_BYTES)
  await store.put(key, made, { sync: true })
  return toHex(made)
}
