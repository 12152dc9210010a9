import type { Peer } from '../../../node/api/schemas.ts'
import { topologySummary, topologyWords } from '../models/topology-words.ts'
import { Empty } from '../parts/states.tsx'
import { TopologyDrawing } from './topology-drawing.tsx'

/** The mesh as this node sees it: a drawing, and the same as a list. */
export function TopologyFigure(props: {
  self: { readonly id: string; readonly name: string }
  peers: readonly Peer[]
  onWhy: (peer: Peer) => void
}) {
  const { self, peers, onWhy } = props
  const words = topologyWords(peers)
  if (words.length === 0)
    return (
      <section class="topology" aria-label="Ways to peers">
        <Empty title="No other machine yet">
          <p>
            Make an invite on the <a href="/">overview</a> and open it on another machine.
          </p>
        </Empty>
      </section>
    )
  return (
    <section class="card topology" aria-labelledby="topology">
      <h2 id="topology">Ways to peers</h2>
      <TopologyDrawing self={self} peers={peers} onPeer={onWhy} />
      <Legend />
      <p>{topologySummary(peers)}</p>
      <details>
        <summary>The same as a list</summary>
        <ul class="ways">
          {words.map(({ peer, text }) => (
            <li key={peer.id}>
              <span>
                <bdi class="peer">{peer.name}</bdi> {text}
              </span>
              <button
                type="button"
                class="quiet"
                onClick={() => onWhy(peer)}
                aria-label={`Why ${peer.name}?`}
              >
                Why?
              </button>
            </li>
          ))}
        </ul>
      </details>
    </section>
  )
}

function Legend() {
  return (
    <ul class="legend">
      {(['direct', 'relay'] as const).map((kind) => (
        <li key={kind}>
          <svg width="30" height="10" aria-hidden="true">
            <line class={`link ${kind}`} x1="0" y1="5" x2="30" y2="5" />
          </svg>
          {kind === 'direct' ? 'direct' : 'through a relay'}
        </li>
      ))}
      <li class="ink-ok">● alive</li>
      <li class="ink-warning">■ suspect</li>
      <li class="ink-bad">⊗ dead</li>
    </ul>
  )
}
