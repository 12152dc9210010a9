import { toHex } from '../common/bytes.ts'
import { MalformedError } from '../common/errors.ts'
import { cborFormat, row, uint } from '../common/format.ts'
import type { EmitEvent, Store } from '../common/ports.ts'
import { sha256 } from '../common/signing.ts'
import type { RevocationSet } from '../admission/revocation.ts'
import { MEMBERS_MAX } from '../registry/limits.ts'
import { entryFormat, type MemberEntry } from '../registry/wire.ts'
import type { Effect } from './state.ts'

const INCARNATION_KEY = 'membership/incarnation'
const ENTRY_PREFIX = 'm/'
const REVOCATION_PREFIX = 'rev/'
const incarnationFormat = cborFormat('incarnation', row({ incarnation: uint() }), 16)

/** Effects that change what is stored. */
type StoreEffect = Extract<
  Effect,
  { type: 'store-entry' | 'delete-entry' | 'store-revocation' | 'delete-revocation' }
>

/**
 * What membership keeps on the disk: `membership/incarnation`, `m/<peer id>` and `rev/<hash>`. What cannot be read any more is
 * dropped and reported; a write that fails is reported, and what it was about comes back by anti-entropy.
 */
export class MembershipStore {
  readonly #store: Store
  readonly #emit: EmitEvent
  readonly #writes = new Set<Promise<void>>()

  constructor(store: Store, emit: EmitEvent) {
    this.#store = store
    this.#emit = emit
  }

  /** The incarnation of this run, above all before it, on the disk when it resolves. `now` in ms. */
  async nextIncarnation(now: number): Promise<number> {
    const incarnation = Math.max((await this.#incarnation()) + 1, now)
    await this.#store.put(INCARNATION_KEY, incarnationFormat.encode({ incarnation }), { sync: true })
    return incarnation
  }

  /** Writes a later incarnation; calls back when it is on the disk. */
  keepIncarnation(incarnation: number, kept: () => void): void {
    const put = this.#store.put(INCARNATION_KEY, incarnationFormat.encode({ incarnation }), { sync: true })
    this.#follow(put.then(kept))
  }

  /** Begins a write. */
  perform(effect: StoreEffect): void {
    switch (effect.type) {
      case 'store-entry':
        return this.#follow(this.#store.put(ENTRY_PREFIX + effect.id, entryFormat.encode(effect.entry)))
      case 'delete-entry':
        return this.#follow(this.#store.delete(ENTRY_PREFIX + effect.id))
      case 'store-revocation':
        return this.#follow(this.#store.put(revocationKey(effect.bytes), effect.bytes, { sync: true }))
      case 'delete-revocation':
        return this.#follow(this.#store.delete(revocationKey(effect.bytes)))
    }
  }

  /** Resolves when every write begun so far has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#writes)
  }

  /** Entries of an earlier run, at most `MEMBERS_MAX`. */
  async entries(): Promise<MemberEntry[]> {
    const entries: MemberEntry[] = []
    for await (const [key, bytes] of this.#store.entries(ENTRY_PREFIX)) {
      if (entries.length >= MEMBERS_MAX) break
      try {
        entries.push(entryFormat.decode(bytes))
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error
        await this.#drop(key, error.code, `${key}: ${error.message}`)
      }
    }
    return entries
  }

  /** Puts the revocations of an earlier run back into the set. */
  async loadRevocations(revocations: RevocationSet): Promise<void> {
    for await (const [key, bytes] of this.#store.entries(REVOCATION_PREFIX)) {
      const restored = revocations.restore(bytes)
      if (restored.outcome === 'refused') await this.#drop(key, restored.code, restored.text)
    }
  }

  async #incarnation(): Promise<number> {
    const bytes = await this.#store.get(INCARNATION_KEY)
    if (bytes === undefined) return 0
    try {
      return incarnationFormat.decode(bytes).incarnation
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      // The clock takes over; a neighbour that knows better says so in its first answer.
      const { code: reason, message: text } = error
      this.#emit({ kind: 'membership.incarnation-lost', severity: 'warning', reason, text })
      return 0
    }
  }

  async #drop(key: string, reason: string, text: string): Promise<void> {
    this.#emit({ kind: 'membership.stored-entry-dropped', severity: 'warning', reason, text })
    await this.#store.delete(key)
  }

  #follow(work: Promise<void>): void {
    const followed = work
      .catch((error: unknown) => {
        const text = error instanceof Error ? error.message : String(error)
        this.#emit({ kind: 'membership.store-failed', severity: 'alert', text })
      })
      .finally(() => this.#writes.delete(followed))
    this.#writes.add(followed)
  }
}

function revocationKey(bytes: Uint8Array): string {
  return REVOCATION_PREFIX + toHex(sha256(bytes))
}
