import { compareBytes, equalBytes } from '../common/bytes.ts'
import { sha256 } from '../common/signing.ts'
import type { Hash } from '../common/ports.ts'
import type { VerifiedEntry } from './entry.ts'

/** What a merge did with what came in. */
export interface Merged {
  /** The join of both: its statement and its credentials may come from different sides. */
  readonly result: VerifiedEntry
  /** True when `result` differs from what was held. */
  readonly changed: boolean
  /** True when the statement is a newer one, not only other credentials. */
  readonly newer: boolean
  /** True when both sides carry the same (incarnation, seq) over different bytes: the key is in two hands. */
  readonly equivocation: boolean
}

/** Order of statements of one key: incarnation, then seq. Negative when `a` is older. */
export function compareVersions(
  a: { readonly incarnation: number; readonly seq: number },
  b: { readonly incarnation: number; readonly seq: number },
): number {
  return a.incarnation - b.incarnation || a.seq - b.seq
}

/**
 * The join of two entries of one key: a product of two last-writer-wins registers, hence commutative, associative and
 * idempotent. Statements by (incarnation, seq), credentials by when they were issued; a tie goes to the lower hash.
 */
export function mergeEntries(held: VerifiedEntry, incoming: VerifiedEntry, hash: Hash = sha256): Merged {
  const version = compareVersions(incoming.statement, held.statement)
  const sameStatement =
    held.entry.kind === incoming.entry.kind && equalBytes(held.entry.statement, incoming.entry.statement)
  const equivocation = version === 0 && !sameStatement
  const newer =
    version > 0 || (equivocation && hashOrder(hash, incoming.entry.statement, held.entry.statement) < 0)
  const fresher = fresherCredentials(held, incoming, hash)
  if (!newer && !fresher) return { result: held, changed: false, newer, equivocation }
  const statementOf = newer ? incoming : held
  const credentialsOf = fresher ? incoming : held
  const result: VerifiedEntry = {
    entry: {
      kind: statementOf.entry.kind,
      statement: statementOf.entry.statement,
      credentials: credentialsOf.entry.credentials,
    },
    statement: statementOf.statement,
    member: credentialsOf.member,
  }
  return { result, changed: true, newer, equivocation }
}

function fresherCredentials(held: VerifiedEntry, incoming: VerifiedEntry, hash: Hash): boolean {
  if (equalBytes(held.entry.credentials, incoming.entry.credentials)) return false
  const order = incoming.member.notBefore - held.member.notBefore
  return order > 0 || (order === 0 && hashOrder(hash, incoming.entry.credentials, held.entry.credentials) < 0)
}

function hashOrder(hash: Hash, a: Uint8Array, b: Uint8Array): number {
  return compareBytes(hash(a), hash(b))
}
