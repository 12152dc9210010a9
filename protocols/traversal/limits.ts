/** Version of the exchange. */
export const PUNCH_VERSION = 1

/** Views and arrivals that count: two reflectors with two ports are four, and a third and fourth member may be asked. */
export const OBSERVATIONS_MAX = 16

/** Names one attempt, and is what the two sides know each other by on a punched socket. */
export const PUNCH_NONCE_BYTES = 16

/** Endpoints a node names: what two reflectors saw, over IPv4 and IPv6. */
export const ENDPOINTS_MAX = 4

/** Longest message of the exchange: an OFFER with `ENDPOINTS_MAX` IPv6 endpoints has 135 bytes. */
export const PUNCH_MESSAGE_BYTES_MAX = 256

/** Longest reason code on the wire. */
export const CODE_CHARACTERS_MAX = 40

/** Two addresses of the other side at most: one of each family. Whoever names victims gets no more of them dialled. */
export const DIALLED_ADDRESSES_MAX = 2

/** Ports below are those of services, and no NAT's pool begins there; a home gateway keeps the port, and ours is ephemeral. */
export const DIALLED_PORT_MIN = 1024

/** Connects of one attempt. At 40–120 ms a try it lasts for about 2 s of refusals, longer than a SYN retransmission takes. */
export const CONNECTS_MAX = 24

/** Connections from outside held at once; the real one is nominated within a round trip. */
export const ACCEPTED_MAX = 8

/** Strangers and errors told of one attempt. */
export const REPORTS_MAX = 8

/** To open a port and hear from where it is seen: three SYNs (0, 1 and 3 s) fit. */
export const REFLECT_MS = 4_000

/** From OFFER to ANSWER or from ANSWER to GO; the other side's `REFLECT_MS` lies in it. */
export const EXCHANGE_MS = 6_000

/** From the first connect; SYNs go out at 0, 1, 3 and 7 s. */
export const PUNCH_MS = 8_000

/** The whole attempt, whatever happens: the three above. */
export const ATTEMPT_MS = REFLECT_MS + EXCHANGE_MS + PUNCH_MS

/** A longer RTT is not believed: the other side says a part of it. */
export const RTT_MS_MAX = 2_000

/** Without an echo of the nomination, another socket is nominated too. */
export const NOMINATION_MS = 1_000

/** Pause before the next connect after a refusal, as [shortest, longest] in ms: so far apart that the two sides fall out of step. */
export const RETRY_MS = { initiator: [40, 120], responder: [300, 600] } as const

/** Nonces remembered of OFFERs that were answered, by peer. */
export const NONCES_MAX = 16

/** OFFERs of one peer answered in ten minutes; its own back-off keeps it far below. */
export const OFFERS_MAX = 12
export const OFFERS_WINDOW_MS = 600_000

/** Peers whose OFFERs are remembered; at the limit the one heard of longest ago is forgotten. */
export const OFFERING_PEERS_MAX = 1_024

/** Addresses of one way that are tried for a peer: several uplinks or relays, not a list made up to keep us dialling. */
export const CANDIDATES_PER_WAY_MAX = 4

/** Tries remembered of a peer, for `kith why`; the oldest go first. */
export const TRIED_MAX = 32

/** Peers whose tries are remembered; the one tried longest ago goes first. */
export const TRIED_PEERS_MAX = 1_024

/** A new direct connection answers within this, or is closed: two SYN retransmissions' time. */
export const PROBE_MS = 5_000

/** Pause after the first failed try of a direct way; doubles with each in a row, up to the next. */
export const DIRECT_RETRY_FIRST_MS = 30_000

/** Longest pause; also after a failure physics will repeat. A NAT may have been replaced or a port forwarded since. */
export const DIRECT_RETRY_MAX_MS = 1_800_000

/** After a change of network: addresses, routes and the relay come back first. Up to as much again by chance. */
export const NETWORK_SETTLE_MS = 1_000

/** The side that does not lead begins so much later, so that both seldom offer at once. */
export const FOLLOW_MS = 3_000

/** A direct connection that lived for less counts as a failed try. */
export const DIRECT_LASTING_MS = 60_000

/** All candidates in turn, a punch among them; a try that says nothing for so long counts as failed. */
export const TRY_MS = 90_000

/** Tickets given at once: two reflections of two ports. */
export const TICKETS_MAX = 4

/** Random, and as hard to guess as a nonce. */
export const TICKET_BYTES = 16

/** From ticket to the raw connection that shows it: two SYN retransmissions and a slow relay lie in between. */
export const TICKET_MS = 30_000

/** Tickets a peer holds; more push out its own oldest ones. */
export const TICKETS_PER_PEER_MAX = 16

/** Tickets remembered of all peers; the oldest go first. */
export const TICKETS_HELD_MAX = 4_096

/** A reflection that is kept open, so that the mapping stays while the attempt goes on. Longer than an attempt lasts. */
export const REFLECTION_HELD_MS = 30_000

/** Reflections kept open at once; the oldest goes first. */
export const REFLECTIONS_MAX = 512

/** The second port of a reflector closes when nobody has asked for it for so long. */
export const EXTRA_PORT_IDLE_MS = 60_000

/** A member that was asked to connect back gives up after this: two SYNs, and the echo. */
export const REACH_MS = 3_000

/** Connecting back for one peer, in ten minutes: some ten runs of `kith netcheck`. */
export const REACHES_PER_PEER_MAX = 40
export const REACHES_WINDOW_MS = 600_000

/** Connecting back at once, for all peers. */
export const REACHES_AT_ONCE_MAX = 32

/** Longest question or answer of a reflector: `TICKETS_MAX` tickets have 81 bytes. */
export const REFLECT_MESSAGE_BYTES_MAX = 128
