interface Entry {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/** Events of virtual time, in ms: a binary heap. Of two at the same time the one planned first runs first. */
export class Scheduler {
  now = 0
  #order = 0
  readonly #heap: Entry[] = []

  /** Time of the next event; null without any. */
  get dueAt(): number | null {
    return this.#heap[0]?.at ?? null
  }

  /** Plans `run` at `delayMs` from now; a fraction of a millisecond is dropped. */
  after(delayMs: number, run: () => void): void {
    this.at(this.now + Math.max(0, Math.floor(delayMs)), run)
  }

  /** Plans `run` at a time not before now. */
  at(at: number, run: () => void): void {
    const heap = this.#heap
    const entry = { at, order: this.#order++, run }
    let i = heap.length
    while (i > 0) {
      const up = (i - 1) >> 1
      const parent = heap[up] as Entry
      if (!isBefore(entry, parent)) break
      heap[i] = parent
      i = up
    }
    heap[i] = entry
  }

  /** Runs the next event due until `end`; false when there is none, and then it is `end`. */
  next(end: number): boolean {
    const first = this.#heap[0]
    if (first === undefined || first.at > end) {
      this.now = end
      return false
    }
    this.#removeFirst()
    this.now = first.at
    first.run()
    return true
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop() as Entry
    const { length } = heap
    if (length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= length) break
      if (child + 1 < length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child++
      if (!isBefore(heap[child] as Entry, last)) break
      heap[i] = heap[child] as Entry
      i = child
    }
    heap[i] = last
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
