/** One tick of the machine: gossip goes out once a tick, so this bounds a hop's delay. */
export const TICK_MS = 200
/** One probe a second in all, round-robin over neighbours: about 200 B/s at any size. */
export const PROBE_INTERVAL_MS = 1_000
/** An unanswered probe is repeated so often. */
export const PROBE_REPEAT_MS = 1_000
/** Silence, or a lost link, of so long makes a neighbour suspect: three lost probes. */
export const SUSPECT_AFTER_MS = 3_000
/** A lost link whose redial is refused (process dead, host alive), or silence that another accuser confirms. */
export const DEAD_CONFIRMED_MS = 6_000
/** Silence that nobody confirms. */
export const DEAD_SILENT_MS = 10_000
/** Time an accused member has to answer before nodes that cannot see it hold it dead. */
export const SUSPICION_MS = 6_000
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
/** Time to negotiate a stream. */
export const STREAM_OPEN_MS = 10_000
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

/** Digests must differ so long before anti-entropy starts, so that gossip under way does not set it off. */
export const DIFFER_MS = 2_000
/** Anti-entropy with one neighbour at most so often. */
export const AE_INTERVAL_MS = 1_000
/** Bytes of entries one side sends in one exchange: 10,000 members take about two minutes to a newcomer per neighbour. */
export const AE_BYTES_MAX = 131_072
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
/** Frames waiting for one neighbour's stream; at the limit the link is closed as too slow. */
export const SEND_QUEUE_BYTES_MAX = 1_048_576

/** Everybody is a neighbour up to this many members; a home or a small office. */
export const FULL_MESH_MAX = 12
/** XOR-nearest members that are neighbours in a larger mesh. */
export const NEAREST = 6
/** Contacts in the top buckets, one each: log-distance shortcuts. */
export const TOP_BUCKETS = 6
/** Links of one node; beyond it inbound links are closed unless we want the peer. */
export const LINKS_MAX = 32
/** Dead members tried again at the same time in a larger mesh, changed every `REDIAL_DEAD_MS`; finds the far side after a partition. */
export const REDIAL_DEAD = 2
export const REDIAL_DEAD_MS = 30_000

/** Accusers remembered of one member: three settle it. */
export const ACCUSERS_MAX = 3
/** Accusers whose last accusation of one record is remembered; a member has at most half as many neighbours. */
export const WEIGHED_MAX = 64
/** Members whose last version is remembered after their lease ended; at the limit unknown members are refused. */
export const ENDED_MAX = 20_000
/** Subjects of one accusation. */
export const ACCUSED_MAX = 16
/** Own announcements, refutations included, are at least so far apart. */
export const ANNOUNCE_INTERVAL_MS = 1_000
/** A third of the lease: two renewals may be lost. */
export const RENEW_MS = 8 * 3_600_000
/** Changed entries are written so often; they come back by anti-entropy if lost. */
export const PERSIST_MS = 1_000
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
