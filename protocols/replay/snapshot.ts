/** A memory on its way to the disk. */
export interface Snapshot {
  readonly bytes: Uint8Array
  /** To be called when the bytes are on the disk, and not if they are not: what is accepted depends on it. */
  readonly written: () => void
}

/** A memory that can be kept on the disk. */
export interface Keepable {
  /** True when the disk does not have all of it. */
  readonly isDirty: boolean
  /** What to write at `now`; `clean` for the last one of an orderly stop. */
  snapshot(now: number, clean: boolean): Snapshot
}
