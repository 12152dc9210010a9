/** Wall clock in milliseconds since the Unix epoch. Injected everywhere, so that tests and the simulator own the time. */
export interface Clock {
  now(): number
}

/** Source of cryptographically strong bytes; a seeded generator in the simulator. */
export interface Random {
  bytes(length: number): Uint8Array
}

/** An Ed25519 private key that never leaves its holder. */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** Returns a 64-byte signature. */
  sign(message: Uint8Array): Uint8Array
}

/** Checks an Ed25519 signature; false for anything wrong, never throws. */
export type Verify = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

/** SHA-256 over the parts in order, 32 bytes. Injected where a recording is replayed whose bytes were made anonymous. */
export type Hash = (...parts: readonly Uint8Array[]) => Uint8Array

/** How much an event matters to an operator. */
export type Severity = 'info' | 'notice' | 'warning' | 'alert'

/** Something that happened, before the log gives it an id and a time. Never carries a secret. */
export interface EventInput {
  /** Dotted and stable, past tense: `handshake.failed`, `peer.joined`. */
  readonly kind: string
  readonly severity: Severity
  /** Peer id of the other side, where known. */
  readonly peer?: string
  /** Reason code from a `ReasonTable`. */
  readonly reason?: string
  /** One sentence for people. */
  readonly text?: string
  readonly fields?: Readonly<Record<string, string | number | boolean>>
}

/** Where events go: the node's event log, or an array in tests. Must not throw and must not block. */
export type EmitEvent = (event: EventInput) => void

/** A small ordered key-value store; level in the node, a map in tests and in the simulator. */
export interface Store {
  get(key: string): Promise<Uint8Array | undefined>
  /** `sync: true` returns only after the bytes are on the disk (identity, incarnation, used invites). */
  put(key: string, value: Uint8Array, options?: { sync?: boolean }): Promise<void>
  delete(key: string, options?: { sync?: boolean }): Promise<void>
  /** All pairs whose key starts with `prefix`, in key order. */
  entries(prefix: string): AsyncIterable<[key: string, value: Uint8Array]>
}

/** Timers, injected like the clock; a virtual wheel in tests and in the simulator. Delays in ms. */
export interface Timers {
  /** Calls `run` every `intervalMs` until the returned function is called. */
  every(intervalMs: number, run: () => void): () => void
  /** Calls `run` once, unless the returned function is called first. */
  after(delayMs: number, run: () => void): () => void
}
