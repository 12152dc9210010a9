/** Written without `sync`, bytes are safe so long after. */
export const FLUSH_MS = 2_000

interface Write {
  readonly at: number
  readonly key: string
  readonly value: unknown
}

/** What a node keeps on. `kith` writes its own incarnation with `sync`, everything else without. */
export interface Disk {
  put(key: string, value: unknown, now: number, options?: { sync?: boolean }): void
  get(key: string): unknown
  /** Values whose key begins with `prefix`, in the order they were first written. */
  values(prefix: string): unknown[]
  /** kill -9, taken as hard as a power cut: what was written without `sync` in the last seconds is lost. */
  crash(now: number): void
  /** A clean stop: everything is safe. */
  flush(): void
  /** A copy to come back to, as a restored backup does. */
  snapshot(): ReadonlyMap<string, unknown>
  restore(snapshot: ReadonlyMap<string, unknown>): void
}

/** A disk in memory. `undefined` as value deletes. */
export class MemoryDisk implements Disk {
  #safe = new Map<string, unknown>()
  #written: Map<string, unknown> | null = null
  #pending: Write[] = []

  put(key: string, value: unknown, now: number, { sync = false } = {}): void {
    this.#settle(now)
    this.#written ??= new Map(this.#safe)
    apply(this.#written, key, value)
    this.#pending.push({ at: now, key, value })
    // One log: what is synchronous takes everything before it along, as level's does.
    if (sync) this.flush()
  }

  get(key: string): unknown {
    return (this.#written ?? this.#safe).get(key)
  }

  values(prefix: string): unknown[] {
    return [...(this.#written ?? this.#safe)]
      .filter(([key]) => key.startsWith(prefix))
      .map(([, value]) => value)
  }

  crash(now: number): void {
    this.#settle(now)
    this.#pending = []
    this.#written = null
  }

  flush(): void {
    for (const { key, value } of this.#pending) apply(this.#safe, key, value)
    this.#pending = []
    this.#written = null
  }

  snapshot(): ReadonlyMap<string, unknown> {
    return new Map(this.#written ?? this.#safe)
  }

  restore(snapshot: ReadonlyMap<string, unknown>): void {
    this.#safe = new Map(snapshot)
    this.#pending = []
    this.#written = null
  }

  #settle(now: number): void {
    let settled = 0
    for (const { at, key, value } of this.#pending) {
      if (at + FLUSH_MS > now) break
      apply(this.#safe, key, value)
      settled++
    }
    if (settled > 0) this.#pending.splice(0, settled)
  }
}

function apply(map: Map<string, unknown>, key: string, value: unknown): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}
