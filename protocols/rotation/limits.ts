/** Version of the rotation messages, bound in the prologue. */
export const ROTATION_VERSION = 1

/** Rotation nonce: number of the attempt u32 | random 4 B. */
export const ROTATION_NONCE_BYTES = 8

/** Epoch u32 and nonce in front of each Noise message. */
export const ROTATION_HEADER_BYTES = 4 + ROTATION_NONCE_BYTES

/** Noise message 1: e 32 B, e1 1,184 B and its tag, tag of the empty payload. */
export const ROT_BYTES = ROTATION_HEADER_BYTES + 32 + 1184 + 16 + 16

/** Noise message 2: e 32 B, ekem1 1,088 B and its tag, tag of the empty payload. */
export const ACK_BYTES = ROTATION_HEADER_BYTES + 32 + 1088 + 16 + 16

/** Last epoch a connection may reach: the header has 32 bits, and an epoch must never come twice (QUIC has the same rule). */
export const EPOCH_MAX = 2 ** 32 - 2

/** A timeout doubles with each failure in a row, at most this often: behind a full buffer of a slow link an ACK takes longer. */
export const ANSWER_DOUBLINGS_MAX = 3

/** How much one key may serve; the larger of both directions counts. */
export interface KeyLife {
  readonly ms: number
  readonly records: number
  readonly bytes: number
}

/** When keys rotate, and when a connection that cannot rotate ends. */
export interface RotationLimits {
  /** The dialling side starts a rotation at any of these. */
  readonly soft: KeyLife
  /** At any of these the connection is closed. */
  readonly hard: KeyLife
  /** Each soft limit is lowered by up to this part, at random, so that links made together do not rotate together. */
  readonly jitter: number
  /** The listening side waits this much longer: both count the same records, and would start at once. */
  readonly listenerFactor: number
  /** A ROT without ACK fails after this. */
  readonly answerMs: number
  /** An ACK without a record of the new epoch counts as failed after this; its key is kept (README, "unconfirmed next"). */
  readonly unconfirmedMs: number
  /** Waiting times after the first, second … failure in a row; the last one repeats. */
  readonly retryMs: readonly number[]
  /** ROTs answered in a minute. */
  readonly rotsPerMinute: number
}

/**
 * Soft: WireGuard rekeys after 2 minutes, TLS and SSH by volume; ten minutes of use bound what one stolen key reads without
 * measurable cost (1 ms on each side). 2^24 records and 16 GiB stay far below the budget of AES-GCM, about 2^38 bytes a key
 * (RFC 8446 §5.5). Hard: three to four times as much, so that several failed attempts fit in between. Timeouts: WireGuard
 * retries after 5 s; a rotation is never urgent, so 10 s and then minutes. 600 ROTs a minute cost about 1 % of a core.
 */
export const ROTATION_LIMITS: RotationLimits = {
  soft: { ms: 10 * 60_000, records: 2 ** 24, bytes: 16 * 2 ** 30 },
  hard: { ms: 30 * 60_000, records: 2 ** 26, bytes: 64 * 2 ** 30 },
  jitter: 0.1,
  listenerFactor: 1.5,
  answerMs: 10_000,
  unconfirmedMs: 60_000,
  retryMs: [60_000, 120_000, 240_000],
  rotsPerMinute: 600,
}
