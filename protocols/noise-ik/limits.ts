/** Longest Noise message of the framework (Noise Protocol Framework, revision 34, §3). */
export const NOISE_MESSAGE_MAX_BYTES = 65_535

/** AEAD tag of both suites. */
export const TAG_BYTES = 16

/** X25519 and Ed25519 keys, hash output, chaining key. */
export const KEY_BYTES = 32

/** Raw ML-KEM-768 encapsulation key (FIPS 203, table 3). */
export const KEM_PUBLIC_KEY_BYTES = 1184

/** ML-KEM-768 ciphertext (FIPS 203, table 3). */
export const KEM_CIPHERTEXT_BYTES = 1088

/**
 * Converted identity keys that are remembered. A conversion costs about 2 ms of pure JavaScript; 1,024 entries of 64 bytes hold
 * every member of a mesh of the usual size, and a larger mesh merely converts again.
 */
export const CONVERTED_KEYS_MAX = 1024
