import { closeSync, openSync, writeSync } from 'node:fs'
import type { MembershipEvent } from '../../protocols/membership/machine.ts'
import type { MemberState } from '../../protocols/membership/state.ts'
import type { PortableRecording } from '../../node/diagnostics/portable-recording.ts'
import type { StepListener } from './replay.ts'

/** How events are called in traces; what only the node itself knows of is in none. */
const KIND_OF: Partial<Record<MembershipEvent['type'], string>> = {
  frame: 'frame',
  tick: 'tick',
  'link-up': 'linkUp',
  'link-down': 'linkDown',
  'dial-failed': 'dialFailed',
  'incarnation-stored': 'stored',
}
/** Times in a trace are below this: a hundred days. */
const TIME_MAX_MS = 8_640_000_000

/**
 * The trace of a replay, in the form runs have: what one node saw, which is node 0. Others come by first sight. Times are since
 * the checkpoint; should the node's clock have been set back, they stand still.
 */
export class ReplayTrace {
  readonly #file: number
  readonly #startedAt: number
  readonly #nodes = new Map<string, number>()
  readonly #held = new Map<number, string>()
  #atMs = 0

  constructor(path: string, { at, checkpoint, steps }: PortableRecording) {
    this.#file = openSync(path, 'w')
    this.#startedAt = at
    const { self, table, verdicts, links } = checkpoint
    const seconds = Math.round(((steps.at(-1)?.now ?? at) - at) / 1000)
    const seed = new Date(Math.min(at, 8e15)).toISOString()
    const nodes = Math.max(1, table.length)
    this.#write({ kind: 'trace', version: 1, scenario: 'bugreport', seed, nodes, seconds, start: 'cold' })
    this.#nodeOf(self.id)
    const holds: Partial<Record<string, number[]>> = {}
    for (const [id, { state }] of verdicts) {
      const node = this.#nodeOf(id)
      if (node === 0) continue
      this.#held.set(node, state)
      ;(holds[state] ??= []).push(node)
    }
    this.#write({ kind: 'table', node: 0, holds, atMs: 0 })
    for (const id of links.keys())
      this.#write({ kind: 'linkUp', number: 0, from: this.#nodeOf(id), to: 0, atMs: 0, sizeBytes: 0 })
  }

  /** Writes what a step was and led to. */
  readonly stepped: StepListener = ({ event, now }, number, effects, state) => {
    this.#atMs = Math.min(TIME_MAX_MS, Math.max(this.#atMs, Math.floor(now - this.#startedAt)))
    const kind = KIND_OF[event.type]
    if (kind !== undefined) {
      const from = kind === 'dialFailed' || !('peer' in event) ? -1 : this.#nodeOf(event.peer)
      const sizeBytes = event.type === 'frame' ? event.bytes.length : 0
      this.#write({ kind, number, from, to: 0, atMs: this.#atMs, sizeBytes })
    }
    for (const effect of effects) {
      if (effect.type === 'emit') {
        const { kind: said, peer, reason } = effect.event
        if (peer !== undefined) this.#nodeOf(peer)
        this.#write({ kind: 'said', node: 0, said, peer, reason, atMs: this.#atMs })
      } else if (effect.type === 'close') {
        this.#write({
          kind: 'linkDown',
          number,
          from: this.#nodeOf(effect.peer),
          to: 0,
          atMs: this.#atMs,
          sizeBytes: 0,
        })
      } else if (effect.type === 'changed') {
        const isKnown = state.table.get(effect.id) !== undefined
        this.#holds(
          this.#nodeOf(effect.id),
          isKnown ? (state.verdicts.get(effect.id)?.state ?? 'alive') : 'gone',
        )
      }
    }
  }

  close(): void {
    closeSync(this.#file)
  }

  #holds(of: number, as: MemberState | 'gone'): void {
    if (of === 0 || (this.#held.get(of) ?? 'gone') === as) return
    this.#held.set(of, as)
    this.#write({ kind: 'holds', node: 0, of, as, atMs: this.#atMs })
  }

  /** A node appears with its first mention; whether it runs nobody can say, so it is drawn as if. */
  #nodeOf(id: string): number {
    const known = this.#nodes.get(id)
    if (known !== undefined) return known
    const node = this.#nodes.size
    this.#nodes.set(id, node)
    this.#write({ kind: 'node', node, id })
    this.#write({ kind: 'start', number: 0, from: -1, to: node, atMs: this.#atMs, sizeBytes: 0 })
    return node
  }

  #write(line: object): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`)
  }
}
