import type { Connection, Side, SimNode } from './node.ts'

/** A connection that so far only its dialler knows of. */
export function makeConnection(from: SimNode, to: SimNode, relay: SimNode | null): Connection {
  const side = (node: SimNode): Side => ({
    node,
    isOpen: false,
    life: node.lives,
    nextAt: 0,
    held: [],
    rtoMs: 0,
  })
  return { sides: [side(from), side(to)], relay, isForgotten: false }
}

/** The side of `node`. */
export function sideOf({ sides }: Connection, node: SimNode): Side {
  return sides[0].node === node ? sides[0] : sides[1]
}

/** The side opposite of `node`. */
export function farSideOf({ sides }: Connection, node: SimNode): Side {
  return sides[0].node === node ? sides[1] : sides[0]
}
