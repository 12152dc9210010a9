// From the specification
/** RFC 1035 §4.1.1. */
export const HEADER_BYTES = 12
/** RFC 1035 §3.1: a name on the wire. */
export const NAME_BYTES_MAX = 255
/** RFC 1035 §2.3.4. */
export const LABEL_BYTES_MAX = 63
/** RFC 1035 §4.2.1: the UDP limit for clients without EDNS. */
export const UDP_BYTES_PLAIN = 512
/** RFC 9715 §3: the answer size that avoids fragments. */
export const UDP_BYTES_EDNS = 1232
/** RFC 1035 §4.2.2: two length bytes. */
export const TCP_BYTES_MAX = 65_535

// Our choice
/** Queries have one question and at most an OPT and a few options: longer ones are refused unread. */
export const QUERY_BYTES_MAX = 1024
/** Open TCP connections; the server is for this machine's own programs. */
export const TCP_CONNECTIONS_MAX = 64
/** RFC 7766 §6.2.3 asks for "a few seconds" of patience with idle clients. */
export const TCP_IDLE_MS = 10_000
