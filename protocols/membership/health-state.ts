/**
 * How much this node doubts itself (Lifeguard's local health): 0 is healthy, up to 7, and every timeout that leads to an
 * accusation of ours is longer by that many times. Times in ms.
 */
export interface LocalHealth {
  score: number
  /** Silence of others is not accused before. */
  noAccusingUntil: number
  /** Many neighbours silent at once count again after. */
  nextDoubtAt: number
  recoveredAt: number
}

/** A node that has no reason to doubt itself. */
export function newHealth(now: number): LocalHealth {
  return { score: 0, noAccusingUntil: 0, nextDoubtAt: 0, recoveredAt: now }
}
