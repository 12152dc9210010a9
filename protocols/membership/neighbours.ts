import { compareBytes } from '../common/bytes.ts'
import { FULL_MESH_MAX, NEAREST, REDIAL_DEAD, REDIAL_DEAD_MS, TOP_BUCKETS } from './limits.ts'

/** A member as neighbour choice sees it. `place` is its 32-byte place in the key space. */
export interface Candidate {
  readonly id: string
  readonly place: Uint8Array
  readonly dead: boolean
}

/**
 * Whom to keep a link to: everybody in a small mesh, else the XOR-nearest members and one contact in each of the top
 * buckets, i.e. the links Kademlia keeps anyway, plus a few dead ones in turn, which finds the far side of a partition.
 * A pure function of the table and `now` (ms), so every node computes it alike.
 */
export function chooseNeighbours(self: Uint8Array, candidates: readonly Candidate[], now: number): string[] {
  if (candidates.length < FULL_MESH_MAX) return candidates.map(({ id }) => id)
  const living = candidates.filter(({ dead }) => !dead)
  const sorted = living
    .map(({ id, place }) => ({ id, place, distance: xor(self, place) }))
    .sort((a, b) => compareBytes(a.distance, b.distance))
  const chosen = new Set(sorted.slice(0, NEAREST).map(({ id }) => id))
  const seen = new Set<number>()
  for (const { id, distance } of sorted) {
    const prefix = leadingZeros(distance)
    if (prefix >= TOP_BUCKETS || seen.has(prefix)) continue
    seen.add(prefix)
    chosen.add(id)
  }
  const dead = candidates.filter((candidate) => candidate.dead)
  const turn = Math.floor(now / REDIAL_DEAD_MS) * REDIAL_DEAD
  for (let i = 0; i < Math.min(REDIAL_DEAD, dead.length); i++) {
    chosen.add((dead[(turn + i) % dead.length] as Candidate).id)
  }
  return [...chosen]
}

/** XOR distance of two places. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] as number))
}

function leadingZeros(distance: Uint8Array): number {
  for (let i = 0; i < distance.length; i++) {
    const byte = distance[i] as number
    if (byte !== 0) return i * 8 + Math.clz32(byte) - 24
  }
  return distance.length * 8
}
