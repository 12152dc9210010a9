/** Middle value; the mean of the two middle ones when there is an even number; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2
}

/** The value below which `share` (0 to 1) of the others lie; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/**
 * Median over rounds of `of / to` in the same round. What slows the whole machine for a while falls out of it, which it does
 * not from the ratio of two medians.
 */
export function medianRatio(of: readonly number[], to: readonly number[]): number {
  const ratios = of.map((value, round) => value / (to[round] ?? Number.NaN))
  return median(ratios.filter((ratio) => Number.isFinite(ratio)))
}
