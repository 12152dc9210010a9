import type { Peer } from '../../../node/api/schemas.ts'
import { compareNames } from './peer-list.ts'

/** Peers drawn at most: more discs than this run into each other on a small laptop's screen. */
export const TOPOLOGY_PEERS_MAX = 150

/** How new streams to a peer go; `self` is this node. */
export type Reach = 'self' | 'direct' | 'relay' | 'none'

/** A node of the drawing; lengths are CSS pixels from the upper left corner. */
export interface TopologyNode {
  readonly id: string
  readonly name: string
  readonly reach: Reach
  readonly state: Peer['state']
  readonly x: number
  readonly y: number
  readonly radius: number
  /** Null where it would run into another one. */
  readonly label: TopologyLabel | null
}

/** Where a name is written. */
export interface TopologyLabel {
  readonly text: string
  readonly x: number
  readonly y: number
  readonly anchor: 'start' | 'middle' | 'end'
}

/** A line of the drawing. `relay`: a piece of the way that the relay carries. */
export interface TopologyLink {
  readonly id: string
  readonly kind: 'direct' | 'relay'
  readonly from: Place
  readonly to: Place
}

/** The drawing. */
export interface Topology {
  readonly nodes: readonly TopologyNode[]
  readonly links: readonly TopologyLink[]
  /** Peers that are not drawn. */
  readonly hidden: number
}

interface Place {
  readonly x: number
  readonly y: number
}
interface Box {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
}
/** A peer with its direction from this node and how far out it stands, from 0 to 1. */
interface Placed {
  readonly peer: Peer
  readonly angle: number
  readonly reach: number
}

/** Kept free at the sides and at top and bottom, for names. */
const MARGIN_X = 84
const MARGIN_Y = 34
const RADIUS_MAX = 8
const RADIUS_MIN = 2.5
/** Of a name written at 12 px: width of a letter, height of a line. */
const LETTER_WIDTH = 6.9
const LINE_HEIGHT = 14
const LABEL_GAP = 5
const LABEL_LENGTH_MAX = 18
/** More peers than this on the inner ring stand alternately a little further in and out. */
const STAGGERED_FROM = 24
const FULL_TURN = 2 * Math.PI

/**
 * Lays the mesh out as this node sees it: itself in the middle, the peers it reaches directly around it, those behind a relay
 * outside next to their relay, and those without a path outside at the end. The same peers stand in the same places, whatever
 * their order and their figures. Pure.
 */
export function layOut(
  self: { readonly id: string; readonly name: string },
  peers: readonly Peer[],
  size: { readonly width: number; readonly height: number },
): Topology {
  const members = peers.filter(({ state }) => state !== 'left')
  const drawn = inUse(members).slice(0, TOPOLOGY_PEERS_MAX)
  const placed = place(drawn)
  const middle = { x: size.width / 2, y: size.height / 2 }
  const radii = { x: Math.max(20, middle.x - MARGIN_X), y: Math.max(20, middle.y - MARGIN_Y) }
  const radius = discRadius(placed, radii)
  const places = new Map<string, Place>([[self.id, middle]])
  for (const { peer, angle, reach } of placed)
    places.set(peer.id, {
      x: middle.x + Math.cos(angle) * radii.x * reach,
      y: middle.y + Math.sin(angle) * radii.y * reach,
    })
  const at = (id: string): Place => places.get(id) ?? middle
  const links = drawn
    .filter(({ path }) => path !== 'none')
    .map(({ id, path, via }): TopologyLink => {
      const from = path === 'relay' && via !== null ? at(via) : middle
      return { id, kind: path === 'relay' ? 'relay' : 'direct', from, to: at(id) }
    })
  const nodes: Unlabelled[] = [
    { ...self, reach: 'self', state: 'alive', radius: RADIUS_MAX + 3, ...middle },
    ...drawn.map(({ id, name, path, state }) => ({
      id,
      name,
      reach: path,
      state,
      radius,
      x: at(id).x,
      y: at(id).y,
    })),
  ]
  return { nodes: labelled(nodes, middle, size), links, hidden: members.length - drawn.length }
}

/** Those that carry for others first, then direct ones, relayed ones, the rest; each by name. */
function inUse(peers: readonly Peer[]): Peer[] {
  const relays = new Set(peers.map(({ via }) => via))
  const rank = ({ id, path }: Peer): number =>
    relays.has(id) ? 0 : path === 'direct' ? 1 : path === 'relay' ? 2 : 3
  return peers.toSorted((a, b) => rank(a) - rank(b) || compareNames(a, b) || (a.id < b.id ? -1 : 1))
}

/** A sector for each peer reached directly, as wide as what is behind it, and one for each of the others. */
function place(drawn: readonly Peer[]): Placed[] {
  const inner = drawn.filter(({ path }) => path === 'direct').toSorted(compareNames)
  const isInner = new Set(inner.map(({ id }) => id))
  const behind = (relay: string): Peer[] =>
    drawn.filter(({ id, path, via }) => path === 'relay' && via === relay && !isInner.has(id))
  const hasRelay = ({ path, via }: Peer): boolean => path === 'relay' && via !== null && isInner.has(via)
  const alone = drawn.filter((peer) => !isInner.has(peer.id) && !hasRelay(peer))
  const outside = inner.map(({ id }) => behind(id))
  const isStaggered = inner.length > STAGGERED_FROM
  const innerReach = inner.length === drawn.length ? 0.85 : 0.55
  const widths = [...outside.map(({ length }) => Math.max(1, length)), ...alone.map(() => 1)]
  const turn =
    FULL_TURN /
    Math.max(
      1,
      widths.reduce((sum, width) => sum + width, 0),
    )
  const placed: Placed[] = []
  let passed = 0
  for (const [i, peer] of [...inner, ...alone].entries()) {
    const width = widths[i] ?? 1
    const angleAt = (part: number): number => (passed + part) * turn - Math.PI / 2
    const shift = !isInner.has(peer.id) ? 0.45 : !isStaggered ? 0 : i % 2 === 0 ? -0.1 : 0.1
    const reach = isInner.has(peer.id) ? innerReach + shift : 1
    placed.push({ peer, angle: angleAt(width / 2), reach })
    for (const [k, each] of (outside[i] ?? []).entries())
      placed.push({ peer: each, angle: angleAt(k + 0.5), reach: 1 })
    passed += width
  }
  return placed
}

/** As large as the fullest ring has room for. */
function discRadius(placed: readonly Placed[], radii: { x: number; y: number }): number {
  const outer = placed.filter(({ reach }) => reach === 1).length
  const rings = [
    [placed.length - outer, 0.55],
    [outer, 1],
  ] as const
  const room = Math.min(
    ...rings.map(([count, reach]) => (FULL_TURN * Math.min(radii.x, radii.y) * reach) / Math.max(1, count)),
  )
  return Math.min(RADIUS_MAX, Math.max(RADIUS_MIN, room * 0.38))
}

type Unlabelled = Omit<TopologyNode, 'label'>

/** Names in the order of the nodes, each where it runs into no other name, no disc and no edge; else left out. */
function labelled(
  nodes: readonly Unlabelled[],
  middle: Place,
  size: { readonly width: number; readonly height: number },
): TopologyNode[] {
  const taken: Box[] = nodes.map(({ x, y, radius }) => ({
    left: x - radius,
    right: x + radius,
    top: y - radius,
    bottom: y + radius,
  }))
  return nodes.map((node, i) => {
    for (const label of labelsOf(node, middle)) {
      const box = boxOf(label)
      const isInside = box.left >= 0 && box.top >= 0 && box.right <= size.width && box.bottom <= size.height
      if (!isInside || taken.some((other, k) => k !== i && overlap(box, other))) continue
      taken.push(box)
      return { ...node, label }
    }
    return { ...node, label: null }
  })
}

/** Where a name may stand: outwards of its node, else above or below it. */
function labelsOf({ name, x, y, radius }: Unlabelled, middle: Place): TopologyLabel[] {
  // Names of members are ASCII (protocols/naming/names.ts), so a cut halves no letter.
  const text = name.length > LABEL_LENGTH_MAX ? `${name.slice(0, LABEL_LENGTH_MAX - 1)}…` : name
  const side = radius + LABEL_GAP
  const right = { text, x: x + side, y, anchor: 'start' as const }
  const left = { text, x: x - side, y, anchor: 'end' as const }
  const below = { text, x, y: y + side + LINE_HEIGHT / 2, anchor: 'middle' as const }
  const above = { text, x, y: y - side - LINE_HEIGHT / 2, anchor: 'middle' as const }
  const outwards = y < middle.y ? [above, below] : [below, above]
  if (Math.abs(x - middle.x) <= Math.abs(y - middle.y) / 2) return outwards
  return [x < middle.x ? left : right, ...outwards]
}

/** The room a name takes, a little more than it needs. */
function boxOf({ text, x, y, anchor }: TopologyLabel): Box {
  const width = text.length * LETTER_WIDTH
  const left = anchor === 'start' ? x : anchor === 'end' ? x - width : x - width / 2
  return { left, right: left + width, top: y - LINE_HEIGHT / 2, bottom: y + LINE_HEIGHT / 2 }
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}
