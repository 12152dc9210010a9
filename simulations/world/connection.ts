import type { SimNode } from './node.ts'

/** What goes over a connection: the stream's opening, frames, and the end. */
export type Message =
  | { readonly type: 'open' }
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  | { readonly type: 'end' }

/** One side of a connection. */
export interface Side {
  readonly node: SimNode
  isOpen: boolean
  /** The process that owns this side: a later one answers with a reset. */
  life: number
  /** Messages leave in order: nothing arrives before this. */
  nextAt: number
  /** Sent into a cut and not yet through, in order. */
  readonly held: Message[]
  rtoMs: number
}

/** A connection from `sides[0]`, who dialled, to `sides[1]`. `relay` carries it, where there is one. */
export interface Connection {
  readonly sides: readonly [Side, Side]
  readonly relay: SimNode | null
}

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
  return { sides: [side(from), side(to)], relay }
}

/** The side of `node`. */
export function sideOf({ sides }: Connection, node: SimNode): Side {
  return sides[0].node === node ? sides[0] : sides[1]
}

/** The side opposite of `node`. */
export function farSideOf({ sides }: Connection, node: SimNode): Side {
  return sides[0].node === node ? sides[1] : sides[0]
}
