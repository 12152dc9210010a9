import { useSignal } from '@preact/signals'
import type { PlayerModel } from '../models/player-model.ts'
import type { TraceState } from '../models/trace-state.ts'
import type { NodeState } from '../models/trace-state.ts'
import { lastSaid, nodeRows, sayingText, seconds, summaryOf } from '../models/trace-words.ts'
import { Badge, type Tone } from '../parts/badge.tsx'
import { ColumnHeads } from '../parts/column-heads.tsx'
import '../styles/facts.css'

const TONES: Readonly<Record<NodeState, Tone>> = { up: 'ok', down: 'bad', cut: 'warning', none: 'dash' }
const STATES: Readonly<Record<NodeState, string>> = {
  up: 'up',
  down: 'down',
  cut: 'cut off',
  none: 'not started',
}
const COLUMNS = ['Node', 'State', 'Links', 'Holds others as', 'Is held as', 'Peer id'] as const
const SAID_MAX = 8
/** A table of more is opened by who wants it: it is written anew twice a second. */
const TABLE_OPEN_MAX = 60

/** The same in words: what was said last, and a table of the nodes. Follows a running player twice a second. */
export function PlayerWords({ player, state }: { player: PlayerModel; state: TraceState }) {
  const isOpen = useSignal(state.trace.nodes <= TABLE_OPEN_MAX)
  void player.words.value
  const timeMs = player.timeMs.peek()
  const said = lastSaid(state, SAID_MAX)
  return (
    <>
      <section class="card said" aria-labelledby="said">
        <h2 id="said">Said last</h2>
        <p>{summaryOf(state, timeMs)}</p>
        {said.length === 0 ? <p class="muted">Nobody has said anything yet.</p> : null}
        <ol>
          {said.map((saying, i) => (
            <li key={i}>
              <span class="muted number">{seconds(saying.atMs)}</span> <bdi>{sayingText(saying)}</bdi>
            </li>
          ))}
        </ol>
      </section>
      <details
        class="all-nodes"
        open={isOpen.value}
        onToggle={(event) => (isOpen.value = event.currentTarget.open)}
      >
        <summary>All nodes as a table</summary>
        {isOpen.value ? <NodeTable state={state} timeMs={timeMs} /> : null}
      </details>
    </>
  )
}

function NodeTable({ state, timeMs }: { state: TraceState; timeMs: number }) {
  return (
    <table class="stacking" role="table">
      <caption class="hidden">All nodes at this time</caption>
      <ColumnHeads columns={COLUMNS} last={null} />
      <tbody role="rowgroup">
        {nodeRows(state, timeMs).map((row) => (
          <tr key={row.node} role="row">
            <th role="rowheader" scope="row" class="number">
              <span class="name">{row.node}</span>
            </th>
            <td role="cell" data-label="State">
              <Badge tone={TONES[row.state]}>{STATES[row.state]}</Badge>
            </td>
            <td role="cell" data-label="Links" class="number">
              {row.links}
            </td>
            <td role="cell" data-label="Holds others as">
              {row.holds || '–'}
            </td>
            <td role="cell" data-label="Is held as">
              {row.heldAs || '–'}
            </td>
            <td role="cell" data-label="Peer id">
              <code class="cut muted">{row.id || '–'}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
