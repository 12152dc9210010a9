/**
 * Events between two checkpoints. Two such stretches are kept, so a recording reaches back over 4,096 to 8,192 of them: 8 to 15
 * minutes of an idle node (9 events a second), and the last minute of a busy one.
 */
export const RECORDED_EVENTS_MAX = 4_096
/** Bytes of frames and signed messages between two checkpoints; two stretches make 2 MiB. At either limit a new stretch begins. */
export const RECORDED_BYTES_MAX = 1_048_576
/** What an event is counted with besides what it carries. */
export const RECORDED_EVENT_BYTES = 64
