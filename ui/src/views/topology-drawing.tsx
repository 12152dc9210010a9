import { useSignal } from '@preact/signals'
import { useLayoutEffect, useRef } from 'preact/hooks'
import type { Peer } from '../../../node/api/schemas.ts'
import { layOut, type TopologyNode } from '../models/topology.ts'
import { topologySummary } from '../models/topology-words.ts'

/** Height of the drawing: more peers need more room. */
const HEIGHT_MIN = 300
const HEIGHT_MAX = 540
const HEIGHT_A_PEER = 8
/** From here on lines are thinner, so that they can be told apart. */
const CROWDED_FROM = 60
/** Until the page has said how wide it is. */
const WIDTH_FIRST = 720

/** This node, its peers, and the ways to them; as wide as there is room. `onPeer` is told who was clicked. */
export function TopologyDrawing(props: {
  self: { readonly id: string; readonly name: string }
  peers: readonly Peer[]
  onPeer: (peer: Peer) => void
}) {
  const { self, peers, onPeer } = props
  const box = useRef<HTMLDivElement>(null)
  const width = useSignal(WIDTH_FIRST)
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) width.value = Math.round(entry.contentRect.width)
    })
    if (box.current !== null) observer.observe(box.current)
    return () => observer.disconnect()
  }, [])
  const height = Math.min(HEIGHT_MAX, HEIGHT_MIN + peers.length * HEIGHT_A_PEER)
  const { nodes, links, hidden } = layOut(self, peers, { width: width.value, height })
  const byId = new Map(peers.map((peer) => [peer.id, peer]))
  return (
    <div ref={box} class="drawing">
      <svg
        class={links.length > CROWDED_FROM ? 'crowded' : ''}
        width={width.value}
        height={height}
        role="img"
        aria-label={`This node in the middle. ${topologySummary(peers)}`}
      >
        {links.map(({ id, kind, from, to }) => (
          <line key={id} class={`link ${kind}`} x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
        ))}
        {nodes.map((node) => {
          const peer = byId.get(node.id)
          return <Node key={node.id} node={node} onClick={peer && (() => onPeer(peer))} />
        })}
      </svg>
      {hidden === 0 ? null : <p class="muted">{hidden} more are not drawn; the list below has them all.</p>}
    </div>
  )
}

/** A disc is alive, a square suspect, a ring with a cross dead; the list below the drawing says the same. */
function Node({ node, onClick }: { node: TopologyNode; onClick: (() => void) | undefined }) {
  const { name, reach, state, x, y, radius, label } = node
  const arm = radius / 2
  return (
    <g class={`node ${reach} ${state}`} onClick={onClick}>
      <title>{name}</title>
      {state === 'suspect' ? (
        <rect x={x - radius} y={y - radius} width={2 * radius} height={2 * radius} />
      ) : (
        <circle cx={x} cy={y} r={radius} />
      )}
      {state === 'dead' ? (
        <path d={`M${x - arm} ${y - arm}l${radius} ${radius}m0 ${-radius}l${-radius} ${radius}`} />
      ) : null}
      {label === null ? null : (
        <text x={label.x} y={label.y} text-anchor={label.anchor}>
          {label.text}
        </text>
      )}
    </g>
  )
}
