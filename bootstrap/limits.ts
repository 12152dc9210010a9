/** First retry within this after a loss or a failed dial: a restarted peer is back before anybody notices. */
export const BACKOFF_FIRST_MS = 250
/** Longest delay while a peer has been away for less than `RECENT_MS`: a restart is found within seconds. */
export const BACKOFF_RECENT_MS = 2_000
/** A peer lost less than a minute ago is probably restarting. */
export const RECENT_MS = 60_000
/** Longest delay for everybody else: one packet a peer in half a minute. */
export const BACKOFF_MAX_MS = 30_000
/** A connection that ends sooner was no success: the other side closed it on purpose, or is falling over. */
export const LASTING_MS = 2_000
/** Dials at the same time; a laptop's home router keeps few half-open connections. */
export const DIALS_MAX = 8
/** A dial that takes longer counts as failed. */
export const DIAL_TIMEOUT_MS = 10_000
/** How often the loop looks at what is wanted and what is there. */
export const RECONNECT_TICK_MS = 250
/** Peers remembered with their failures; at the limit those no longer wanted are forgotten, oldest first. */
export const REMEMBERED_MAX = 1_000
/** Addresses in one list given by hand. */
export const ADDRESS_LIST_MAX = 64
/** One multiaddr text. */
export const ADDRESS_CHARACTERS_MAX = 256
/** A file or standard input with an invite: the longest invite and some white space. */
export const INVITE_FILE_BYTES_MAX = 8_192
