/**
 * How far the clock in a first handshake message may be from ours. Two minutes pass for machines without a time service for
 * weeks, and keep the memory of seen messages short.
 */
export const CLOCK_SKEW_MS = 120_000

/**
 * First messages remembered at once: 32,768 within the
 * four minutes an entry can live are 136 a second, far above what a mesh of 10,000 nodes does. About 4 MB when full.
 */
export const SEEN_MESSAGES_MAX = 32_768

/**
 * Of these, those of one peer: a member that dials in a loop fills its own share and blocks itself. An honest one that redials
 * every second for the whole window has 240.
 */
export const SEEN_MESSAGES_PER_PEER_MAX = 1024

/** Peers whose newest accepted time is remembered: twice the largest mesh planned for. */
export const FLOORS_MAX = 20_000

/** How often expired entries are looked for; also bounds the work a full cache causes. */
export const SWEEP_EVERY_MS = 1000

/** Bits of the ring of a datagram window: 256 bytes, and 2,016 datagrams of reordering, as WireGuard had for years. */
export const WINDOW_BITS = 2048

/** Bits of the window of one author: it signs a few messages a second at most, and there are thousands of authors. */
export const AUTHOR_WINDOW_BITS = 256

/** Counters end here: above it a JavaScript number no longer tells neighbours apart. */
export const COUNTER_LIMIT = 2 ** 53

/** Authors remembered: as many as peers. */
export const AUTHORS_MAX = 20_000

/**
 * A sender seen less than this behind our clock counts as level with it: the difference may be delay. After a crash it waits
 * that much longer, at worst.
 */
export const LEAD_NOISE_MS = 10_000

/** A lead is kept in such steps, so that noise in the network does not cause writes. */
export const LEAD_STEP_MS = 250

/**
 * Lead that is accepted beyond what is on the disk. Machines with a time service are within 100 ms of each other; one that is
 * further ahead needs a second dial the first time. After a start everybody waits for as long.
 */
export const LEAD_RESERVE_MS = 500

/** A clock that goes back further than this between two messages was set; less is what a time service corrects. */
export const SET_BACK_MS = 1000

/** Between two writes of a guard's memory. Bounds the writes of a busy node, and nothing depends on it for safety. */
export const SAVE_EVERY_MS = 5000

/** Name of a sender or author: a peer id has 52 characters. */
export const SENDER_CHARACTERS_MAX = 64

/** A guard's memory on the disk: 20,000 rows of about 80 bytes. */
export const STATE_BYTES_MAX = 2_097_152
