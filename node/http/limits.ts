// Our choice, each with its reason. Times are in milliseconds, sizes in bytes.

/** Largest request body: an invite link is at most 8 KiB, everything else is smaller; 64 KiB leaves room for a policy. */
export const BODY_SIZE_BYTES_MAX = 65_536
/** Connections per listener: a browser opens 6 a host plus sockets; 256 leaves the process its descriptors. */
export const CONNECTIONS_MAX = 256
/** Live sockets: one a tab; more than 32 tabs on one node is a mistake or an attack. */
export const LIVE_SOCKETS_MAX = 32
/** Largest message a browser may send on the live socket: it only ever says `{"type":"seen"}`. */
export const LIVE_MESSAGE_SIZE_BYTES_MAX = 1024
/** Bytes waiting in a live socket above which no snapshot is added; the newest is sent once it has drained. */
export const LIVE_BACKLOG_BYTES_MAX = 1_048_576
/** Events waiting for one slow live socket; the oldest is dropped, the tab sees the gap in ids and asks again. */
export const LIVE_EVENTS_MAX = 256
/** WebSocket ping: below the 30 s after which stateful firewalls and laptops forget. */
export const LIVE_PING_INTERVAL_MS = 25_000

/** Sessions kept; the one idle longest goes when another logs in. */
export const SESSIONS_MAX = 64
/** A session nobody uses ends after this (OWASP: 15 to 30 minutes for a tool of this value). */
export const SESSION_IDLE_MS = 30 * 60_000
/** Even a busy session ends after a working day. */
export const SESSION_ABSOLUTE_MS = 12 * 3_600_000
/** The last use is written to disk at most this often: a restart may forget a minute of use, not more. */
export const SESSION_SAVE_INTERVAL_MS = 60_000

/** A link from `kith ui` is clicked at once. */
export const LOGIN_LINK_TTL_MS = 60_000
/** The link printed at the first start waits for a person to find the terminal. */
export const FIRST_LOGIN_LINK_TTL_MS = 10 * 60_000
/** Links not yet used; the oldest goes when another is minted. */
export const LOGIN_LINKS_MAX = 16

/** Bytes of `sockaddr_un.sun_path` on the strictest platform we run on (macOS: 104 with the final zero). */
export const SOCKET_PATH_SIZE_BYTES_MAX = 103
