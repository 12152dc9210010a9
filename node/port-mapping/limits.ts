/** Asked for: what RFC 6887 §15 calls long enough, and short enough that a crash leaves no port open for a day. */
export const LEASE_S = 7200
/** A router that grants less would have to be asked all the time; such a grant counts as refused. */
export const LEASE_MIN_MS = 30_000
/** More is not believed: the router may have been replaced by then. */
export const LEASE_MAX_MS = 24 * 3_600_000
/** The mapping is asked for again this often, so that one that a restart of the router took is there again. */
export const CHECK_MS = 300_000
/** A renewal that got no answer is tried again after half of what is left, but not sooner than this. */
export const RETRY_MIN_MS = 10_000
/** Pause after the first round in which no protocol worked; it doubles, half of it by chance. */
export const BACKOFF_FIRST_MS = 60_000
/** Longest pause: a router whose UPnP is switched on is found within the hour. */
export const BACKOFF_MAX_MS = 3_600_000
/** Other outside ports tried where the wanted one belongs to another host (UPnP; the other protocols choose by themselves). */
export const PORT_TRIES_MAX = 4
/** Outside ports drawn by chance start here, above what services of the system use. */
export const PORT_DRAWN_MIN = 20_000
/** Ports drawn from. */
export const PORT_DRAWN_COUNT = 40_000
/** First wait for a UDP answer; it doubles (RFC 6886 §3.1). A router at home answers in a few ms. */
export const UDP_WAIT_FIRST_MS = 250
/** UDP requests sent until the router counts as silent: 1.75 s in all. */
export const UDP_TRIES = 3
/** Wait for answers to an SSDP search; the search says 1 s (`MX`). */
export const SEARCH_MS = 2500
/** Answers of the gateway to one search that are looked at; it names itself once for each device and service. */
export const LOCATIONS_MAX = 4
/** Longest answer to a search that is read. */
export const SEARCH_ANSWER_BYTES_MAX = 2048
/** Longest description or SOAP answer that is read; real ones have 2 to 20 KiB. */
export const XML_BYTES_MAX = 65_536
/** Services of one description that are looked at. */
export const SERVICES_MAX = 32
/** Time for one HTTP request, its answer included. */
export const HTTP_MS = 3000
/** Longest path of a URL the gateway names. */
export const URL_MAX = 512
/** Time for one request to the router whatever it takes, so that nothing hangs. */
export const ASK_MS = 15_000
/** Time for taking the mapping back when the node stops. */
export const STOP_MS = 2000
