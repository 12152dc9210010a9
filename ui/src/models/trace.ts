/** What a step of a trace does. Frames change nothing; they are drawn. */
export const STEP = {
  up: 1,
  down: 2,
  linkUp: 3,
  linkDown: 4,
  frame: 5,
  holds: 6,
  table: 7,
  said: 8,
  fault: 9,
} as const

/** How a node holds another, by its number in the tables; 0 where it holds nothing of it. */
export const HELD_NAMES = ['nothing', 'alive', 'suspect', 'dead', 'left', 'unknown'] as const
/** One of them. */
export type HeldName = (typeof HELD_NAMES)[number]

/** A fault as the trace tells it. Times in ms; `untilMs` null for one that does not end. */
export interface TraceFault {
  readonly fault: string
  readonly nodes: readonly number[]
  readonly atMs: number
  readonly untilMs: number | null
}

/** Something a node's machine said. `peer` is a node's index, -1 for none or one not known. */
export interface TraceSaying {
  readonly atMs: number
  readonly node: number
  readonly said: string
  readonly peer: number
  readonly reason: string
}

/** A line that could not be read, by its number from 1. */
export interface TraceProblem {
  readonly line: number
  readonly text: string
}

/** A trace as it was read: steps in columns, in the order of the file. */
export interface Trace {
  readonly scenario: string
  readonly seed: string
  /** Nodes there are at the end, copies of identities included. */
  readonly nodes: number
  /** Whether everybody knew everybody at the beginning. */
  readonly isFormed: boolean
  /** Nodes there are from the beginning. */
  readonly firstNodes: number
  readonly ids: readonly string[]
  readonly endMs: number
  readonly steps: {
    readonly count: number
    readonly type: Uint8Array
    readonly atMs: Float64Array
    /** The node it happens at. */
    readonly node: Int16Array
    /** The other node, or -1. */
    readonly other: Int16Array
    /** A number of `HELD_NAMES`, or an index into `tables`, `sayings` or `faults`. */
    readonly value: Int32Array
  }
  readonly tables: readonly Uint8Array[]
  readonly sayings: readonly TraceSaying[]
  readonly faults: readonly TraceFault[]
  /** Lines read, of all kinds. */
  readonly lines: number
  /** True when the file is longer than what is read. */
  readonly isCut: boolean
  /** The first lines that could not be read, and how many there are. */
  readonly problems: readonly TraceProblem[]
  readonly problemCount: number
}
