import { digestOf } from '../../protocols/membership/machine.ts'
import { equalBytes } from '../../protocols/common/bytes.ts'
import type { SimNode } from '../world/node.ts'
import type { World } from '../world/world.ts'
import type { Invariant } from './violation.ts'

/** Who died so long ago must be held dead by everybody. */
export const DEAD_FOR_MS = 45_000

/** Something that is not as it must be once everything has been quiet for a while. */
export interface Unsettled {
  readonly invariant: Invariant
  readonly text: string
}

/** The first thing that is not settled, or null. Byzantine nodes and copied identities prove nothing. */
export function findUnsettled(world: World, endedAt: ReadonlyMap<SimNode, number>): Unsettled | null {
  const copied = new Set(world.nodes.filter(({ isClone }) => isClone).map(({ id }) => id))
  const judges = world.live().filter((node) => node.isHonest && !copied.has(node.id))
  return (
    differingTables(judges) ??
    wrongVerdict(world, judges, endedAt, copied) ??
    heldThoughRevoked(world, judges)
  )
}

/** True when the node neither lists the other nor has a link to it. */
export function isCutFrom({ process }: SimNode, revoked: SimNode): boolean {
  if (process === null) return true
  const { table, links } = process.state
  return table.get(revoked.id) === undefined && links.get(revoked.id)?.hello !== true
}

function heldThoughRevoked(world: World, judges: readonly SimNode[]): Unsettled | null {
  for (const revoked of world.nodes.filter(({ isRevoked }) => isRevoked)) {
    const judge = judges.find((node) => !isCutFrom(node, revoked))
    if (judge === undefined) continue
    return { invariant: 'revoked-held', text: `node ${judge.index} still has revoked node ${revoked.index}` }
  }
  return null
}

function differingTables(judges: readonly SimNode[]): Unsettled | null {
  const first = judges[0]?.process
  if (first === null || first === undefined) return null
  const digest = digestOf(first.state)
  for (const { index, process } of judges) {
    if (process !== null && !equalBytes(digestOf(process.state), digest)) {
      const text = `nodes ${judges[0]?.index} and ${index} of ${judges.length} hold different tables`
      return { invariant: 'tables-differ', text }
    }
  }
  return null
}

function wrongVerdict(
  world: World,
  judges: readonly SimNode[],
  endedAt: ReadonlyMap<SimNode, number>,
  copied: ReadonlySet<string>,
): Unsettled | null {
  for (const judge of judges) {
    const { verdicts, table } = judge.process?.state ?? {}
    for (const subject of world.nodes) {
      if (subject === judge || copied.has(subject.id) || !subject.isHonest) continue
      const isHeld = table?.get(subject.id) !== undefined
      const held = verdicts?.get(subject.id)?.state ?? 'alive'
      const who = `node ${judge.index} holds node ${subject.index} ${isHeld ? held : 'unknown'}`
      if (subject.process !== null && (!isHeld || held !== 'alive'))
        return { invariant: 'alive-held-dead', text: `${who}, it lives` }
      const ended = endedAt.get(subject)
      const isDue = ended !== undefined && subject.process === null && world.now - ended >= DEAD_FOR_MS
      if (isDue && isHeld && held !== 'dead' && held !== 'left')
        return {
          invariant: 'dead-held-alive',
          text: `${who}, it ended ${Math.round((world.now - ended) / 1000)} s ago`,
        }
    }
  }
  return null
}
