import type { MembershipState } from './state.ts'

const NONE = new Uint8Array(8)

/** Hash of the revocations this node knows; zero without any. */
export function revocationsHash({ revocations }: MembershipState): Uint8Array {
  return revocations?.hash() ?? NONE.slice()
}

/** What probes compare: members, verdicts and revocations in 8 bytes. */
export function digestOf(state: MembershipState): Uint8Array {
  const digest = state.table.digest()
  const hash = revocationsHash(state)
  return digest.map((byte, i) => byte ^ (hash[i] as number))
}
