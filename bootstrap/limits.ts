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

// LAN discovery, from RFC 6762
/** §17: a multicast packet should fit one frame of the link; what is longer is not looked at. */
export const MULTICAST_BYTES_MAX = 1_500
/** RFC 1035 §2.3.4 and §3.1. */
export const LABEL_BYTES_MAX = 63
export const NAME_BYTES_MAX = 255
/** Jumps within one name; a name of our own needs two. More only make reading dear. */
export const POINTERS_MAX = 8
/** §6: what several hosts may answer is answered after a random wait between these. */
export const ANSWER_WAIT_MIN_MS = 20
export const ANSWER_WAIT_MAX_MS = 120
/** §7.2: a query whose known answers go on in another packet is answered after a random wait between these. */
export const TRUNCATED_WAIT_MIN_MS = 400
export const TRUNCATED_WAIT_MAX_MS = 500
/** §6: a record is not multicast again on a link sooner. */
export const MULTICAST_INTERVAL_MS = 1_000
/** §6.7: what a client that is no multicast querier is told to keep an answer for. */
export const LEGACY_TTL_SECONDS = 10
/** §10: time to live of records that name a host. An address found is tried no longer, whatever its record says. */
export const LAN_TTL_SECONDS = 120
/** §8.3: announcements of a change, the interval in between doubles. */
export const ANNOUNCEMENTS = 2
/** §5.2: first interval of a series of queries; each is twice the one before. */
export const QUERY_FIRST_MS = 1_000

// LAN discovery, our choice
/** Longest interval of queries while nobody is connected: an announcement that was lost is made up for within a minute. */
export const QUERY_ISOLATED_MAX_MS = 60_000
/** Longest interval otherwise: changes are announced, so this finds only the other half of a partition. */
export const QUERY_MAX_MS = 15 * 60_000
/** Packets a link looks at in a second, before reading them: a busy office has tens. Most cost some 20 µs, the dearest half a millisecond. */
export const PACKETS_PER_SECOND = 100
/** Answers a second to single questions of other programs (`dig`), over all links: they are unicast, so nothing else holds them back. */
export const LEGACY_ANSWERS_PER_SECOND = 10
/** Known answers in a query, and so tags remembered for each link: what one packet holds. Those left out answer once more. */
export const KNOWN_ANSWERS_MAX = 14
/** Sightings read from one packet; one of our own holds one. */
export const SIGHTINGS_PER_PACKET_MAX = 4
/** Addresses read of one sighting: both families, and one more of each. */
export const SIGHTING_ADDRESSES_MAX = 4
/** Addresses kept of one peer; at the limit the one that ends first goes. A liar so displaces a true one until the next answer. */
export const CANDIDATES_PER_PEER_MAX = 4
/** Peers with addresses kept; at the limit the one seen longest ago goes. One that is connected tells of the others. */
export const CANDIDATE_PEERS_MAX = 256
/** Dials a sighting brings about in a minute, for one peer and in all; others wait for the reconnect loop's own turn. */
export const SIGHTED_DIALS_PER_PEER = 2
export const SIGHTED_DIALS_MAX = 30
/** A peer seen again where it was seen before (by the other family, in a second answer) is dialled again for it after this only. */
export const SIGHTED_AGAIN_MS = 10_000
/** How often the node looks at its interfaces and connections. */
export const LAN_LOOK_MS = 2_000
/** The new tag of an hour is announced within this, at a random time: not by everybody at the full hour. */
export const HOUR_SPREAD_MS = 60_000
/** Links (an interface and an address family) used at once; at the limit further ones are left out. */
export const LAN_LINKS_MAX = 32
/** A link that could not be opened is tried again after this. */
export const LINK_RETRY_MS = 60_000
/** How long a dial waits at addresses found on the LAN, before those the member itself announced are tried. */
export const SIGHTED_DIAL_MS = 3_000
/** How long a joiner whose doors do not answer looks for them on the LAN: two queries and their answers. */
export const LAN_JOIN_MS = 2_500
