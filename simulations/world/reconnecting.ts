import { createReconnect, step, type ReconnectEvent, type ReconnectState } from '../../bootstrap/reconnect.ts'
import type { MembershipState } from '../../protocols/membership/machine.ts'
import type { DialOutcome } from './network.ts'
import type { Process, SimNode } from './node.ts'

/** Bootstrap addresses every node has: the first nodes. */
const BOOTSTRAP_NODES = 3
/** Wanted neighbours depend on the table and slowly on time: they are asked for anew so often, and whenever the table changed. */
const WANTED_MS = 5_000
/** With everybody wanted connected a look says nothing new: it is only taken so often. */
const QUIET_LOOK_MS = 2_000

/** What reconnecting needs of the world. Times of `clockOf` in ms since the epoch. */
export interface ReconnectingInit {
  readonly nodes: readonly SimNode[]
  readonly now: () => number
  readonly clockOf: (node: SimNode) => number
  readonly wantedNeighbours: (state: MembershipState, now: number) => string[]
  readonly dial: (from: SimNode, to: SimNode, done: (outcome: DialOutcome) => void) => void
  /** Runs later, when there is nobody to dial. */
  readonly fail: (run: () => void) => void
  /** A dial came to nothing. */
  readonly failed: (node: SimNode, peer: string, refused: boolean) => void
}

/** The address of a node's host. */
export function addressOf(index: number): string {
  return `/memory/${index}`
}

/** The loop that keeps a node connected, as `bootstrap/reconnect-loop.ts` and the node's wiring do it: one state a process. */
export class Reconnecting {
  readonly #init: ReconnectingInit
  readonly #states = new WeakMap<Process, ReconnectState>()

  constructor(init: ReconnectingInit) {
    this.#init = init
  }

  /** A look at who is wanted and who is there. */
  look(node: SimNode): void {
    const { process } = node
    if (process === null) return
    const { nodes, now, wantedNeighbours, clockOf } = this.#init
    if (process.wanted === null || now() - process.wanted.askedAt >= WANTED_MS) {
      process.wanted = { ids: wantedNeighbours(process.state, clockOf(node)), askedAt: now() }
    }
    const { ids } = process.wanted
    const isQuiet = node.connections.size > 0 && ids.every((peer) => node.connections.has(peer))
    if (isQuiet && now() - process.lookedAt < QUIET_LOOK_MS) return
    process.lookedAt = now()
    const wanted = ids.map((peer) => ({ peer, addresses: addressesIn(process.state, peer) }))
    const fallback = nodes
      .slice(0, BOOTSTRAP_NODES)
      .filter(({ id }) => id !== node.id)
      .map(({ id, index }) => ({ peer: id, addresses: [addressOf(index)] }))
    const archived = [...process.state.archive.values()].map(({ id, addresses }) => ({ peer: id, addresses }))
    const connected = new Set(node.connections.keys())
    this.#step(node, { type: 'look', wanted, fallback: [...fallback, ...archived], connected })
  }

  /** Somebody says the peer is there. */
  hint(node: SimNode, peer: string): void {
    this.#step(node, { type: 'hint', peer })
  }

  #step(node: SimNode, event: ReconnectEvent): void {
    const { process } = node
    if (process === null) return
    const { nodes, clockOf, dial, fail } = this.#init
    let state = this.#states.get(process)
    if (state === undefined) this.#states.set(process, (state = createReconnect()))
    const fraction = () => process.random.fraction()
    for (const { peer, addresses } of step(state, event, clockOf(node), fraction)) {
      const target = addresses.map((address) => nodes[indexIn(address)]).find((at) => at?.id === peer)
      const done = (outcome: DialOutcome) => this.#dialled(node, process, peer, outcome)
      if (target === undefined || target === node) fail(() => done('timeout'))
      else dial(node, target, done)
    }
  }

  #dialled(node: SimNode, process: Process, peer: string, outcome: DialOutcome): void {
    if (node.process !== process) return
    const refused = outcome === 'refused'
    if (outcome !== 'connected') this.#init.failed(node, peer, refused)
    const code = refused ? 'dial-refused' : 'dial-timeout'
    const failure = outcome === 'connected' ? null : ({ code, text: outcome } as const)
    this.#step(node, { type: 'dialled', peer, failure })
  }
}

function addressesIn(state: MembershipState, peer: string): readonly string[] {
  const statement = state.table.get(peer)?.verified.statement
  if (statement !== undefined) return statement.kind === 'registration' ? statement.addresses : []
  return state.archive.get(peer)?.addresses ?? []
}

/** The index an address names, -1 for none of ours. */
function indexIn(address: string): number {
  const found = /^\/memory\/(\d+)$/.exec(address)
  return found === null ? -1 : Number(found[1])
}
