import { cborFormat, row, uint, z } from '../common/format.ts'
import { AUTHORS_MAX, FLOORS_MAX, SENDER_CHARACTERS_MAX, STATE_BYTES_MAX } from './limits.ts'

const sender = z.string().min(1).max(SENDER_CHARACTERS_MAX)

/** What is kept of one sender: newest accepted time in ms of its clock, and how far that clock is ahead of ours, in ms. */
const senderRow = row({ sender, newest: uint(), lead: z.int() })
export type SavedSender = z.output<typeof senderRow>

/**
 * Memory of a first-message guard. `at`: our clock, ms. `clean`: written by an orderly stop, so nothing was accepted after it.
 * `reserve`: the greatest lead, in ms, of a sender that is missing in a memory that is not clean.
 */
export const guardStateFormat = cborFormat(
  'replay guard state',
  row({
    version: z.literal(1),
    at: uint(),
    clean: z.boolean(),
    reserve: uint(),
    senders: z.array(senderRow).max(FLOORS_MAX),
  }),
  STATE_BYTES_MAX,
)

/** Memory of an author window: as above, and for each author its incarnation and the first sequence number above all accepted. */
export const authorStateFormat = cborFormat(
  'author window state',
  row({
    version: z.literal(1),
    at: uint(),
    clean: z.boolean(),
    reserve: uint(),
    authors: z
      .array(row({ sender, newest: uint(), lead: z.int(), incarnation: uint(), next: uint() }))
      .max(AUTHORS_MAX),
  }),
  STATE_BYTES_MAX,
)
