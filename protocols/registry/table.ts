import { concat, fromHex } from '../common/bytes.ts'
import type { Hash } from '../common/ports.ts'
import { sha256 } from '../common/signing.ts'
import { expiresAt, type VerifiedEntry } from './entry.ts'
import { BUCKETS, MEMBERS_MAX, SKEW_MS } from './limits.ts'
import { mergeEntries } from './merge.ts'

/** One member as the table holds it. */
export interface TableRow {
  readonly id: string
  readonly key: Uint8Array
  readonly verified: VerifiedEntry
  /** SHA-256 of the peer id's multihash bytes: its place in the Kademlia key space, as kad-dht computes it. */
  readonly place: Uint8Array
  /** First 8 bytes of the hash of statement and credentials. */
  readonly hash: Uint8Array
  /** Local verdict that goes into the digest, so that verdicts converge as content does. */
  readonly down: boolean
}

/** What `put` did. `full`: a new member beyond `MEMBERS_MAX`, not taken. */
export interface PutResult {
  readonly outcome: 'added' | 'newer' | 'credentials' | 'unchanged' | 'full'
  readonly equivocation: boolean
}

const MULTIHASH_PREFIX = fromHex('002408011220')

/** Place of a member in the key space: SHA-256 over the multihash bytes of its peer id. */
export function placeOf(key: Uint8Array): Uint8Array {
  return sha256(concat(MULTIHASH_PREFIX, key))
}

/**
 * All members, by peer id: a state-based CRDT with an incremental digest. 256 bucket sums, by the first byte of the
 * place, are XORs of one 8-byte hash a member; the digest is the XOR of the sums.
 */
export class MemberTable {
  readonly #rows = new Map<string, TableRow>()
  readonly #buckets: Set<string>[] = Array.from({ length: BUCKETS }, () => new Set())
  readonly #sums = new Uint8Array(BUCKETS * 8)
  readonly #digest = new Uint8Array(8)
  readonly #hash: Hash

  /** @param rows of another table, in its order: everything is then as it was there. */
  constructor(hash: Hash = sha256, rows: Iterable<TableRow> = []) {
    this.#hash = hash
    for (const row of rows) this.#set(row)
  }

  get size(): number {
    return this.#rows.size
  }

  get(id: string): TableRow | undefined {
    return this.#rows.get(id)
  }

  rows(): IterableIterator<TableRow> {
    return this.#rows.values()
  }

  /** Rows of one bucket, 0..255. */
  bucket(index: number): TableRow[] {
    const rows: TableRow[] = []
    for (const id of this.#buckets[index] ?? []) {
      const row = this.#rows.get(id)
      if (row !== undefined) rows.push(row)
    }
    return rows
  }

  /** Merges a verified entry. `down` is kept for a member already held, false for a new one. */
  put(incoming: VerifiedEntry): PutResult {
    const { id, key } = incoming.member
    const held = this.#rows.get(id)
    if (held === undefined) {
      if (this.#rows.size >= MEMBERS_MAX) return { outcome: 'full', equivocation: false }
      this.#set({
        id,
        key,
        verified: incoming,
        place: placeOf(key),
        hash: this.#hashOf(incoming),
        down: false,
      })
      return { outcome: 'added', equivocation: false }
    }
    const { result, changed, newer, equivocation } = mergeEntries(held.verified, incoming, this.#hash)
    if (changed) this.#set({ ...held, verified: result, hash: this.#hashOf(result) })
    return { outcome: changed ? (newer ? 'newer' : 'credentials') : 'unchanged', equivocation }
  }

  /** Sets the verdict bit. */
  mark(id: string, down: boolean): void {
    const held = this.#rows.get(id)
    if (held !== undefined && held.down !== down) this.#set({ ...held, down })
  }

  delete(id: string): void {
    const held = this.#rows.get(id)
    if (held === undefined) return
    this.#toggle(held)
    this.#rows.delete(id)
    this.#buckets[bucketOf(held)]?.delete(id)
  }

  /** Removes and returns what has ended by `now` (ms), with the same tolerance verification has; never the row of `self`. */
  sweep(now: number, self: string): TableRow[] {
    const ended: TableRow[] = []
    for (const row of this.#rows.values()) {
      if (row.id !== self && expiresAt(row.verified.statement) + SKEW_MS <= now) ended.push(row)
    }
    for (const row of ended) this.delete(row.id)
    return ended
  }

  /** 8 bytes equal for equal tables; 2,048 bytes of bucket sums. Both are copies. */
  digest(): Uint8Array {
    return this.#digest.slice()
  }

  sums(): Uint8Array {
    return this.#sums.slice()
  }

  #hashOf({ entry }: VerifiedEntry): Uint8Array {
    return sha256(this.#hash(entry.statement), this.#hash(entry.credentials)).subarray(0, 8)
  }

  #set(row: TableRow): void {
    const held = this.#rows.get(row.id)
    if (held !== undefined) this.#toggle(held)
    this.#rows.set(row.id, row)
    this.#buckets[bucketOf(row)]?.add(row.id)
    this.#toggle(row)
  }

  #toggle(row: TableRow): void {
    const offset = bucketOf(row) * 8
    const hash = rowHash(row)
    for (let i = 0; i < 8; i++) {
      const byte = hash[i] as number
      this.#sums[offset + i] = (this.#sums[offset + i] as number) ^ byte
      this.#digest[i] = (this.#digest[i] as number) ^ byte
    }
  }
}

/** Which of the 256 buckets a row belongs to. */
export function bucketOf(row: { readonly place: Uint8Array }): number {
  return row.place[0] as number
}

/** What the digest counts for a row: content and verdict. */
export function rowHash(row: TableRow): Uint8Array {
  return row.down ? sha256(row.hash, Uint8Array.of(1)).subarray(0, 8) : row.hash
}
