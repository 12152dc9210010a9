/** Version of the protocol. */
export const RELAY_VERSION = 1

/** Longest frame: an INCOMING with an IPv6 address has 58 bytes, a REFUSED with the longest code 45. */
export const RELAY_FRAME_BYTES_MAX = 128

/** Longest reason code on the wire. */
export const CODE_CHARACTERS_MAX = 40

/** Members one relay keeps reachable. Each is a connection that stands anyway and a channel without traffic: some 5 kB. */
export const RESERVATIONS_MAX = 1_024

/** Circuits of one relay. With full windows both ways each may hold 4 MiB, so memory is bounded by the connections' pools first. */
export const CIRCUITS_MAX = 2_048

/** Circuits between the same two members: both may dial at once, and again before what died is noticed. */
export const CIRCUITS_PER_PAIR_MAX = 4

/** Circuits one member opens in a minute at one relay; its back-off keeps it far below. */
export const CONNECTS_PER_MINUTE = 240

/**
 * Reservations one member asks for in a minute at one relay. It asks again when its connection was replaced, and after a refusal
 * 5 s later at the earliest; each answer costs the relay an event.
 */
export const RESERVES_PER_MINUTE = 30

/** Members whose requests are counted; at the limit the one heard of longest ago is forgotten. */
export const COUNTED_MEMBERS_MAX = 4_096

/** From the opening of a channel to its whole first frame. */
export const FIRST_FRAME_MS = 5_000

/** From CONNECT to the target's first byte: its connection may have to be made first, and then a handshake's answer comes. */
export const CONNECT_MS = 8_000

/** From RESERVE to RESERVED. */
export const RESERVE_MS = 5_000

/** How long a channel that was refused may stay until its other side has read why. */
export const REFUSED_LINGER_MS = 2_000

/** Relays a node that cannot be dialled is reachable through: one may die. */
export const RELAYS_WANTED = 2

/** Relays of a peer that are tried for one connection. */
export const RELAYS_TRIED_MAX = 3

/** Pause after a relay refused or did not answer; doubles with each in a row, up to the next. */
export const RESERVE_RETRY_FIRST_MS = 5_000
export const RESERVE_RETRY_MAX_MS = 300_000

/** A relay is replaced by a better one at most this often, so that addresses stay. */
export const REPLACE_INTERVAL_MS = 300_000

/** A better one: its score is at most this part of the present one's … */
export const REPLACE_RATIO = 0.5

/** … and at least so many ms lower: below, nobody would notice. */
export const REPLACE_GAIN_MS = 20

/** RTT of a relay that was not measured yet. */
export const UNMEASURED_RTT_MS = 500

/** How often a relay tells those it holds reservations of how busy it is. */
export const LOAD_INTERVAL_MS = 15_000
