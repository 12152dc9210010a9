/** Names no service may take: they have a meaning in the mesh (acme, node, ns) or in browsers and systems. */
export const RESERVED_NAMES: readonly string[] = ['acme', 'node', 'ns', 'wpad', 'isatap', 'localhost']

/**
 * TTL of answers in seconds. Short, because an answer follows the member table and local resolvers cache; long enough that
 * a page with many resources asks once.
 */
export const ANSWER_TTL_S = 5

/** 127.64.0.0/10: 4,194,304 loopback addresses, clear of 127.0.0.1 and of what other programs use by habit. */
export const LOOPBACK_BASE = 0x7f40_0000
/** Number of addresses in LOOPBACK_BASE's block. */
export const LOOPBACK_COUNT = 1 << 22
/** Addresses tried on a clash before a service goes without one of its own. */
export const LOOPBACK_PROBES = 16
