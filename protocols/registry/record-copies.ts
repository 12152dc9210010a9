import { MalformedError } from '../common/errors.ts'
import type { Clock, Verify } from '../common/ports.ts'
import { AuthorityCache, type Revoked } from '../admission/certificates.ts'
import type { Root } from '../admission/root.ts'
import { expiresAt, verifyEntry, type VerifiedEntry } from './entry.ts'
import { RegistryError } from './errors.ts'
import { RECORD_COPIES_MAX, SKEW_MS } from './limits.ts'
import { compareVersions, mergeEntries } from './merge.ts'
import { entryFormat } from './wire.ts'

/** First part of a record's key in the DHT: `/mreg/<peer id>`. */
export const RECORD_NAMESPACE = 'mreg'

/** Key of a member's record in the DHT. */
export function recordKey(peerId: string): Uint8Array {
  return new TextEncoder().encode(`/${RECORD_NAMESPACE}/${peerId}`)
}

/** What decides whether a copy is believed. */
export interface RecordCopiesInit {
  readonly root: Root
  readonly clock: Clock
  /** False while no admit authority can be reached (grace rule). */
  readonly authorityReachable: () => boolean
  readonly revoked?: Revoked | undefined
  readonly verify?: Verify | undefined
  /** What the member table holds of a member: nothing older is believed, and nothing needs to be kept to know that. */
  readonly known: (peerId: string) => { readonly incarnation: number; readonly seq: number } | undefined
}

/**
 * Validator and selector of the registration copies that lie in the DHT for cold look-ups. The DHT by itself lets an old valid
 * record overwrite a newer one (PUT_VALUE asks no selector), so the validator remembers the newest version it saw of each
 * member and refuses what is older. The member table stays the primary store; nothing that answers a user waits for the DHT.
 */
export class RecordCopies {
  readonly #init: RecordCopiesInit
  readonly #cache = new AuthorityCache()
  readonly #newest = new Map<string, VerifiedEntry>()
  readonly #watchers = new Set<(peerId: string, entry: VerifiedEntry) => void>()

  constructor(init: RecordCopiesInit) {
    this.#init = init
  }

  /** Members a version is remembered of. */
  get size(): number {
    return this.#newest.size
  }

  /**
   * The DHT's validator: whatever it does not throw for may be kept and given to others. @param key `/mreg/<peer id>`, @param
   * value a member entry.
   * @throws RegistryError with the code of what is wrong; `record-outdated` and `record-copies-full` are the rules above.
   */
  validate(key: Uint8Array, value: Uint8Array): void {
    const entry = this.#verified(key, value)
    const { id } = entry.member
    const held = this.#newest.get(id)
    for (const newest of [this.#init.known(id), held?.statement]) {
      if (newest !== undefined && compareVersions(entry.statement, newest) < 0) {
        const { incarnation, seq } = newest
        throw new RegistryError('record-outdated', `a copy of ${id} older than ${incarnation}.${seq}`)
      }
    }
    if (held === undefined && this.#newest.size >= RECORD_COPIES_MAX) {
      this.#forgetEnded()
      if (this.#newest.size >= RECORD_COPIES_MAX)
        throw new RegistryError('record-copies-full', `${this.#newest.size} copies are kept here`)
    }
    this.#newest.set(id, held === undefined ? entry : mergeEntries(held, entry).result)
    for (const watcher of this.#watchers) watcher(id, entry)
  }

  /** The DHT's selector: index of the newest of `values`, which passed `validate`. */
  select(key: Uint8Array, values: readonly Uint8Array[]): number {
    let best: { index: number; entry: VerifiedEntry } | undefined
    for (const [index, value] of values.entries()) {
      const entry = this.#tryVerified(key, value)
      if (entry === undefined) continue
      if (best === undefined || mergeEntries(best.entry, entry).newer) best = { index, entry }
    }
    return best?.index ?? 0
  }

  /** Calls `watcher` with each copy that passes, until the returned function is called. */
  watch(watcher: (peerId: string, entry: VerifiedEntry) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  #tryVerified(key: Uint8Array, value: Uint8Array): VerifiedEntry | undefined {
    try {
      return this.#verified(key, value)
    } catch (error) {
      if (error instanceof RegistryError) return undefined
      throw error
    }
  }

  #verified(key: Uint8Array, value: Uint8Array): VerifiedEntry {
    const { root, clock, revoked, verify } = this.#init
    let entry
    try {
      entry = entryFormat.decode(value)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      throw new RegistryError('registration-malformed', error.message, { cause: error })
    }
    const authorityReachable = this.#init.authorityReachable()
    const now = clock.now()
    const checked = verifyEntry({ root, entry, now, authorityReachable, revoked, verify, cache: this.#cache })
    if (!checked.ok) throw new RegistryError(checked.code, checked.text)
    const text = new TextDecoder().decode(key)
    if (text !== `/${RECORD_NAMESPACE}/${checked.verified.member.id}`) {
      throw new RegistryError(
        'registration-wrong-key',
        `the copy under "${text.slice(0, 80)}" is of ${checked.verified.member.id}`,
      )
    }
    return checked.verified
  }

  #forgetEnded(): void {
    const now = this.#init.clock.now()
    for (const [id, { statement }] of this.#newest)
      if (expiresAt(statement) + SKEW_MS <= now) this.#newest.delete(id)
  }
}
