/** Lines that are read: what a page can hold and go through in a second or two; the rest of the file is left out, and that is said. */
export const LINES_MAX = 500_000
/** Nodes of a trace: the matrix of more has cells smaller than a pixel on most screens. */
export const NODES_MAX = 512
/** Characters of one line: a table of as many nodes is a tenth of it. */
export const LINE_LENGTH_MAX = 65_536
/** Malformed lines that are shown; the others are counted. */
export const PROBLEMS_MAX = 5
/** Steps between two copies of the whole state: a jump applies at most so many. */
export const KEYFRAME_STEPS = 8192
/** Messages drawn at once: more are a blot. */
export const STROKES_MAX = 400
