import { RECORDED_EVENTS_MAX } from '../../protocols/membership/recorder-limits.ts'
import { MEMBERS_MAX } from '../../protocols/registry/limits.ts'

/** Steps of one recording: the two stretches a recorder keeps. */
export const RECORDED_STEPS_MAX = 2 * RECORDED_EVENTS_MAX
/** Entries of any one list of a report: the largest tables have `MEMBERS_MAX`, memories of those who left twice as many. */
export const REPORTED_ITEMS_MAX = 2 * MEMBERS_MAX
/** Rewritten blobs of one report: two for each row of two tables, and a few for each recorded step. */
export const REPORTED_HASHES_MAX = 4 * MEMBERS_MAX + 16 * RECORDED_STEPS_MAX
/** Newest entries of the event log in a report. */
export const REPORTED_EVENTS_MAX = 1_000
/** A report unpacked: 10,000 members twice (28 MB in base64 each), and the recorded bytes. Beyond it a file is refused unread. */
export const REPORT_BYTES_MAX = 100_000_000
/** The same as a file. */
export const REPORT_FILE_BYTES_MAX = 50_000_000
/** A report is made in slices, between which the node goes on: far below the 500 ms after which a node doubts itself. */
export const REPORT_SLICE_MS = 20
