import { HELD_NAMES, STEP } from './trace.ts'
import type { HeldName, Trace, TraceFault, TraceSaying } from './trace.ts'
import type { NodeState, TraceState } from './trace-state.ts'

/** A node at a time, in words and numbers. */
export interface NodeRow {
  readonly node: number
  readonly id: string
  readonly state: NodeState
  /** Nodes it has a link to. */
  readonly links: number
  /** How many others it holds as what, nothing left out that is not zero. */
  readonly holds: string
  /** As what how many others hold it. */
  readonly heldAs: string
}

/** All nodes as they are at a time. */
export function nodeRows(state: TraceState, timeMs: number): NodeRow[] {
  const { nodes, ids } = state.trace
  const { held, links } = state
  return state.nodeStates(timeMs).map((nodeState, node) => {
    const holds = HELD_NAMES.map(() => 0)
    const heldAs = HELD_NAMES.map(() => 0)
    let linkCount = 0
    for (let other = 0; other < nodes; other++) {
      const holding = held[node * nodes + other] ?? 0
      const holder = held[other * nodes + node] ?? 0
      holds[holding] = (holds[holding] ?? 0) + 1
      heldAs[holder] = (heldAs[holder] ?? 0) + 1
      linkCount += links[node * nodes + other] ?? 0
    }
    return {
      node,
      id: ids[node] ?? '',
      state: nodeState,
      links: linkCount,
      holds: counted(holds),
      heldAs: counted(heldAs),
    }
  })
}

/** The whole in a sentence: what a picture of it is called. */
export function summaryOf(state: TraceState, timeMs: number): string {
  const states = state.nodeStates(timeMs)
  const count = (wanted: NodeState): number => states.filter((one) => one === wanted).length
  const { nodes } = state.trace
  let links = 0
  for (const link of state.links) links += link
  const held = HELD_NAMES.map(() => 0)
  for (const how of state.held) held[how] = (held[how] ?? 0) + 1
  const parts = [`${count('up')} of ${nodes} nodes up`]
  if (count('cut') > 0) parts.push(`${count('cut')} cut off`)
  if (count('down') > 0) parts.push(`${count('down')} down`)
  parts.push(`${Math.round(links / 2)} links`)
  return `${parts.join(', ')}. Verdicts: ${counted(held) || 'none'}.`
}

/** A fault in words: `partition of 30 nodes until 75.0 s`. */
export function faultText({ fault, nodes, untilMs }: TraceFault): string {
  const whom = nodes.length === 1 ? `node ${nodes[0]}` : `${nodes.length} nodes`
  return `${fault} of ${whom}${untilMs === null ? '' : ` until ${seconds(untilMs)}`}`
}

/** What was said up to where the state is, newest first, `count` at most. */
export function lastSaid(state: TraceState, count: number): TraceSaying[] {
  const { steps, sayings } = state.trace
  const found: TraceSaying[] = []
  for (let i = state.index - 1; i >= 0 && found.length < count; i--) {
    const saying = steps.type[i] === STEP.said ? sayings[steps.value[i] ?? 0] : undefined
    if (saying !== undefined) found.push(saying)
  }
  return found
}

/** Something said, in words: `node 3: member.died about node 4 (accused)`. */
export function sayingText({ node, said, peer, reason }: TraceSaying): string {
  const about = peer === -1 ? '' : ` about node ${peer}`
  return `node ${node}: ${said}${about}${reason === '' ? '' : ` (${reason})`}`
}

/** How a cell of the matrix reads. */
export function cellText(state: TraceState, row: number, column: number): string {
  const how: HeldName = HELD_NAMES[state.held[row * state.trace.nodes + column] ?? 0] ?? 'nothing'
  if (row === column) return `node ${row} itself`
  return how === 'nothing'
    ? `node ${row} knows nothing of node ${column}`
    : `node ${row} holds node ${column} as ${how}`
}

/** `12.3 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

/** What of the file is not shown, and why; empty when all of it is. */
export function leftOut(trace: Trace): string[] {
  const texts = trace.problems.map(({ line, text }) => `Line ${line} is left out: ${text}.`)
  const more = trace.problemCount - trace.problems.length
  if (more > 0) texts.push(`${more} further lines are left out.`)
  if (trace.isCut)
    texts.push(`The file goes on: the player reads the first ${trace.lines.toLocaleString('en')} lines.`)
  return texts
}

function counted(counts: readonly number[]): string {
  return counts
    .map((count, how) => (how === 0 || count === 0 ? '' : `${count} ${HELD_NAMES[how]}`))
    .filter((text) => text !== '')
    .join(', ')
}
