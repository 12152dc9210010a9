import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Standing } from '../../protocols/traversal/nat.ts'
import { Internet } from './internet.ts'
import { JsonLines } from './json-lines.ts'
import type { Lab } from './lab.ts'
import { NAT_KINDS } from './nat-kinds.ts'
import type { CheckReport, EndReport, Order, Told } from './punch-end.ts'
import type { PathSettings } from './wan.ts'

/** Kinds of the README's matrix, in its order. */
export const MATRIX_KINDS = [
  'open',
  'full-cone',
  'address-restricted',
  'port-restricted',
  'port-restricted-other-port',
  'symmetric',
  'symmetric-sequential',
  'cgnat',
  'linux-open',
] as const

/** A kind of site the matrix has. */
export type MatrixKind = (typeof MATRIX_KINDS)[number]

/** How a site of this kind stands towards the internet over TCP. */
export function standingOf(kind: MatrixKind | keyof typeof NAT_KINDS): Standing {
  if (kind === 'open') return 'dialable'
  return NAT_KINDS[kind === 'cgnat' ? 'port-restricted' : kind].tcp
}

/** One way, as the matrix is defined. */
export const MATRIX_DELAY_MS = 25
/** Routers with eight outside ports in all: after eight connections to the relay in two minutes they would have none left. */
const FEW_PORTS: ReadonlySet<string> = new Set(['symmetric-sequential', 'address-dependent'])
const SHORT_MEMORY = ['time_wait', 'close', 'last_ack', 'close_wait', 'fin_wait'].map(
  (state) => `net.netfilter.nf_conntrack_tcp_timeout_${state}=1`,
)
/** Ends that start on a busy machine. */
const START_MS = 60_000
/** Longer than an attempt can last. */
const ATTEMPT_MS = 30_000

/** How one attempt is made. */
interface PunchTry {
  readonly isKnown?: boolean
  readonly isGlare?: boolean
  readonly cancelAfterMs?: number | null
}

/** The ends of one lab, told what to do over a UNIX socket. */
export class PunchLab {
  readonly net: Internet
  readonly #ends: ReadonlyMap<string, JsonLines<Order, Told>>
  readonly #waiting: Map<string, (told: Told) => void>
  #n = 0

  private constructor(
    net: Internet,
    ends: ReadonlyMap<string, JsonLines<Order, Told>>,
    waiting: Map<string, (told: Told) => void>,
  ) {
    this.net = net
    this.#ends = ends
    this.#waiting = waiting
  }

  /** Starts the internet, the relay and an end at each site. */
  static async start(
    lab: Lab,
    seed: string,
    sites: readonly { name: string; kind: MatrixKind | keyof typeof NAT_KINDS }[],
    path: Partial<PathSettings> = {},
  ): Promise<PunchLab> {
    const net = await Internet.start(lab, {
      seed,
      sites: [{ name: 'relay', kind: 'open' }, ...sites],
      path: { delayMs: MATRIX_DELAY_MS, ...path },
      // One packet is one packet where some get lost.
      offload: (path.lossRate ?? 0) === 0,
    })
    const addresses = [net.address('relay'), net.address('relay').replace(/1$/, '2')]
    await lab.run('relay', 'ip', ['addr', 'add', `${addresses[1]}/32`, 'dev', 'wan'])
    const relay = lab.startScript('relay', join(import.meta.dirname, 'punch-relay.ts'), addresses)
    await relay.line()
    for (const { name, kind } of sites)
      if (FEW_PORTS.has(kind)) await lab.run(net.edge(name), 'sysctl', ['-qw', ...SHORT_MEMORY])
    const ends = new Map<string, JsonLines<Order, Told>>()
    const waiting = new Map<string, (told: Told) => void>()
    const all = Promise.withResolvers<void>()
    const control = join(lab.directory, 'control')
    const server = createServer((socket) => {
      const lines = new JsonLines<Order, Told>(socket, (told) => {
        if (told.told !== 'ready') return waiting.get(`${told.n} ${told.name}`)?.(told)
        ends.set(told.name, lines)
        if (ends.size === sites.length) all.resolve()
      })
    }).listen(control)
    server.unref()
    await once(server, 'listening')
    for (const { name, kind } of sites) {
      const args = [name, JSON.stringify(standingOf(kind)), ...addresses, control]
      lab.startScript(net.host(name), join(import.meta.dirname, 'punch-end.ts'), args)
    }
    await within(START_MS, all.promise, 'all ends')
    return new PunchLab(net, ends, waiting)
  }

  /** One attempt; how it ended for both. `isGlare`: both begin. `cancelAfterMs`: the initiator wants it no longer then. */
  async punch(
    initiator: string,
    responder: string,
    { isKnown = true, isGlare = false, cancelAfterMs = null }: PunchTry = {},
  ): Promise<[EndReport, EndReport]> {
    const n = ++this.#n
    const both = [initiator, responder].map(async (name) => {
      const told = await this.#told(n, name)
      if (told.told !== 'punched') throw new Error(`${name} told ${told.told}`)
      return told
    })
    const order = { order: 'punch', n, isKnown, cancelAfterMs } as const
    this.#ends.get(initiator)?.send({ ...order, peer: responder })
    if (isGlare) this.#ends.get(responder)?.send({ ...order, peer: initiator })
    const [first, second] = await Promise.all(both)
    if (first === undefined || second === undefined) throw new Error('an attempt has two ends')
    return [first, second]
  }

  /** What an end finds out about its NAT. */
  async netcheck(name: string): Promise<CheckReport> {
    const n = ++this.#n
    const told = this.#told(n, name)
    this.#ends.get(name)?.send({ order: 'netcheck', n })
    const checked = await told
    if (checked.told !== 'checked') throw new Error(`${name} told ${checked.told}`)
    return checked.netcheck
  }

  /** Ends the internet; the lab ends the rest. */
  close(): Promise<void> {
    return this.net.close()
  }

  async #told(n: number, name: string): Promise<Told> {
    const key = `${n} ${name}`
    const { promise, resolve } = Promise.withResolvers<Told>()
    this.#waiting.set(key, resolve)
    try {
      return await within(ATTEMPT_MS, promise, `${name} in attempt ${n}`)
    } finally {
      this.#waiting.delete(key)
    }
  }
}

async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
