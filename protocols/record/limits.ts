/** type u8, length u24, epoch u32, counter u64. */
export const HEADER_BYTES = 16

/** AEAD tag of both suites; `length` counts it. */
export const RECORD_TAG_BYTES = 16

/**
 * Plaintext our side puts into one record. A muxer frame of 64 KiB has a 12-byte header, so a limit of 64 KiB would make one
 * full and one tiny record of each; 132 KiB takes two frames and was the fastest of four sizes measured.
 */
export const RECORD_TARGET_BYTES = 132 * 1024

/** Plaintext accepted in one record. Room for larger records of a later version; bounds what one peer makes us buffer. */
export const RECORD_MAX_BYTES = 256 * 1024

/**
 * Chunks of one unfinished record kept apart before they are joined. Without it a sender of single bytes would make us keep
 * one array object for each.
 */
export const RECORD_CHUNKS_MAX = 64

/**
 * Records up to this plaintext are built in one buffer; larger ones leave in pieces, as the crypto library made them. Copying
 * 64 KiB cost about as much as encrypting a third of it.
 */
export const ONE_BUFFER_MAX_BYTES = 16 * 1024
