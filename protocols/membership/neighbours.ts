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
 * A pure function of place, table and `now` (ms). One pass, without sorting everybody. `ended`: who left the table at the end
 * of its lease; tried in turn with the dead, and never counted as part of a small mesh.
 */
export function chooseNeighbours(
  self: Uint8Array,
  candidates: readonly Candidate[],
  now: number,
  ended: readonly string[] = [],
): string[] {
  if (candidates.length < FULL_MESH_MAX)
    return [...candidates.map(({ id }) => id), ...inTurn(ended, self, now)]
  /** Nearest first. */
  const nearest: Candidate[] = []
  /** The nearest of each of the top buckets, by leading zeros of its distance. */
  const contacts: Candidate[] = []
  const dead: string[] = []
  for (const candidate of candidates) {
    if (candidate.dead) dead.push(candidate.id)
    else {
      keepNearest(nearest, candidate, self)
      const prefix = sharedBits(self, candidate.place)
      const contact = contacts[prefix]
      if (prefix < TOP_BUCKETS && (contact === undefined || isNearer(self, candidate.place, contact.place)))
        contacts[prefix] = candidate
    }
  }
  const chosen = new Set(nearest.map(({ id }) => id))
  for (const contact of contacts) if (contact !== undefined) chosen.add(contact.id)
  return [...chosen, ...inTurn([...dead, ...ended], self, now)]
}

/** `REDIAL_DEAD` of them. Each node begins elsewhere: together they try many at once, and nobody is dialled by all. */
function inTurn(ids: readonly string[], self: Uint8Array, now: number): string[] {
  const turn = Math.floor(now / REDIAL_DEAD_MS) * REDIAL_DEAD + (self[0] as number)
  const count = Math.min(REDIAL_DEAD, ids.length)
  return Array.from({ length: count }, (_, i) => ids[(turn + i) % ids.length] as string)
}

/** XOR distance of two places. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] as number))
}

/** True when `a` is nearer to `self` than `b`; places are never equal. */
function isNearer(self: Uint8Array, a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < self.length; i++) {
    const difference = ((self[i] as number) ^ (a[i] as number)) - ((self[i] as number) ^ (b[i] as number))
    if (difference !== 0) return difference < 0
  }
  return false
}

/** Puts a candidate among the `NEAREST`, in order, when it belongs there. */
function keepNearest(nearest: Candidate[], candidate: Candidate, self: Uint8Array): void {
  const last = nearest[NEAREST - 1]
  if (last !== undefined && !isNearer(self, candidate.place, last.place)) return
  let at = Math.min(nearest.length, NEAREST - 1)
  for (; at > 0; at--) {
    const before = nearest[at - 1] as Candidate
    if (!isNearer(self, candidate.place, before.place)) break
    nearest[at] = before
  }
  nearest[at] = candidate
}

/** Leading bits two places have in common: the number of the Kademlia bucket. */
function sharedBits(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) ^ (b[i] as number)
    if (difference !== 0) return i * 8 + Math.clz32(difference) - 24
  }
  return a.length * 8
}
