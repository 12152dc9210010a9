import { hash } from 'node:crypto'
import { concat, utf8 } from '../protocols/common/bytes.ts'
import { MEMBERS_MAX } from '../protocols/registry/limits.ts'

/** Digits of a tag, 16 bytes: nobody meets another's by chance, and a label of a DNS name holds it. */
const TAG_DIGITS = 32
const HOUR_MS = 3_600_000
/** Keeps the hash apart from every other of Kith. */
const CONTEXT = utf8('kith/lan-tag/1\0')
/** Hours around ours whose tags are recognised: clocks differ, and an hour may just have begun. */
const HOURS_AROUND = [-1, 0, 1] as const

/** A peer to recognise: its id and its 32-byte key. */
export interface LanPeer {
  readonly id: string
  readonly key: Uint8Array
}

/** Number of the hour since the Unix epoch in which `wallMs` lies. */
export function hourOf(wallMs: number): number {
  return Math.floor(wallMs / HOUR_MS)
}

/**
 * What a node calls itself on the LAN for an hour: 32 hexadecimal digits, SHA-256(context ‖ mesh id ‖ key ‖ hour) cut to 16
 * bytes. Who knows the mesh and the key recognises it; to everybody else tags of different hours have nothing in common.
 */
export function lanTag(meshId: Uint8Array, key: Uint8Array, hour: number): string {
  if (meshId.length !== 32 || key.length !== 32) throw new Error('mesh id and key have 32 bytes each')
  const number = new Uint8Array(8)
  new DataView(number.buffer).setBigUint64(0, BigInt(hour))
  // The one-shot hash: with 10,000 members an hour’s change takes 31 ms instead of 122.
  return hash('sha256', concat(CONTEXT, meshId, key, number), 'hex').slice(0, TAG_DIGITS)
}

/** The tags of known peers, for the hour before, this one and the next; at most `MEMBERS_MAX` peers. */
export class TagTable {
  readonly #meshId: Uint8Array
  #peers: readonly LanPeer[] = []
  /** Hour to (tag to peer id). */
  #byHour = new Map<number, Map<string, string>>()

  constructor(meshId: Uint8Array) {
    this.#meshId = meshId
  }

  get size(): number {
    return this.#peers.length
  }

  /** Replaces whom to recognise. */
  setPeers(peers: readonly LanPeer[], hour: number): void {
    const before = new Set(this.#peers.map(({ id }) => id))
    this.#peers = peers.slice(0, MEMBERS_MAX)
    const isOnlyMore = this.#peers.filter(({ id }) => before.has(id)).length === before.size
    if (!isOnlyMore) this.#byHour.clear()
    const added = isOnlyMore ? this.#peers.filter(({ id }) => !before.has(id)) : []
    for (const [known, tags] of this.#byHour)
      for (const { id, key } of added) tags.set(lanTag(this.#meshId, key, known), id)
    this.advance(hour)
  }

  /** Makes the tags around `hour`, those that are not there yet: one hash a peer when an hour has passed. */
  advance(hour: number): void {
    const wanted = HOURS_AROUND.map((distance) => hour + distance).filter((each) => each >= 0)
    for (const known of this.#byHour.keys()) if (!wanted.includes(known)) this.#byHour.delete(known)
    for (const each of wanted) {
      if (this.#byHour.has(each)) continue
      const tags = this.#peers.map(({ id, key }) => [lanTag(this.#meshId, key, each), id] as const)
      this.#byHour.set(each, new Map(tags))
    }
  }

  /** Whose tag this is; undefined when nobody known has it now. */
  peerOf(tag: string): string | undefined {
    for (const tags of this.#byHour.values()) {
      const peer = tags.get(tag)
      if (peer !== undefined) return peer
    }
    return undefined
  }
}
