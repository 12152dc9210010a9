import { concat, fromHex, toHex } from '../../../protocols/common/bytes.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import type { EventInput, Random, Signer, Verify } from '../../../protocols/common/ports.ts'
import { ed25519Signer, sha256, verifyEd25519 } from '../../../protocols/common/signing.ts'
import { issueAuthority, issueMember } from '../../../protocols/admission/certificates.ts'
import { RevocationSet } from '../../../protocols/admission/revocation.ts'
import { makeRoot, type Root } from '../../../protocols/admission/root.ts'
import { createReconnect, step as reconnectStep, type ReconnectState } from '../../../bootstrap/reconnect.ts'
import {
  createMembership,
  saveEntries,
  step,
  wantedNeighbours,
  type Effect,
  type MembershipEvent,
  type MembershipState,
} from '../../../protocols/membership/machine.ts'
import type { MemberEntry } from '../../../protocols/registry/wire.ts'

/** A repeatable source of bytes: SHA-256 in counter mode. */
export function seededRandom(seed: string): Random & { fraction(): number } {
  let counter = 0
  let pool: Uint8Array = new Uint8Array(0)
  const bytes = (length: number): Uint8Array => {
    while (pool.length < length) pool = concat(pool, sha256(new TextEncoder().encode(`${seed}/${counter++}`)))
    const out = pool.slice(0, length)
    pool = pool.slice(length)
    return out
  }
  const fraction = () => new DataView(bytes(4).buffer).getUint32(0) / 2 ** 32
  return { bytes, fraction }
}

/** A mesh with its root and one authority, made from a seed; gives out credentials. */
export function testMesh(seed: string, now: number, name = 'home') {
  const random = seededRandom(`mesh ${seed}`)
  const rootSigner = ed25519Signer(random.bytes(32))
  const authoritySigner = ed25519Signer(random.bytes(32))
  const root: Root = makeRoot({
    name,
    rootKeys: [rootSigner.publicKey],
    x509Root: Uint8Array.of(0x30, 0),
    now,
  })
  const authority = issueAuthority({
    root,
    rootSigner,
    subject: authoritySigner.publicKey,
    roles: ['admit', 'revoke', 'dns', 'acme', 'policy'],
    x509Intermediate: null,
    serial: random.bytes(16),
    now,
  })
  const admit = (subject: Uint8Array, name: string, at = now): Uint8Array =>
    issueMember({
      meshId: root.meshId,
      authoritySigner,
      authorityCertificate: authority,
      subject,
      name,
      roles: ['relay'],
      tags: [],
      serial: random.bytes(16),
      nonce: random.bytes(16),
      now: at,
    })
  return { root, rootSigner, authoritySigner, authority, admit, random }
}

/** What survives a kill -9. */
export interface Disk {
  incarnation: number
  entries: Map<string, MemberEntry>
}

export interface SimNode {
  readonly index: number
  readonly id: string
  readonly signer: Signer
  readonly credentials: Uint8Array
  readonly events: EventInput[]
  revocations: RevocationSet
  /** Revocations on the disk, in hexadecimal. */
  readonly stored: Set<string>
  disk: Disk
  state: MembershipState | null
  reconnect: ReconnectState
  /** Number of the process: frames and timers of an earlier one are void. */
  life: number
  clockOffsetMs: number
}

interface Scheduled {
  at: number
  order: number
  run: () => void
}

const TICK_MS = 200

/** Nodes, links and a clock in memory: the machine's own code, without sockets, timers or chance. */
export class World {
  readonly nodes: SimNode[] = []
  readonly mesh: ReturnType<typeof testMesh>
  readonly random: ReturnType<typeof seededRandom>
  /** Chance of a frame being late by a retransmission. */
  lossRate = 0
  /** Bytes sent by all. */
  sentBytes = 0
  now: number
  #order = 0
  readonly #queue: Scheduled[] = []
  readonly #links = new Map<string, { nextAt: Map<string, number> }>()
  #cut: (a: number, b: number) => boolean = () => false
  /** What was verified once by anybody is remembered: all nodes check the same few signatures. */
  readonly #verified = new Map<string, boolean>()
  readonly #verify: Verify = (key, message, signature) => {
    const name = `${toHex(key)} ${toHex(signature)} ${toHex(sha256(message))}`
    const known = this.#verified.get(name) ?? verifyEd25519(key, message, signature)
    this.#verified.set(name, known)
    return known
  }

  constructor(seed: string, count: number, start = 1_800_000_000_000) {
    this.now = start
    this.mesh = testMesh(seed, start)
    this.random = seededRandom(`world ${seed}`)
    for (let index = 0; index < count; index++) {
      const signer = ed25519Signer(this.random.bytes(32))
      this.nodes.push({
        index,
        id: peerIdFromKey(signer.publicKey),
        signer,
        credentials: this.mesh.admit(signer.publicKey, `node-${index}`),
        events: [],
        revocations: new RevocationSet({ root: this.mesh.root }),
        stored: new Set(),
        disk: { incarnation: 0, entries: new Map() },
        state: null,
        reconnect: createReconnect(),
        life: 0,
        clockOffsetMs: 0,
      })
    }
  }

  node(index: number): SimNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`no node ${index}`)
    return node
  }

  /** Starts a process on the node's disk, by the restart rule. */
  start(node: SimNode): void {
    const now = this.now + node.clockOffsetMs
    const incarnation = Math.max(node.disk.incarnation + 1, now)
    node.disk.incarnation = incarnation
    node.life++
    node.reconnect = createReconnect()
    node.revocations = new RevocationSet({ root: this.mesh.root })
    for (const hex of node.stored) node.revocations.restore(fromHex(hex))
    node.state = createMembership(
      {
        root: this.mesh.root,
        signer: node.signer,
        credentials: node.credentials,
        random: seededRandom(`${node.index} ${node.life} ${toHex(this.random.bytes(4))}`),
        incarnation,
        announcement: { addresses: [`/memory/${node.index}`], relays: [], services: [] },
        stored: [...node.disk.entries.values()],
        authorityReachable: () => true,
        revocations: node.revocations,
        verify: this.#verify,
      },
      now,
    )
    const { life } = node
    const tick = () => {
      if (node.life !== life || node.state === null) return
      this.event(node, { type: 'tick' })
      this.#connect(node)
      this.after(TICK_MS, tick)
    }
    this.after(Math.floor(this.random.fraction() * TICK_MS), tick)
  }

  /** kill -9: links close a moment later, what was not written is lost. */
  kill(node: SimNode): void {
    node.state = null
    node.life++
    for (const other of this.nodes) this.unlink(node, other)
  }

  /** A clean stop writes what is unsaved. */
  stop(node: SimNode, leave = false): void {
    if (leave) this.event(node, { type: 'leave' })
    this.run(100)
    const out: Effect[] = []
    if (node.state !== null) saveEntries({ state: node.state, now: this.now, out })
    this.#perform(node, out)
    this.kill(node)
  }

  /** Cuts (or heals) the network; cut links fall silent, as real ones do. */
  partition(cut: (a: number, b: number) => boolean): void {
    this.#cut = cut
  }

  event(node: SimNode, event: MembershipEvent): void {
    if (node.state === null) return
    this.#perform(node, step(node.state, event, this.now + node.clockOffsetMs))
  }

  after(delayMs: number, run: () => void): void {
    const at = this.now + delayMs
    const item = { at, order: this.#order++, run }
    let low = 0
    let high = this.#queue.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#queue[middle] as Scheduled
      if (other.at < at || (other.at === at && other.order < item.order)) low = middle + 1
      else high = middle
    }
    this.#queue.splice(low, 0, item)
  }

  run(durationMs: number): void {
    const end = this.now + durationMs
    for (let next = this.#queue[0]; next !== undefined && next.at <= end; next = this.#queue[0]) {
      this.#queue.shift()
      this.now = next.at
      next.run()
    }
    this.now = end
  }

  /** Every machine sleeps at once: the clock moves, nothing happens. */
  sleep(durationMs: number): void {
    this.now += durationMs
    for (const item of this.#queue) item.at += durationMs
  }

  /** Runs until `done`; returns the ms it took, or throws after `limitMs`. */
  runUntil(done: () => boolean, limitMs: number): number {
    const start = this.now
    while (!done()) {
      if (this.now - start >= limitMs) throw new Error(`not done after ${limitMs} ms`)
      this.run(100)
    }
    return this.now - start
  }

  live(): SimNode[] {
    return this.nodes.filter((node) => node.state !== null)
  }

  digests(): string[] {
    return [...new Set(this.live().map((node) => toHex((node.state as MembershipState).table.digest())))]
  }

  /** How `node` holds `subject`. */
  held(node: SimNode, subject: SimNode): string | undefined {
    return node.state?.table.get(subject.id) === undefined
      ? undefined
      : node.state.verdicts.get(subject.id)?.state
  }

  unlink(a: SimNode, b: SimNode): void {
    if (!this.#links.delete(linkKey(a, b))) return
    for (const [node, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const { life } = node
      this.after(5, () => node.life === life && this.event(node, { type: 'link-down', peer: peer.id }))
    }
  }

  linked(a: SimNode, b: SimNode): boolean {
    return this.#links.has(linkKey(a, b))
  }

  #connect(node: SimNode): void {
    const { state } = node
    if (state === null) return
    const target = (peer: string) => ({ peer, addresses: ['/memory'] })
    const connected = new Set(this.nodes.filter((other) => this.linked(node, other)).map(({ id }) => id))
    const wanted = wantedNeighbours(state, this.now).map(target)
    const fallback = node.index === 0 ? [] : [target(this.node(0).id)]
    this.#dial(node, { type: 'look', wanted, fallback, connected })
  }

  #dial(node: SimNode, event: Parameters<typeof reconnectStep>[1]): void {
    const { life } = node
    for (const { peer } of reconnectStep(node.reconnect, event, this.now, () => this.random.fraction())) {
      const other = this.nodes.find(({ id }) => id === peer) as SimNode
      const cut = this.#cut(node.index, other.index)
      const delayMs = cut ? 5_000 : 10
      this.after(delayMs, () => {
        if (node.life !== life) return
        const open = other.state !== null && !this.#cut(node.index, other.index)
        const code = cut ? 'dial-timeout' : 'dial-refused'
        const failure = open ? null : ({ code, text: 'simulated' } as const)
        if (open) this.#link(node, other)
        else this.event(node, { type: 'dial-failed', peer, refused: !cut })
        this.#dial(node, { type: 'dialled', peer, failure })
      })
    }
  }

  #link(from: SimNode, to: SimNode): void {
    if (this.linked(from, to)) return
    this.#links.set(linkKey(from, to), { nextAt: new Map() })
    this.event(from, { type: 'link-up', peer: to.id, initiator: true })
    this.event(to, { type: 'link-up', peer: from.id, initiator: false })
  }

  #perform(node: SimNode, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') this.#send(node, effect.peer, effect.frame)
      else if (effect.type === 'store-entry') node.disk.entries.set(effect.id, effect.entry)
      else if (effect.type === 'delete-entry') node.disk.entries.delete(effect.id)
      else if (effect.type === 'store-revocation') node.stored.add(toHex(effect.bytes))
      else if (effect.type === 'delete-revocation') node.stored.delete(toHex(effect.bytes))
      else if (effect.type === 'emit') node.events.push(effect.event)
      else if (effect.type === 'close') {
        const peer = this.nodes.find(({ id }) => id === effect.peer)
        if (peer !== undefined) this.unlink(node, peer)
      } else if (effect.type === 'store-incarnation') {
        const { incarnation } = effect
        const { life } = node
        this.after(3, () => {
          if (node.life !== life) return
          node.disk.incarnation = incarnation
          this.event(node, { type: 'incarnation-stored', incarnation })
        })
      }
    }
  }

  /** Ordered delivery per direction; a lost frame comes late, as TCP makes it; a cut link swallows. */
  #send(from: SimNode, peer: string, frame: Uint8Array): void {
    const to = this.nodes.find(({ id }) => id === peer) as SimNode
    const link = this.#links.get(linkKey(from, to))
    if (link === undefined || this.#cut(from.index, to.index)) return
    this.sentBytes += frame.length
    const lateMs = this.random.fraction() < this.lossRate ? 200 : 0
    const at = Math.max(
      link.nextAt.get(from.id) ?? 0,
      this.now + 5 + Math.floor(this.random.fraction() * 20) + lateMs,
    )
    link.nextAt.set(from.id, at)
    const { life } = to
    this.after(at - this.now, () => {
      const standing = this.#links.get(linkKey(from, to)) === link && !this.#cut(from.index, to.index)
      if (standing && to.life === life) this.event(to, { type: 'frame', peer: from.id, bytes: frame })
    })
  }
}

function linkKey(a: SimNode, b: SimNode): string {
  return a.index < b.index ? `${a.index}-${b.index}` : `${b.index}-${a.index}`
}
