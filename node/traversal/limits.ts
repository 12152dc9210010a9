/** Attempts at once, inbound and outbound: each has a port, up to 24 connects and a reflection. */
export const ATTEMPTS_MAX = 64

/** Streams of the exchange one member may have open: its own, and one more when both offer at once. */
export const PUNCH_STREAMS_MAX = 2

/** An OFFER comes once the other side has been told where it is seen, at most 4 s after its stream; a slow relay lies in between. */
export const OFFER_MS = 6_000

/** What is left to say after an attempt, such as FAILED, has so long to leave. */
export const CLOSE_MS = 2_000

/** Questions to a reflector one member may have open. */
export const REFLECT_STREAMS_MAX = 8

/** From question to answer: connecting back takes up to 3 s of it. */
export const REFLECT_ANSWER_MS = 5_000

/** Measuring the NAT: tickets, views, connecting back; each part is bounded by less, all of it by this. */
export const NETCHECK_MS = 10_000

/** Tickets and views within this; SYNs go out at 0, 1 and 3 s. */
export const VIEWS_MS = 4_500

/** What comes back through the own router does so at once. */
export const HAIRPIN_MS = 1_500
