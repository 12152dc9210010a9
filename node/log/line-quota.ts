/** Lines of one source in a minute: more than any sensible `maxretry`, so whoever is to be banned is. */
export const LINES_PER_SOURCE = 20
/** Sources counted in a minute; when more come, the others share one quota. */
export const SOURCES_MAX = 4096
const MINUTE_MS = 60_000

/** How many lines each source may cause: a flood from one must neither fill the disk nor hide the others. */
export class LineQuota {
  readonly #counts = new Map<string, number>()
  #minute = -1

  /** Takes one line of `source` at `now` (ms); false when it had its share of this minute. */
  take(source: string, now: number): boolean {
    const minute = Math.floor(now / MINUTE_MS)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#counts.clear()
    }
    const key = this.#counts.has(source) || this.#counts.size < SOURCES_MAX ? source : ''
    const count = this.#counts.get(key) ?? 0
    this.#counts.set(key, count + 1)
    return count < LINES_PER_SOURCE
  }
}
