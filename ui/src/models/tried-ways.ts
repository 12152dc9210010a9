import type { Ways } from '../../../node/api/path-schemas.ts'

type Tried = Ways['tried'][number]

/** Tries of one way that ended alike. */
export interface TriedWay {
  readonly last: Tried
  readonly times: number
}

/** What was tried, the newest first; what ended alike again and again is one row, at its newest. */
export function triedWays(tried: readonly Tried[]): TriedWay[] {
  const rows = new Map<string, { last: Tried; times: number }>()
  for (const each of tried.toReversed()) {
    const key = [each.way, each.endpoint, each.outcome, each.reason?.code].join(' ')
    const row = rows.get(key)
    if (row === undefined) rows.set(key, { last: each, times: 1 })
    else row.times++
  }
  return [...rows.values()]
}
