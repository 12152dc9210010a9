import type { Choices } from '../channel/seed.ts'
import { sample, stream } from '../world/draws.ts'
import type { Role, SimNode } from '../world/node.ts'
import { accuser, dropper, equivocator, replayer } from '../world/roles.ts'
import { TRACE } from '../world/trace.ts'
import type { World } from '../world/world.ts'
import type { Fault, RoleName, Select } from './schema.ts'

/** Told when a fault begins, of whom it is about. */
export type FaultListener = (fault: Fault, nodes: readonly SimNode[], atMs: number) => void

/** Plans a fault, and its end, on the world's time. */
export function planFault(world: World, fault: Fault, onFault?: FaultListener): void {
  const name = fault.id ?? fault.kind
  const selected = choose(world, fault.select, stream(world.seed, 'select', name))
  const chance = stream(world.seed, 'fault', name)
  let end: () => void = () => {}
  if (fault.kind === 'rollback') planSnapshots(world, fault, selected)
  world.scheduler.at(fault.at * 1000, () => {
    world.trace.fold(TRACE.fault, -1, selected[0]?.index ?? -1, world.now, selected.length)
    onFault?.(fault, selected, world.now)
    end = begin(world, fault, selected, chance)
  })
  const { until } = fault
  if (until !== undefined) world.scheduler.at(until * 1000, () => end())
}

/** The nodes a fault is about, lowest first. */
function choose(world: World, select: Select, chance: Choices): SimNode[] {
  const { nodes } = world
  if ('indices' in select) return nodes.filter(({ index }) => select.indices.includes(index))
  const count = 'count' in select ? select.count : Math.round(select.share * nodes.length)
  return sample(chance, nodes, Math.min(nodes.length, Math.max(1, count)))
}

/** Begins a fault; the returned function ends it. */
function begin(world: World, fault: Fault, selected: readonly SimNode[], chance: Choices): () => void {
  switch (fault.kind) {
    case 'kill':
      for (const node of selected) world.kill(node)
      return () => restart(world, selected, chance)
    case 'vanish':
      for (const node of selected) world.vanish(node)
      return () => restart(world, selected, chance)
    case 'stop':
      for (const node of selected) world.shutDown(node, fault.args.leave)
      return () => restart(world, selected, chance)
    case 'partition':
      return partition(world, selected, fault.args.direction)
    case 'flap':
      return flap(world, selected, fault.args)
    case 'reboot-nat':
      for (const node of selected) world.forget(node)
      return () => {}
    case 'roam':
      for (const node of selected) world.move(node, fault.args.site)
      return () => {}
    case 'loss':
      for (const { index } of selected) world.paths.setLoss(index, fault.args.rate)
      return () => selected.forEach(({ index }) => world.paths.setLoss(index, null))
    case 'slow':
      for (const { index } of selected) world.paths.setExtraDelay(index, fault.args.extraMs)
      return () => selected.forEach(({ index }) => world.paths.setExtraDelay(index, 0))
    case 'narrow':
      for (const { index } of selected) world.paths.setBandwidth(index, fault.args.bytesPerSecond)
      return () => selected.forEach(({ index }) => world.paths.setBandwidth(index, null))
    case 'stall':
      for (const node of selected) world.stall(node, fault.args.ms)
      return () => {}
    case 'clock':
      return setClocks(selected, fault.args)
    case 'rollback':
      for (const node of selected) world.kill(node)
      return () => restart(world, selected, chance)
    case 'clone': {
      const copies = selected.map((node) => world.clone(node))
      return () => copies.forEach((copy) => world.vanish(copy))
    }
    case 'churn':
      return churn(world, selected, fault.args, chance)
    case 'revoke':
      revoke(world, selected, chance)
      return () => {}
    case 'byzantine':
      return corrupt(world, selected, fault.args.role, chance)
  }
}

/** Everybody at once would be a story of its own: they come back within a second. */
function restart(world: World, selected: readonly SimNode[], chance: Choices): void {
  for (const node of selected) world.scheduler.after(chance.fraction() * 1_000, () => world.start(node))
}

function partition(world: World, selected: readonly SimNode[], direction: 'both' | 'out' | 'in'): () => void {
  const inside = new Set(selected.map(({ index }) => index))
  const outside = new Set(world.nodes.filter(({ index }) => !inside.has(index)).map(({ index }) => index))
  const ends: (() => void)[] = []
  if (direction !== 'in') ends.push(world.paths.cut({ from: inside, to: outside }))
  if (direction !== 'out') ends.push(world.paths.cut({ from: outside, to: inside }))
  return () => ends.forEach((end) => end())
}

function flap(
  world: World,
  selected: readonly SimNode[],
  { downMs, upMs }: { downMs: number; upMs: number },
): () => void {
  let isOver = false
  let heal: () => void = () => {}
  const down = (): void => {
    if (isOver) return
    heal = partition(world, selected, 'both')
    world.scheduler.after(downMs, () => {
      heal()
      world.scheduler.after(upMs, down)
    })
  }
  down()
  return () => {
    isOver = true
    heal()
  }
}

function setClocks(
  selected: readonly SimNode[],
  { skewMs, driftPpm }: { skewMs: number; driftPpm: number },
): () => void {
  for (const { clock } of selected) Object.assign(clock, { skewMs, driftPpm })
  return () => selected.forEach(({ clock }) => Object.assign(clock, { skewMs: 0, driftPpm: 0 }))
}

function churn(
  world: World,
  selected: readonly SimNode[],
  { perMinute, downMs }: { perMinute: number; downMs: number },
  chance: Choices,
): () => void {
  let isOver = false
  for (const node of selected) {
    const turn = (): void => {
      world.scheduler.after((chance.fraction() * 2 * 60_000) / perMinute, () => {
        if (isOver) return
        world.kill(node)
        world.scheduler.after(downMs, () => world.start(node))
        turn()
      })
    }
    turn()
  }
  return () => {
    isOver = true
  }
}

function revoke(world: World, selected: readonly SimNode[], chance: Choices): void {
  const others = world.live().filter((node) => node.isHonest && !selected.includes(node))
  if (others.length === 0) return
  for (const node of selected) world.revoke(chance.pick(others), node)
}

function corrupt(world: World, selected: readonly SimNode[], role: RoleName, chance: Choices): () => void {
  for (const node of selected) node.isHonest = false
  const honest = world.nodes.filter(({ isHonest }) => isHonest)
  const victim = honest.length === 0 ? null : chance.pick(honest)
  for (const node of selected) node.role = roleOf(world, node, role, victim)
  // Who was byzantine stays suspect to the checkers: what it signed still goes round.
  return () => selected.forEach((node) => (node.role = null))
}

function roleOf(world: World, node: SimNode, role: RoleName, victim: SimNode | null): Role {
  switch (role) {
    case 'replayer':
      return replayer(world, node, false)
    case 'roll-backer':
      return replayer(world, node, true)
    case 'accuser':
      return accuser(world, node, null)
    case 'colluder':
      return accuser(world, node, victim)
    case 'dropper':
      return dropper(node)
    case 'equivocator':
      return equivocator(world, node)
  }
}

/** A rollback takes the disk back to an earlier copy: made in time, put back when the node has been killed. */
function planSnapshots(
  world: World,
  fault: Extract<Fault, { kind: 'rollback' }>,
  selected: readonly SimNode[],
): void {
  for (const node of selected) {
    let copy: ReadonlyMap<string, unknown> | null = null
    world.scheduler.at(Math.max(0, fault.at - fault.args.ageSeconds) * 1000, () => {
      copy = node.disk.snapshot()
    })
    world.scheduler.at(fault.until * 1000, () => {
      if (copy !== null && node.process === null) {
        node.disk.restore(copy)
        node.isRolledBack = true
      }
    })
  }
}
