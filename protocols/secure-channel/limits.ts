/** One handshake message on the wire: 5 KiB of payload with room for the 2.3 KiB of a post-quantum key exchange. */
export const HANDSHAKE_MESSAGE_MAX_BYTES = 8 * 1024

/** Certificate chain in a handshake payload: a member certificate, its authority's and reserve for larger signatures. */
export const CREDENTIALS_MAX_BYTES = 4 * 1024

/** Payload of a handshake message: credentials and about 1 KiB for the other fields. */
export const HANDSHAKE_PAYLOAD_MAX_BYTES = 5 * 1024

/** Muxers offered in message 1. One is used today. */
export const MUXERS_MAX = 8

/** Longest protocol id of a muxer, as in `/yamux/1.0.0`. */
export const MUXER_NAME_MAX = 64

/**
 * Accepted connections of which nothing is proved yet. A stranger's costs two key agreements and about 10 KiB until it fails
 * or times out: 256 are below 3 MiB, and far more than honest callers need, who are through in one round trip.
 */
export const HALF_OPEN_MAX = 256

/** The same from one address: a house behind one NAT that comes back after a power cut. */
export const HALF_OPEN_PER_ADDRESS_MAX = 32

/**
 * First messages a second that may prove nothing, from one network and from all. Each costs up to 3 ms: all of them together
 * take at most a fifth of a processor. Those that end in a session are not counted.
 */
export const HANDSHAKES_PER_SECOND_PER_NETWORK = 16
export const HANDSHAKES_PER_SECOND = 64

/** The same at once: fifty machines that join from one house, and a flood that lasts no longer than a pause for collection. */
export const HANDSHAKE_BURST_PER_NETWORK = 64
export const HANDSHAKE_BURST = 256

/** Networks whose first messages are counted. */
export const HANDSHAKE_NETWORKS_MAX = 4096

/** Join exchanges under way at once; each waits for its issuer. */
export const PENDING_JOINS_MAX = 64

/** Sessions in the registry; twice what libp2p's connection manager may be set to. Beyond it handshakes are refused. */
export const SESSIONS_MAX = 4096

/** Dialled peers whose last failure is kept; the oldest entry makes room. */
export const FAILURES_MAX = 1024

/** One join request: a key, a certificate chain and a signature fill 2 KiB. */
export const EXCHANGE_REQUEST_MAX_BYTES = 8 * 1024

/** One join reply: certificates, root document and the addresses of a few members. */
export const EXCHANGE_REPLY_MAX_BYTES = 16 * 1024

/** Bytes a link keeps for a user that is not there yet; beyond them it stops reading. libp2p takes a few turns to set up. */
export const EARLY_MAX_BYTES = 256 * 1024

/**
 * Unsent bytes at which a connection is given up. Writers stop at half a megabyte; what may still come is one write of each
 * channel, and answers a peer asks for without reading them.
 */
export const UNSENT_MAX_BYTES = 160 * 1024 * 1024

/** Sessions with one peer: two that dial each other at once have two, one that changes its network a few more. */
export const SESSIONS_PER_PEER_MAX = 8
