/** Where this node stands with requests to announce anew. Times in ms. */
export interface Healing {
  lastAt: number
  /** When this node announces itself because of one. */
  announceAt: number | null
  /** Date of the last request by each member: an older one is a recording. */
  readonly dates: Map<string, number>
}

/** Nothing to heal yet. */
export function newHealing(): Healing {
  return { lastAt: 0, announceAt: null, dates: new Map() }
}
