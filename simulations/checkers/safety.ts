import { equalBytes } from '../../protocols/common/bytes.ts'
import { FRAME_BYTES_MAX, GOSSIP_QUEUE_MAX, LINKS_MAX } from '../../protocols/membership/limits.ts'
import type { Effect, MembershipEvent } from '../../protocols/membership/machine.ts'
import { MEMBERS_MAX } from '../../protocols/registry/limits.ts'
import type { Process, SimNode, Watcher } from '../world/node.ts'
import type { World } from '../world/world.ts'
import type { Report } from './violation.ts'

/** A process, watching or watched, is fresh for so long: its coming may still be overtaken by the news of its end. */
const FRESH_MS = 20_000
/** Links a node may have: those it keeps and, when it has so many, those it wants besides. */
const LINKS_BOUND = 2 * LINKS_MAX
/** Tables are looked at as a whole so often, for changes the machine did not speak of. */
const WHOLE_MS = 5_000

interface Version {
  readonly incarnation: number
  readonly seq: number
}

/** Watches every step of every machine for what must never happen. */
export class SafetyChecker implements Watcher {
  readonly #report: Report
  readonly #noFalseDeath: boolean
  #world: World | null = null
  readonly #originals = new Map<string, SimNode>()
  /** Versions held, by process and member. */
  readonly #held = new WeakMap<Process, Map<string, Version>>()
  /** Last incarnation an identity ran under. */
  readonly #incarnations = new Map<string, number>()
  readonly #checkedAt = new WeakMap<Process, number>()

  constructor(report: Report, noFalseDeath: boolean) {
    this.#report = report
    this.#noFalseDeath = noFalseDeath
  }

  /** Called once the world stands. */
  attach(world: World): void {
    this.#world = world
    for (const node of world.nodes) if (!node.isClone) this.#originals.set(node.id, node)
    for (const node of world.nodes) if (node.process !== null) this.started(node)
  }

  started(node: SimNode): void {
    const { process } = node
    if (process === null || this.#world === null) return
    const { incarnation } = process.state.self
    const before = this.#incarnations.get(node.id)
    const excused = node.isRolledBack || node.isClone
    if (before !== undefined && incarnation <= before && !excused) {
      this.#report(
        'incarnation-not-raised',
        `node ${node.index} starts under incarnation ${incarnation}, it had ${before}`,
      )
    }
    node.isRolledBack = false
    this.#incarnations.set(node.id, Math.max(incarnation, before ?? 0))
    this.#checkWhole(node, process)
  }

  stepped(node: SimNode, process: Process, event: MembershipEvent, effects: readonly Effect[]): void {
    const world = this.#world
    if (world === null) return
    for (const effect of effects) {
      if (effect.type === 'changed') this.#checkRow(node, process, effect.id)
    }
    if (event.type === 'incarnation-stored') {
      const before = this.#incarnations.get(node.id) ?? 0
      this.#incarnations.set(node.id, Math.max(before, process.state.self.incarnation))
    }
    if (event.type !== 'tick') return
    this.#checkBounds(node, process)
    if (world.now - (this.#checkedAt.get(process) ?? 0) >= WHOLE_MS) this.#checkWhole(node, process)
  }

  sent(node: SimNode, frame: Uint8Array): void {
    if (frame.length > FRAME_BYTES_MAX)
      this.#report('bound-exceeded', `node ${node.index} sends a frame of ${frame.length} bytes`)
  }

  #checkBounds(node: SimNode, { state }: Process): void {
    const sizes: readonly (readonly [string, number, number])[] = [
      ['gossip items', state.gossip.size, GOSSIP_QUEUE_MAX],
      ['links', state.links.size, LINKS_BOUND],
      ['members', state.table.size, MEMBERS_MAX],
    ]
    for (const [what, size, max] of sizes) {
      if (size > max) this.#report('bound-exceeded', `node ${node.index} has ${size} ${what}, at most ${max}`)
    }
  }

  #checkWhole(node: SimNode, process: Process): void {
    this.#checkedAt.set(process, this.#world?.now ?? 0)
    for (const { id } of process.state.table.rows()) this.#checkRow(node, process, id)
  }

  #checkRow(node: SimNode, process: Process, id: string): void {
    const row = process.state.table.get(id)
    if (row === undefined) return
    let held = this.#held.get(process)
    if (held === undefined) this.#held.set(process, (held = new Map()))
    const { statement, entry } = row.verified
    const before = held.get(id)
    if (before !== statement) {
      // The statement itself is kept, not a copy: the same one again needs no second look.
      held.set(id, statement)
      if (before !== undefined && isOlder(statement, before)) {
        this.#report(
          'version-decreased',
          `node ${node.index} holds ${this.#nameOf(id)} at ${show(statement)}, it held ${show(before)}`,
        )
      }
      const original = this.#originals.get(id)
      if (original === undefined || !equalBytes(entry.credentials, original.credentials))
        this.#report('record-without-credentials', `node ${node.index} holds a record of ${id}`)
    }
    this.#checkVerdict(node, process, id)
    if (this.#noFalseDeath && process.state.verdicts.get(id)?.state === 'dead')
      this.#checkDeath(node, process, id)
  }

  /** Evidence that outlives its accusation would settle the next one in no time. */
  #checkVerdict(node: SimNode, { state }: Process, id: string): void {
    const verdict = state.verdicts.get(id)
    if (verdict === undefined) return
    const isStray = [...verdict.refused].some((by) => !verdict.accusers.has(by))
    const isOver = (verdict.state === 'alive' || verdict.state === 'left') && verdict.suspectedAt !== null
    if (isStray || isOver)
      this.#report(
        'stale-evidence',
        `node ${node.index} holds ${this.#nameOf(id)} ${verdict.state}, with ${isStray ? 'refusals nobody accuses for' : 'a suspicion that runs'}`,
      )
  }

  #checkDeath(node: SimNode, process: Process, id: string): void {
    const now = this.#world?.now ?? 0
    const subject = this.#originals.get(id)
    if (
      subject === undefined ||
      subject.process === null ||
      !subject.isHonest ||
      !node.isHonest ||
      subject === node
    )
      return
    if (this.#isFresh(subject.process, now) || this.#isFresh(process, now)) return
    const reason = process.state.links.has(id) ? 'with a link to it' : 'without a link to it'
    this.#report('false-death', `node ${node.index} holds living node ${subject.index} dead, ${reason}`)
  }

  #isFresh({ startedAt }: Process, now: number): boolean {
    return startedAt > 0 && now - startedAt < FRESH_MS
  }

  #nameOf(id: string): string {
    return `node ${this.#originals.get(id)?.index ?? id}`
  }
}

function isOlder(a: Version, b: Version): boolean {
  return a.incarnation < b.incarnation || (a.incarnation === b.incarnation && a.seq < b.seq)
}

function show({ incarnation, seq }: Version): string {
  return `(${incarnation}, ${seq})`
}
