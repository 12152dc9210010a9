/**
 * How far the clock in a first handshake message may be from ours. Two minutes pass for machines without a time service for
 * weeks, and keep the memory of seen messages short.
 */
export const CLOCK_SKEW_MS = 120_000

/**
 * First messages remembered at once. Each member can add entries only as fast as it can make handshakes; 32,768 within the
 * four minutes an entry can live are 136 a second, far above what a mesh of 10,000 nodes does. About 4 MB when full.
 */
export const SEEN_MESSAGES_MAX = 32_768

/** Peers whose newest accepted time is remembered: twice the largest mesh planned for. */
export const FLOORS_MAX = 20_000

/** How often expired entries are looked for; also bounds the work a full cache causes. */
export const SWEEP_EVERY_MS = 1000
