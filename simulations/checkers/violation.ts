/** What is checked; the name is what a failure prints. */
export type Invariant =
  | 'version-decreased'
  | 'incarnation-not-raised'
  | 'record-without-credentials'
  | 'bound-exceeded'
  | 'false-death'
  | 'stale-evidence'
  | 'tables-differ'
  | 'alive-held-dead'
  | 'dead-held-alive'
  | 'revoked-held'
  | 'event-missing'
  | 'budget'
  | 'crash'

/** A broken invariant. */
export interface Violation {
  readonly invariant: Invariant
  /** One sentence with the values. */
  readonly text: string
  /** ms of the world's time. */
  readonly atMs: number
  /** Number of the event after which it was seen. */
  readonly event: number
}

/** Where checkers put what they find. */
export type Report = (invariant: Invariant, text: string) => void
