/** What this node asked others about a member it does not hear. Times in ms. */
export interface Asked {
  readonly n: number
  readonly at: number
  readonly helpers: ReadonlySet<string>
  /** When a helper last passed on an answer. */
  heardAt: number | null
}

/** What others asked this node, until the member answers or the time is over. */
export interface Request {
  readonly requester: string
  readonly target: string
  readonly n: number
  readonly at: number
}
