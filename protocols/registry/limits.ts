/** A full member table; beyond it zones are needed, see the README. At the limit new members are refused with `table-full`. */
export const MEMBERS_MAX = 10_000
/** One signed statement: 16 modest services fit, and a renewal of 10,000 members stays below 1 kB/s a node. */
export const STATEMENT_BYTES_MAX = 1_400
/** Addresses a node claims: two public, two LAN, and relayed ones. */
export const ADDRESSES_MAX = 8
/** One multiaddr text without its peer id. */
export const ADDRESS_CHARACTERS_MAX = 128
/** Relays holding a reservation for the node. */
export const RELAYS_MAX = 3
/** Services of one node. */
export const SERVICES_MAX = 16
/** Tags of a service, and subjects allowed to reach it. */
export const SERVICE_TAGS_MAX = 16
export const SERVICE_SUBJECTS_MAX = 32
/** A record not renewed for so long is forgotten: the longest a vanished service is still named. */
export const LEASE_SECONDS = 86_400
/** Longest lease believed, so that nobody stays in every table for ever. */
export const LEASE_SECONDS_MAX = 7 * 86_400
/** A record from further in the future is refused: the sender's clock is wrong. */
export const SKEW_MS = 5 * 60_000
/** Ranges of the table compared in anti-entropy: 256 sums of 8 bytes are one 2-KiB frame. */
export const BUCKETS = 256
/**
 * Copies of registrations kept for the DHT. Each lies on the 8 nodes nearest to it, so a node of a large mesh holds about 8; a
 * hostile member that puts everybody's here fills 4 MB. At the limit further ones are refused (`record-copies-full`).
 */
export const RECORD_COPIES_MAX = 2_048
