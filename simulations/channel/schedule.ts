interface Entry {
  readonly at: number
  readonly order: number
  readonly run: () => void
  isCancelled: boolean
}

/** A virtual clock: what was planned runs in the order of its time, and what has one time in the order it was planned. */
export class Schedule {
  readonly #heap: Entry[] = []
  #order = 0
  now = 0
  /** Entries run so far. */
  steps = 0

  /** Runs `run` after `delayMs`, unless the returned function is called first. */
  after(delayMs: number, run: () => void): () => void {
    return this.at(this.now + delayMs, run)
  }

  /** Runs `run` at a time, unless the returned function is called first. */
  at(at: number, run: () => void): () => void {
    const entry = { at, order: this.#order++, run, isCancelled: false }
    this.#push(entry)
    return () => void (entry.isCancelled = true)
  }

  /** Runs the next entry; false when there is none. */
  next(): boolean {
    for (let entry = this.#pop(); entry !== undefined; entry = this.#pop()) {
      if (entry.isCancelled) continue
      this.now = Math.max(this.now, entry.at)
      this.steps++
      entry.run()
      return true
    }
    return false
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (isBefore(heap[above] as Entry, entry)) break
      heap[at] = heap[above] as Entry
      at = above
    }
    heap[at] = entry
  }

  #pop(): Entry | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      if (left >= heap.length) break
      const child = right < heap.length && isBefore(heap[right] as Entry, heap[left] as Entry) ? right : left
      if (isBefore(last, heap[child] as Entry)) break
      heap[at] = heap[child] as Entry
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
