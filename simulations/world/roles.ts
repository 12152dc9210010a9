import type { Effect, MembershipEvent } from '../../protocols/membership/machine.ts'
import { KIND } from '../../protocols/membership/wire.ts'
import { stream, sample } from './draws.ts'
import type { Role, SimNode } from './node.ts'
import type { World } from './world.ts'

/** Frames a byzantine node keeps. */
const CAPTURED_MAX = 256
/** Frames it sends again a second. */
const REPLAYED_PER_SECOND = 4
/** Members it accuses a second. */
const ACCUSED_PER_SECOND = 2

/** The kind of an encoded frame: the first element of its CBOR array. */
export function kindOf(frame: Uint8Array): number {
  return frame[1] as number
}

/** Hears everything and sends it again later, to anybody. `old`: only what it heard first, so that all of it is outdated. */
export function replayer(world: World, node: SimNode, old: boolean): Role {
  const chance = stream(world.seed, 'replayer', node.index)
  const captured: Uint8Array[] = []
  return {
    input(event: MembershipEvent) {
      if (event.type !== 'frame' || (old && captured.length >= CAPTURED_MAX)) return
      if (old && kindOf(event.bytes) !== KIND.records) return
      if (captured.length >= CAPTURED_MAX) captured.shift()
      captured.push(event.bytes)
    },
    act() {
      const peers = [...node.connections.keys()]
      if (peers.length === 0 || captured.length === 0) return
      for (let i = 0; i < REPLAYED_PER_SECOND; i++)
        world.send(node, chance.pick(peers), chance.pick(captured))
    },
  }
}

/** Accuses living members, signed as itself: others at random, or one and the same victim together with its friends. */
export function accuser(world: World, node: SimNode, victim: SimNode | null): Role {
  const chance = stream(world.seed, 'accuser', node.index)
  return {
    act() {
      const { process } = node
      if (process === null) return
      const others = world.nodes.filter((other) => other !== node && other.process !== null && other.isHonest)
      const victims = victim === null ? sample(chance, others, ACCUSED_PER_SECOND) : [victim]
      for (const { id } of victims) process.state.toAccuse.add(id)
    },
  }
}

/** Sends what it says of itself and forwards nothing. */
export function dropper(node: SimNode): Role {
  const isOwn = (frame: Uint8Array) => Buffer.from(frame).includes(node.signer.publicKey)
  const kept: ReadonlySet<number> = new Set([KIND.hello, KIND.probe, KIND.ack])
  return {
    output: (effects: readonly Effect[]) =>
      effects.filter(
        (effect) => effect.type !== 'send' || kept.has(kindOf(effect.frame)) || isOwn(effect.frame),
      ),
  }
}

/** Signs a second record with an (incarnation, seq) it has used. */
export function equivocator(world: World, node: SimNode): Role {
  let turn = 0
  return {
    act() {
      const { process } = node
      if (process === null || turn++ % 3 !== 0) return
      // The machine counts up when it signs: taken back first, it signs the same number again.
      if (process.state.self.seq > 0) process.state.self.seq--
      const announcement = {
        addresses: [`/memory/${node.index}`, `/other/${turn}`],
        relays: [],
        services: [],
      }
      world.event(node, { type: 'announce', announcement })
    },
  }
}
