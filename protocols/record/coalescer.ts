import { RECORD_TARGET_BYTES } from './limits.ts'

/**
 * Collects small sends, so that a hundred of them cost one encryption and one write. Full records leave at once; the rest
 * leaves with `flush`, which the owner calls before the event loop turns (nothing may be held back longer: libp2p closes the
 * raw connection without asking).
 */
export class Coalescer {
  #parts: Uint8Array[] = []
  #sizeBytes = 0

  /** Bytes waiting for `flush`, below `RECORD_TARGET_BYTES` between calls. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Takes `part` and returns the contents of each record that became full. `part` must not change until it was sealed. */
  add(part: Uint8Array): Uint8Array[][] {
    const full: Uint8Array[][] = []
    let rest = part
    while (this.#sizeBytes + rest.length >= RECORD_TARGET_BYTES) {
      const take = RECORD_TARGET_BYTES - this.#sizeBytes
      this.#parts.push(rest.subarray(0, take))
      this.#sizeBytes += take
      full.push(this.flush())
      rest = rest.subarray(take)
    }
    if (rest.length > 0) {
      this.#parts.push(rest)
      this.#sizeBytes += rest.length
    }
    return full
  }

  /** Contents of the next record; empty when nothing waits. */
  flush(): Uint8Array[] {
    const parts = this.#parts
    this.#parts = []
    this.#sizeBytes = 0
    return parts
  }
}
