import { canRotate, rotationView } from '../../../protocols/rotation/state.ts'
import {
  deliver,
  feed,
  fire,
  freshPair,
  keyOf,
  pendingTimers,
  rotate,
  sendData,
  Violation,
  type Frame,
  type Mutation,
  type Pair,
} from './pair.ts'

/** How far the exploration goes. Within these bounds every interleaving is walked. */
export interface Bounds {
  /** ROTs each side may send. */
  readonly attempts: readonly [number, number]
  /** ROT or ACK frames that may be doubled (an ordered stream never does). */
  readonly duplicates: number
  /** Neighbouring ROT or ACK frames that may change places (likewise). */
  readonly swaps: number
  /** Data records that may be sent at any moment. */
  readonly data: number
  /** Whether connection and processes may be lost at any moment. */
  readonly loss: boolean
}

/** What was found. */
export interface Exploration {
  readonly states: number
  readonly transitions: number
  /** Longest shortest way to a state, in steps. */
  readonly depth: number
  readonly highestEpoch: number
  /** The first violation and the steps that lead to it. */
  readonly violation: { readonly text: string; readonly trace: readonly string[] } | null
}

interface Move {
  readonly name: string
  readonly apply: () => Pair
}

/** Breadth-first over all states of a pair. Also tries from each state whether fair scheduling leads to rest. */
export function explore(bounds: Bounds, mutation: Mutation = 'none'): Exploration {
  const start = freshPair(bounds)
  const parents = new Map<string, readonly [string, string] | null>([[keyOf(start, true), null]])
  const settled = new Set<string>()
  let frontier: Pair[] = [start]
  let [transitions, depth, highestEpoch] = [0, -1, 0]
  const traceOf = (key: string): string[] => {
    const trace: string[] = []
    for (let at = parents.get(key); at !== null && at !== undefined; at = parents.get(at[0]))
      trace.unshift(at[1])
    return trace
  }
  const result = (violation: Exploration['violation']): Exploration => ({
    states: parents.size,
    transitions,
    depth,
    highestEpoch,
    violation,
  })
  while (frontier.length > 0) {
    depth++
    const reached: Pair[] = []
    for (const pair of frontier) {
      const key = keyOf(pair, true)
      let name = 'fair scheduling'
      try {
        settle(pair, settled, mutation)
        for (const move of movesOf(pair, bounds, mutation)) {
          name = move.name
          const next = move.apply()
          transitions++
          const nextKey = keyOf(next, true)
          if (parents.has(nextKey)) continue
          parents.set(nextKey, [key, name])
          highestEpoch = Math.max(highestEpoch, next.sides[0].machine.epoch)
          reached.push(next)
        }
      } catch (error) {
        if (!(error instanceof Violation)) throw error
        return result({ text: error.message, trace: [...traceOf(key), name] })
      }
    }
    frontier = reached
  }
  return result(null)
}

function movesOf(pair: Pair, bounds: Bounds, mutation: Mutation): Move[] {
  const moves: Move[] = []
  for (const index of [0, 1] as const) {
    const { machine } = pair.sides[index]
    const name = 'ab'[index] ?? ''
    const wire = pair.wires[index]
    if (wire.length > 0)
      moves.push({ name: `${name}'s ${wire[0]?.type} arrives`, apply: () => deliver(pair, index, mutation) })
    if (bounds.loss && !machine.closed)
      moves.push({
        name: `${name} loses the connection`,
        apply: () => feed({ ...pair, lost: true }, index, { type: 'closed' }, mutation),
      })
    if (machine.closed || pair.lost) continue
    const mayStart = machine.attempts < bounds.attempts[index]
    if (mayStart && canRotate(machine))
      moves.push({ name: `${name} is asked to rotate`, apply: () => rotate(pair, index, mutation) })
    if (machine.own?.sentAt === null)
      moves.push({ name: `${name}'s ROT leaves`, apply: () => feed(pair, index, { type: 'sent' }, mutation) })
    for (const timer of pendingTimers(machine))
      if (timer !== 'retry' || mayStart)
        moves.push({ name: `${name}'s ${timer} timer`, apply: () => fire(pair, index, timer, mutation) })
    if (pair.data > 0) moves.push({ name: `${name} sends data`, apply: () => sendData(pair, index) })
    moves.push(...mischief(pair, index, name))
  }
  return moves
}

/** Frames doubled or out of order, inside their epoch: across a switch the record layer's counter would already refuse. */
function mischief(pair: Pair, index: 0 | 1, name: string): Move[] {
  const moves: Move[] = []
  const wire = pair.wires[index]
  const onWire = (frames: Frame[], cost: Partial<Pair>): Pair => ({
    ...pair,
    ...cost,
    wires: index === 0 ? [frames, pair.wires[1]] : [pair.wires[0], frames],
  })
  for (const [at, frame] of wire.entries()) {
    if (frame.type !== 'rot' && frame.type !== 'ack') continue
    const end = wire.findIndex(({ epoch }) => epoch !== frame.epoch)
    if (pair.duplicates > 0)
      for (let to = at + 1; to <= (end === -1 ? wire.length : end); to++)
        moves.push({
          name: `${name}'s ${frame.type} is doubled`,
          apply: () => onWire(wire.toSpliced(to, 0, frame), { duplicates: pair.duplicates - 1 }),
        })
    const behind = wire[at + 1]
    const swappable = behind?.epoch === frame.epoch && (behind.type === 'rot' || behind.type === 'ack')
    if (pair.swaps > 0 && behind !== undefined && swappable)
      moves.push({
        name: `${name}'s ${behind.type} overtakes its ${frame.type}`,
        apply: () => onWire(wire.toSpliced(at, 2, behind, frame), { swaps: pair.swaps - 1 }),
      })
  }
  return moves
}

const FAIR_STEPS_MAX = 60

/**
 * Lets everything arrive and every timer fire that waits, until both sides rest; then lets each side rotate once more.
 * @throws Violation when that takes too long or does not end in one epoch.
 */
function settle(pair: Pair, settled: Set<string>, mutation: Mutation): void {
  if (pair.lost) return
  const way: string[] = []
  let current = pair
  for (let steps = 0; ; steps++) {
    const key = keyOf(current, false)
    if (settled.has(key)) break
    way.push(key)
    const next = fairStep(current, mutation)
    if (next === null) {
      checkRest(current, mutation)
      break
    }
    if (steps > FAIR_STEPS_MAX) throw new Violation('fair scheduling does not come to rest')
    current = next
  }
  for (const key of way) settled.add(key)
}

function fairStep(pair: Pair, mutation: Mutation): Pair | null {
  for (const index of [0, 1] as const) {
    if (pair.wires[index].length > 0) return deliver(pair, index, mutation)
    if (pair.sides[index].machine.own?.sentAt === null) return feed(pair, index, { type: 'sent' }, mutation)
  }
  for (const index of [0, 1] as const)
    for (const timer of pendingTimers(pair.sides[index].machine)) return fire(pair, index, timer, mutation)
  return null
}

function checkRest(pair: Pair, mutation: Mutation): void {
  let current = pair
  for (const index of [0, 1] as const) {
    const before = current.sides[index].machine.epoch
    current = rotate(current, index, mutation)
    for (let next = fairStep(current, mutation); next !== null; next = fairStep(current, mutation))
      current = next
    for (const { machine, readEpoch, writeEpoch } of current.sides) {
      const { state } = rotationView(machine)
      if (state !== 'active' || machine.next !== null) throw new Violation(`rests in ${state}`)
      if (machine.epoch !== before + 1 || readEpoch !== before + 1 || writeEpoch !== before + 1)
        throw new Violation('a rotation from rest does not reach both sides')
    }
  }
}
