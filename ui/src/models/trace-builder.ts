import { STEP } from './trace.ts'
import type { Trace, TraceFault, TraceSaying } from './trace.ts'
import { heldOf, indexList, integer, LineError, parseLine, record, textOf } from './trace-line.ts'
import type { Line, TraceHeader } from './trace-line.ts'
import { NODES_MAX } from './trace-limits.ts'

/** A hundred days: no run is longer, and sums of times stay exact. */
const TIME_MAX_MS = 8_640_000_000

/** Puts the lines of a trace into columns, one after another. */
export class TraceBuilder {
  readonly #header: TraceHeader
  readonly #ids: string[] = []
  readonly #indices = new Map<string, number>()
  readonly #type: number[] = []
  readonly #atMs: number[] = []
  readonly #node: number[] = []
  readonly #other: number[] = []
  readonly #value: number[] = []
  readonly #tables: Uint8Array[] = []
  readonly #sayings: TraceSaying[] = []
  readonly #faults: TraceFault[] = []
  readonly #kinds: Readonly<Record<string, (line: Line) => void>>
  #lastMs = 0
  #nodes: number

  constructor(header: TraceHeader) {
    this.#header = header
    this.#nodes = header.nodes
    const plain = (step: number) => (line: Line) => this.#add(step, line, this.#nodeOf(line, 'to'), -1, 0)
    const between = (step: number) => (line: Line) =>
      this.#add(step, line, this.#nodeOf(line, 'to'), this.#nodeOf(line, 'from'), 0)
    const passed = (line: Line): void => void this.#timeOf(line)
    this.#kinds = {
      start: plain(STEP.up),
      stop: plain(STEP.down),
      linkUp: between(STEP.linkUp),
      linkDown: between(STEP.linkDown),
      frame: between(STEP.frame),
      tick: passed,
      stored: passed,
      dialFailed: passed,
      // Whom it is about stands in the line `affects` beside it.
      fault: passed,
      node: (line) => this.#addNode(line),
      holds: (line) =>
        this.#add(STEP.holds, line, this.#nodeOf(line, 'node'), this.#nodeOf(line, 'of'), heldOf(line['as'])),
      table: (line) => this.#addTable(line),
      said: (line) => this.#addSaying(line),
      affects: (line) => this.#addFault(line),
    }
  }

  /** Takes one line. @throws LineError, after which the others may go on. */
  add(text: string): void {
    const line = parseLine(text)
    const kind = textOf(line, 'kind')
    const take = Object.hasOwn(this.#kinds, kind) ? this.#kinds[kind] : undefined
    if (take === undefined) throw new LineError(`there is no kind “${kind}”`)
    take(line)
  }

  /** All that was taken. */
  build(): Omit<Trace, 'lines' | 'isCut' | 'problems' | 'problemCount'> {
    const { scenario, seed, isFormed, nodes: firstNodes } = this.#header
    const nodes = this.#nodes
    return {
      scenario,
      seed,
      isFormed,
      firstNodes,
      nodes,
      ids: Array.from({ length: nodes }, (_, i) => this.#ids[i] ?? ''),
      endMs: this.#lastMs,
      steps: {
        count: this.#type.length,
        type: Uint8Array.from(this.#type),
        atMs: Float64Array.from(this.#atMs),
        node: Int16Array.from(this.#node),
        other: Int16Array.from(this.#other),
        value: Int32Array.from(this.#value),
      },
      tables: this.#tables.map((row) => row.subarray(0, nodes)),
      sayings: this.#sayings,
      faults: this.#faults,
    }
  }

  #timeOf(line: Line): number {
    const at = integer(line, 'atMs', TIME_MAX_MS)
    if (at < this.#lastMs) throw new LineError(`the time goes back from ${this.#lastMs} ms to ${at} ms`)
    return (this.#lastMs = at)
  }

  #nodeOf(line: Line, key: string): number {
    const index = integer(line, key, NODES_MAX - 1)
    this.#nodes = Math.max(this.#nodes, index + 1)
    return index
  }

  #add(type: number, line: Line, node: number, other: number, value: number): void {
    const atMs = this.#timeOf(line)
    this.#type.push(type)
    this.#atMs.push(atMs)
    this.#node.push(node)
    this.#other.push(other)
    this.#value.push(value)
  }

  #addNode(line: Line): void {
    const index = this.#nodeOf(line, 'node')
    const id = textOf(line, 'id')
    this.#ids[index] = id
    if (!this.#indices.has(id)) this.#indices.set(id, index)
  }

  #addTable(line: Line): void {
    const row = new Uint8Array(NODES_MAX)
    for (const [name, list] of Object.entries(record(line, 'holds'))) {
      const held = heldOf(name)
      for (const index of indexList(list)) row[index] = held
    }
    this.#add(STEP.table, line, this.#nodeOf(line, 'node'), -1, this.#tables.length)
    this.#tables.push(row)
  }

  #addSaying(line: Line): void {
    const node = this.#nodeOf(line, 'node')
    const peer = line['peer'] === undefined ? -1 : (this.#indices.get(textOf(line, 'peer')) ?? -1)
    const reason = line['reason'] === undefined ? '' : textOf(line, 'reason')
    const said = textOf(line, 'said')
    this.#add(STEP.said, line, node, peer, this.#sayings.length)
    this.#sayings.push({ atMs: this.#lastMs, node, said, peer, reason })
  }

  #addFault(line: Line): void {
    const nodes = indexList(line['nodes'])
    const fault = textOf(line, 'fault')
    const untilMs = line['untilMs'] === null ? null : integer(line, 'untilMs', TIME_MAX_MS)
    this.#add(STEP.fault, line, nodes[0] ?? -1, -1, this.#faults.length)
    this.#faults.push({ fault, nodes, atMs: this.#lastMs, untilMs })
  }
}
