/** type and flags u8, length u24, channel u32. */
export const FRAME_HEADER_BYTES = 8

/** Content of one DATA frame that is sent: a large write of one channel then cannot hold the others up for longer. */
export const FRAME_TARGET_BYTES = 64 * 1024

/** Content of a frame that is accepted: room for a later version, and a bound on what is collected before it is given. */
export const FRAME_MAX_BYTES = 256 * 1024

/** Longest protocol name in an OPEN frame. */
export const PROTOCOL_NAME_MAX_BYTES = 128

/**
 * Bytes a sender may have under way in a new channel. Also what a channel nobody reads can make us keep, so it is small: it
 * doubles at once for those that are read.
 */
export const INITIAL_WINDOW_BYTES = 64 * 1024

/** Largest window of a channel: 160 Mbit/s over a path of 100 ms. */
export const MAX_WINDOW_BYTES = 2 * 1024 * 1024

/** What all windows of a connection may be above the initial ones; bounds what one peer can make us keep. */
export const WINDOW_POOL_BYTES = 32 * 1024 * 1024

/** Half of a window read within this many round trips means that the window, not the reader, is what holds the sender up. */
export const GROW_WITHIN_ROUND_TRIPS = 4

/** Shortest time that rule uses: on a loopback path a round trip is shorter than a pause of the event loop. */
export const GROW_WITHIN_MS = 20

/** Channels a peer may have open to us, and we to it: pages behind a gateway open hundreds. */
export const CHANNELS_MAX = 2048

/** Bytes waiting for a peer's window in one channel; writers stop at the first byte that waits, so only one write is ever here. */
export const QUEUE_MAX_BYTES = 8 * 1024 * 1024

/** Streams that may arrive before libp2p listens for them: a dialler sends right behind its handshake. */
export const EARLY_STREAMS_MAX = 1000

/**
 * Open channels beyond which bytes wait some turns of the event loop for others to share a record with: 16 short connections
 * at once cost a third less, and a few channels, where latency shows, wait for nothing.
 */
export const BUSY_CHANNELS = 8

/** A buffer up to this may be kept whole for a few bytes of it. */
export const PINNED_MAX_BYTES = 4 * 1024

/** Arrays of bytes kept apart while nobody takes them; more are joined. */
export const KEPT_ARRAYS_MAX = 64
