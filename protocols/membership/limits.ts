/** One tick of the machine: gossip goes out once a tick, so this bounds a hop's delay. */
export const TICK_MS = 200
/** One probe a second in all, to the neighbour not heard for the longest: about 200 B/s at any size. */
export const PROBE_INTERVAL_MS = 1_000
/** An unanswered probe is repeated so often. */
export const PROBE_REPEAT_MS = 1_000
/** Without an answer for so long others are asked to probe. */
export const DIRECT_TIMEOUT_MS = 1_000
/** They have this long, and are asked again after it. */
export const INDIRECT_TIMEOUT_MS = 1_500
/** Silence, or a lost link, of so long makes a neighbour suspect, unless others hear it. */
export const SUSPECT_AFTER_MS = DIRECT_TIMEOUT_MS + INDIRECT_TIMEOUT_MS
/** A silent link is ended, so that it is dialled again, at the latest after this. */
export const LINK_SILENT_MS = 10_000
/** Accusers that together settle a suspicion in the shortest time; fewer where fewer could know. */
export const ACCUSERS_MAX = 3
/** Time an accused member has to answer when as many accuse it as could be asked for. Lifeguard's minimum. */
export const SUSPICION_MIN_MS = 6_000
/** The same when only one accuses it. Lifeguard's maximum. */
export const SUSPICION_MAX_MS = 30_000
/** The same when all of them saw its host refuse the redial: there is no process any more that could answer. */
export const SUSPICION_REFUSED_MS = 2_000
/** Neighbours asked to probe a silent member. */
export const HELPERS = 3
/** A member that helpers heard within this is not accused. */
export const VOUCHED_MS = 2 * INDIRECT_TIMEOUT_MS
/** Probes others wait for; at the limit further requests are left unanswered, the two other helpers are there. */
export const REQUESTS_MAX = 256
/** A wanted neighbour that never had a link to us, cannot be dialled and is vouched for by nobody is suspect after this. */
export const UNREACHED_MS = 10_000
/** After somebody vouched for such a member it is left alone so long: a NAT stands between us, not death. */
export const UNREACHED_PAUSE_MS = 300_000
/** Lifeguard's local health: own timeouts grow up to eightfold. */
export const HEALTH_MAX = 7
/** One step of it is regained so often while nobody is silent. */
export const HEALTH_RECOVERY_MS = 1_000
/** A tick late by this much is a stall of our own: one step of health for each. */
export const STALL_HINT_MS = 500
/** After a stall, or when most neighbours fall silent at once, silence is not accused for this long. */
export const NO_ACCUSING_MS = 10_000
/** Most are so many at least: two of three may well be dead. */
export const SILENT_TOGETHER_MIN = 3
/** It delays us once in so long: if they stay silent, a cut it is. */
export const SILENT_TOGETHER_PAUSE_MS = 60_000
/** A node that heard from X itself in this time never believes others about X. */
export const OWN_EVIDENCE_MS = 8_000
/** Members read from disk that nobody vouches for are held dead after this. */
export const UNKNOWN_AFTER_MS = 10_000
/** A pause of the process (sleep, stall) longer than this restarts all timers: we were away, not they. */
export const STALL_MS = 2_000
/** A linked peer must introduce itself within this. */
export const HELLO_TIMEOUT_MS = 10_000
/** An introduction is repeated for a peer that introduces itself again, but not more often. */
export const HELLO_REPEAT_MS = 1_000
/** A stream that could not be opened, or ended while its connection stands, is opened again after this. */
export const STREAM_RETRY_MS = 2_000
/** Where neither side needed the link: whether one does now is looked at so often. */
export const PARTED_RETRY_MS = 30_000
/** Time to negotiate a stream. */
export const STREAM_OPEN_MS = 10_000
/** Time the connection of a revoked member stays, for what says so to arrive; its rights have ended before. */
export const REVOKED_TOLD_MS = 200
/** Time a stopping node gives its last frames to leave. */
export const CLOSE_MS = 1_000

/** Neighbours an item is pushed to, once each: infect and die; anti-entropy closes the holes. */
export const GOSSIP_FANOUT = 4
/** Bytes of items a tick, so 20 kB/s at most over four neighbours. One item may overdraw it. */
export const GOSSIP_BYTES_PER_TICK = 1_000
/** Items waiting to be pushed; at the limit the oldest of others is dropped, anti-entropy repairs. */
export const GOSSIP_QUEUE_MAX = 256
/** Entries learned by one anti-entropy frame are pushed on only up to this many: a newcomer does not flood. */
export const REPUSH_MAX = 32

/** The accusations that settle a suspicion are pushed a second time after this. */
export const TELL_AGAIN_MS = 600
/** Digests must differ so long before anti-entropy starts, so that gossip under way does not set it off. */
export const DIFFER_MS = 1_000
/** Anti-entropy with one neighbour, and begun by one node, at most so often. */
export const AE_INTERVAL_MS = 1_000
/** Bytes a node sends for anti-entropy in a second, over time; its neighbours together give a newcomer a table of 1,000 in seconds. */
export const AE_BYTES_PER_S = 16_384
/** What it may send at once after a quiet time: the whole table of forty members. */
export const AE_BURST_BYTES = 32_768
/** Items in one AE2 and wants in one AE3: both stay in one frame. */
export const AE_ITEMS_MAX = 850
/** Wants (9 bytes each) that may stand beside `FRAME_ENTRIES_BYTES` of entries; more go in a frame of their own. */
export const AE_SHARED_WANTS_MAX = 256
/** An exchange not finished in this time is over. */
export const AE_TIMEOUT_MS = 30_000

/** One frame; large enough for 2 KiB of sums or a dozen entries. */
export const FRAME_BYTES_MAX = 16_384
/** Entries of one frame together, leaving room for the frame's own fields. */
export const FRAME_ENTRIES_BYTES = 12_000
/** Distinct authority certificates of one frame. */
export const FRAME_AUTHORITIES_MAX = 4
/** Entries and accusations of one frame. */
export const FRAME_ENTRIES_MAX = 64
export const FRAME_ACCUSATIONS_MAX = 16
export const FRAME_HEALS_MAX = 4
export const FRAME_REVOCATIONS_MAX = 16
/** A signed request to announce anew. */
export const HEAL_BYTES_MAX = 160
/** Frames waiting for one neighbour's stream; at the limit the link is closed as too slow. */
export const SEND_QUEUE_BYTES_MAX = 1_048_576

/** Everybody is a neighbour up to this many members; a home or a small office. */
export const FULL_MESH_MAX = 12
/** XOR-nearest members that are neighbours in a larger mesh. */
export const NEAREST = 6
/** Contacts in the top buckets, one each: log-distance shortcuts. */
export const TOP_BUCKETS = 6
/** Links of one node; beyond it inbound links are closed unless we want the peer. About twice what it wants and is wanted by. */
export const LINKS_MAX = 48
/** Beyond this many links, neighbours we have no use for are asked to part, so that newcomers find room. */
export const LINKS_ENOUGH = 24
/** Nobody parts from its last links. */
export const LINKS_LEAST = 3
/** A new neighbour has had time to learn the table from us. */
export const PART_AFTER_MS = 2_000
export const PART_INTERVAL_MS = 1_000
/** The same neighbour is asked so often. */
export const PART_REPEAT_MS = 30_000
/** Dead members tried again at the same time in a larger mesh, changed every `REDIAL_DEAD_MS`; finds the far side after a partition. */
export const REDIAL_DEAD = 2
export const REDIAL_DEAD_MS = 30_000

/** Members held differently by two neighbours, above which everybody is asked to announce anew. */
export const HEAL_DIFFER_MIN = 32
/** Such requests heeded: one in so long. */
export const HEAL_INTERVAL_MS = 20_000
/** Everybody announces at a random moment within this. */
export const HEAL_SPREAD_MS = 5_000
/** Members whose last such request is remembered; at the limit all are forgotten, the interval still holds. */
export const HEALERS_MAX = 1_000

/** Refuted accusations, of which nobody else was convinced, after which a member's accusations are ignored. */
export const REFUTED_MAX = 5
export const REFUTED_WINDOW_MS = 600_000
/** One outage can make a node accuse many: it counts once in this time. */
export const REFUTED_ONCE_MS = 20_000
export const IGNORED_MS = 3_600_000
/** Members counted for that; at the limit those who were refuted least recently are forgotten. */
export const REFUTED_MEMBERS_MAX = 1_000
/** Accusers whose last accusation of one record is remembered; a member has at most half as many neighbours. Further ones are not heard. */
export const WEIGHED_MAX = 64
/** Members whose last version is remembered after their lease ended; at the limit unknown members are refused. */
export const ENDED_MAX = 20_000
/** Members kept to be dialled after their lease ended: a whole mesh behind a cut that outlasted it. At the limit those kept for the longest are forgotten. */
export const ARCHIVED_MAX = 10_000
/** Subjects of one accusation. */
export const ACCUSED_MAX = 16
/** Own announcements, refutations included, are at least so far apart. */
export const ANNOUNCE_INTERVAL_MS = 1_000
/** A third of the lease: two renewals may be lost. */
export const RENEW_MS = 8 * 3_600_000
/** Changed entries are written so often; they come back by anti-entropy if lost. */
export const PERSIST_MS = 1_000
/** Entries from the disk whose signatures are checked again in a tick: about 5 ms of work; a thousand take 25 s. */
export const RESTORED_CHECKS_PER_TICK = 8
/** Ended leases are looked for so often. */
export const SWEEP_MS = 60_000
/** Own newer records taken over in this time before the identity counts as copied. */
export const CLONE_ADOPTIONS = 3
export const CLONE_WINDOW_MS = 600_000
/** Clocks further apart than this are warned about: registrations beyond it are refused. */
export const CLOCK_WARNING_MS = 120_000
/** The same refusal of the same peer is reported at most so often. */
export const REPORT_INTERVAL_MS = 60_000
/** Refusals remembered for that; at the limit all are forgotten and reported anew. */
export const REPORTS_MAX = 1_000
