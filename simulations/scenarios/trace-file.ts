import { closeSync, openSync, writeSync } from 'node:fs'
import type { MemberState } from '../../protocols/membership/state.ts'
import type { Process, SimNode, Watcher } from '../world/node.ts'
import { TRACE, type TraceEvent } from '../world/trace.ts'
import type { FaultListener } from './faults.ts'
import type { Scenario } from './schema.ts'

/** Of the lines' form; moves on when a reader of the old one would be wrong. */
const TRACE_VERSION = 1

/** How one node holds another in a trace; `gone`: it is in the table no more, or was never. */
type Held = MemberState | 'gone'

/** A file that grows while a run happens. */
export interface TraceFile {
  readonly onTrace: (event: TraceEvent) => void
  readonly onFault: FaultListener
  readonly watcher: Watcher
  /** Writes what the run is, which is the first line. */
  begin(scenario: Scenario, seed: string): void
  close(): void
}

/**
 * Opens a trace: one JSON document a line, each as `simulations/README.md` says. Every event delivered, who is who at each
 * start, what the machines say of each other, how each holds the others, and whom each fault is about.
 */
export function traceTo(path: string): TraceFile {
  const names = Object.fromEntries(Object.entries(TRACE).map(([name, kind]) => [kind, name]))
  const file = openSync(path, 'w')
  const write = (line: object): void => void writeSync(file, `${JSON.stringify(line)}\n`)
  /** First node of each peer id: a copied identity is held as the one it was copied from. */
  const indices = new Map<string, number>()
  /** What was written last of how each node holds the others; `rest` is for those of whom nothing was. */
  const held = new Map<number, { readonly row: Map<number, Held>; readonly rest: Held }>()
  let nowMs = 0
  let isFormed = true

  const started = (node: SimNode): void => {
    const { index, id, process, lives } = node
    write({ kind: 'node', node: index, id })
    if (!indices.has(id)) indices.set(id, index)
    // Of a formed mesh the first line says it all: everybody holds everybody alive.
    if ((isFormed && lives === 1 && !node.isClone) || process === null) {
      held.set(index, { row: new Map(), rest: 'alive' })
      return
    }
    const rows = [...indices].filter(([other]) => other !== id)
    const row = new Map(rows.map(([other, at]) => [at, heldIn(process, other)]))
    held.set(index, { row, rest: 'gone' })
    const holds: Partial<Record<Held, number[]>> = {}
    for (const [other, state] of row) if (state !== 'gone') (holds[state] ??= []).push(other)
    write({ kind: 'table', node: index, holds, atMs: nowMs })
  }
  const changed = (node: SimNode, process: Process, id: string): void => {
    const of = indices.get(id)
    if (of === undefined || id === node.id) return
    const now = heldIn(process, id)
    const before = held.get(node.index)
    if (before === undefined || (before.row.get(of) ?? before.rest) === now) return
    before.row.set(of, now)
    write({ kind: 'holds', node: node.index, of, as: now, atMs: nowMs })
  }
  return {
    begin({ name, nodes, seconds, start }, seed) {
      isFormed = start === 'formed'
      write({ kind: 'trace', version: TRACE_VERSION, scenario: name, seed, nodes, seconds, start })
    },
    onTrace({ kind, ...event }) {
      nowMs = event.atMs
      write({ kind: names[kind], ...event })
    },
    onFault: ({ kind, until }, nodes, atMs) =>
      write({
        kind: 'affects',
        fault: kind,
        nodes: nodes.map(({ index }) => index),
        atMs,
        untilMs: until === undefined ? null : until * 1000,
      }),
    watcher: {
      started,
      stepped(node, process, _event, effects) {
        for (const effect of effects) if (effect.type === 'changed') changed(node, process, effect.id)
      },
      emitted: ({ index }, { kind: said, peer, reason }, atMs) =>
        write({ kind: 'said', node: index, said, peer, reason, atMs }),
    },
    close: () => closeSync(file),
  }
}

function heldIn({ state }: Process, id: string): Held {
  if (state.table.get(id) === undefined) return 'gone'
  return state.verdicts.get(id)?.state ?? 'alive'
}
