import { STEP } from './trace.ts'
import type { Trace } from './trace.ts'
import { KEYFRAME_STEPS } from './trace-limits.ts'

/** What a node is at a time. `cut`: it runs, but a fault keeps it from others. */
export type NodeState = 'none' | 'up' | 'down' | 'cut'

/** Faults that keep nodes from each other. */
const CUTS: ReadonlySet<string> = new Set(['partition', 'flap'])
/** Steps that change how somebody is held. */
const VERDICTS: ReadonlySet<number> = new Set([STEP.holds, STEP.table, STEP.down])
const ALIVE = 1
const UP = 1
const DOWN = 2

/** The whole picture after some steps. Rows of the squares are the nodes that see, columns those that are seen. */
interface Picture {
  /** 0 before the first start, 1 up, 2 down. */
  readonly run: Uint8Array
  /** 1 where the row's node has a link to the column's. */
  readonly links: Uint8Array
  /** Numbers of `HELD_NAMES`. */
  readonly held: Uint8Array
}

/** A trace that can be looked at after any of its steps. */
export class TraceState {
  readonly trace: Trace
  /** Steps that have happened. */
  index = 0
  /** Moves on whenever `held` may have changed: a picture of it need not be drawn again before. */
  heldVersion = 0
  #now: Picture
  readonly #keyframes: Picture[] = []

  constructor(trace: Trace) {
    this.trace = trace
    this.#now = begin(trace)
    for (let i = 0; i < trace.steps.count; i++) {
      if (i % KEYFRAME_STEPS === 0) this.#keyframes.push(copy(this.#now))
      apply(trace, this.#now, i)
    }
    this.#now = copy(this.#keyframes[0] ?? begin(trace))
  }

  /** How the row's node holds the column's, numbers of `HELD_NAMES`. */
  get held(): Uint8Array {
    return this.#now.held
  }

  /** 1 where the row's node has a link to the column's. */
  get links(): Uint8Array {
    return this.#now.links
  }

  /** Goes to where `index` steps have happened. */
  seek(index: number): void {
    const { trace } = this
    const target = Math.max(0, Math.min(trace.steps.count, index))
    const keyframe = Math.min(Math.floor(target / KEYFRAME_STEPS), this.#keyframes.length - 1)
    if (target < this.index || target - this.index > KEYFRAME_STEPS) {
      const from = this.#keyframes[keyframe]
      this.#now = from === undefined ? begin(trace) : copy(from)
      this.index = Math.max(0, keyframe) * KEYFRAME_STEPS
      this.heldVersion++
    }
    while (this.index < target) {
      if (VERDICTS.has(trace.steps.type[this.index] ?? 0)) this.heldVersion++
      apply(trace, this.#now, this.index++)
    }
  }

  /** How many steps have happened at a time, those of the very millisecond included. */
  indexAt(timeMs: number): number {
    const { atMs, count } = this.trace.steps
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((atMs[middle] ?? 0) <= timeMs) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The next or the previous step that changes something, as the count of steps that have happened then. */
  neighbour(direction: 1 | -1): number {
    const { type, count } = this.trace.steps
    const changes = (i: number): boolean => type[i] !== STEP.frame
    if (direction === 1) {
      for (let i = this.index; i < count; i++) if (changes(i)) return i + 1
      return count
    }
    for (let i = this.index - 2; i >= 0; i--) if (changes(i)) return i + 1
    return 0
  }

  /** What each node is at a time. */
  nodeStates(timeMs: number): NodeState[] {
    const { faults, nodes } = this.trace
    const cut = new Set<number>()
    for (const { fault, nodes: affected, atMs, untilMs } of faults)
      if (CUTS.has(fault) && atMs <= timeMs && (untilMs === null || timeMs < untilMs))
        for (const node of affected) cut.add(node)
    return Array.from({ length: nodes }, (_, i) => {
      const run = this.#now.run[i]
      if (run === UP) return cut.has(i) ? 'cut' : 'up'
      return run === DOWN ? 'down' : 'none'
    })
  }
}

function begin({ nodes, firstNodes, isFormed }: Trace): Picture {
  const held = new Uint8Array(nodes * nodes)
  if (isFormed)
    for (let row = 0; row < firstNodes; row++)
      for (let column = 0; column < firstNodes; column++)
        if (row !== column) held[row * nodes + column] = ALIVE
  return { run: new Uint8Array(nodes), links: new Uint8Array(nodes * nodes), held }
}

function copy({ run, links, held }: Picture): Picture {
  return { run: run.slice(), links: links.slice(), held: held.slice() }
}

function apply(trace: Trace, { run, links, held }: Picture, index: number): void {
  const { steps, nodes, tables } = trace
  const node = steps.node[index] ?? 0
  const cell = node * nodes + (steps.other[index] ?? 0)
  switch (steps.type[index]) {
    case STEP.up:
      run[node] = UP
      break
    case STEP.down:
      run[node] = DOWN
      // Who does not run has no links and holds nobody as anything.
      links.fill(0, node * nodes, (node + 1) * nodes)
      held.fill(0, node * nodes, (node + 1) * nodes)
      break
    case STEP.linkUp:
      links[cell] = 1
      break
    case STEP.linkDown:
      links[cell] = 0
      break
    case STEP.holds:
      held[cell] = steps.value[index] ?? 0
      break
    case STEP.table:
      held.set(tables[steps.value[index] ?? 0] ?? [], node * nodes)
      break
    default:
      // Frames, sayings and faults change nothing here.
      break
  }
}
