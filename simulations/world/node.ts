import type { Choices } from '../channel/seed.ts'
import type { EventInput, Signer } from '../../protocols/common/ports.ts'
import type { Effect, MembershipEvent, MembershipState } from '../../protocols/membership/machine.ts'
import type { Disk } from './disk.ts'

/** The wall clock of a node, against the world's time. */
export interface NodeClock {
  /** ms ahead. */
  skewMs: number
  /** Parts per million it runs too fast. */
  driftPpm: number
}

/** A running process: what a kill takes away. */
export interface Process {
  readonly state: MembershipState
  /** Chance of this process. */
  readonly random: Choices
  readonly startedAt: number
  /** The event loop does nothing until then. */
  stalledUntil: number
  /** When the reconnect loop last looked. */
  lookedAt: number
  /** Neighbours wanted; null once the table changed. */
  wanted: { readonly ids: readonly string[]; readonly askedAt: number } | null
}

/** A byzantine node's hands on what it sends and hears. */
export interface Role {
  /** Replaces what the machine sends. */
  output?(effects: readonly Effect[]): readonly Effect[]
  /** Sees what comes in. */
  input?(event: MembershipEvent): void
  /** Called each second. */
  act?(): void
}

/** A host with its disk, and a process or none. */
export interface SimNode {
  readonly index: number
  readonly id: string
  readonly signer: Signer
  readonly credentials: Uint8Array
  readonly clock: NodeClock
  readonly disk: Disk
  /** Open connections by peer id, newest last. */
  readonly connections: Map<string, Connection[]>
  /** False when the host has vanished: nothing answers, not even a refusal. */
  isHostUp: boolean
  process: Process | null
  /** Starts so far. */
  lives: number
  role: Role | null
  /** Once byzantine, it proves nothing about the honest. */
  isHonest: boolean
  /** Its certificate was revoked; it runs on as if nothing had been said. */
  isRevoked: boolean
  /** Its disk was taken back to an older copy: its next incarnation may be an old one. */
  isRolledBack: boolean
  /** Runs the identity of another node. */
  readonly isClone: boolean
}

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
  /** A router on its way has forgotten it, or an end stands elsewhere now: nothing passes, and nobody says so. */
  isForgotten: boolean
}

/** What the world tells whoever watches: the checkers and the measures. */
export interface Watcher {
  started?(node: SimNode): void
  /** `process` is the one that ended. */
  stopped?(node: SimNode, process: Process): void
  stepped?(node: SimNode, process: Process, event: MembershipEvent, effects: readonly Effect[]): void
  /** The node's certificate is revoked from now on. */
  revoked?(node: SimNode): void
  sent?(node: SimNode, frame: Uint8Array, at: number): void
  emitted?(node: SimNode, event: EventInput, at: number): void
}
