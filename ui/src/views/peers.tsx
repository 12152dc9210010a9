import { useSignal } from '@preact/signals'
import type { Peer } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatAge, formatAgo, formatBytes, formatRtt, shortId } from '../models/format.ts'
import { filterPeers } from '../models/peer-list.ts'
import { Badge } from '../parts/badge.tsx'
import { ColumnHeads } from '../parts/column-heads.tsx'
import { Filter } from '../parts/filter.tsx'
import { Empty, Loading } from '../parts/states.tsx'
import { WhyPeer } from './why-dialog.tsx'
import '../styles/table.css'

const TONES = { alive: 'ok', suspect: 'warning', dead: 'bad', left: 'dash' } as const
const COLUMNS = ['Name', 'State', 'Path', 'RTT', 'Keys', 'Traffic', 'Roles and tags', 'Last seen'] as const

/** Every other member of the mesh. */
export function Peers() {
  const { node } = useApp()
  const filter = useSignal('')
  const subject = useSignal<Peer | null>(null)
  const peers = node.peers.value
  if (peers === null) return <Loading label="Waiting for the peers" />
  const shown = filterPeers(peers, filter.value)
  return (
    <>
      <header class="page">
        <div>
          <h1>Peers</h1>
          <p class="muted">{peers.length === 1 ? 'one other member' : `${peers.length} other members`}</p>
        </div>
        <Filter value={filter} label="Filter peers" hint="name, relay, tag:web …" />
      </header>
      {peers.length === 0 ? (
        <Empty title="No other machine yet">
          <p>
            Make an invite on the <a href="/">overview</a> and open it on another machine.
          </p>
        </Empty>
      ) : shown.length === 0 ? (
        <Empty title="No peer matches">
          <p>
            <button type="button" onClick={() => (filter.value = '')}>
              Clear the filter
            </button>
          </p>
        </Empty>
      ) : (
        // Roles are written out: on narrow screens the rows become cards, and display: block would drop them.
        <table class="stacking" role="table">
          <caption class="hidden">Peers</caption>
          <ColumnHeads columns={COLUMNS} last="Explanation" />
          <tbody role="rowgroup">
            {shown.map((peer) => (
              <PeerRow key={peer.id} peer={peer} peers={peers} onWhy={() => (subject.value = peer)} />
            ))}
          </tbody>
        </table>
      )}
      <WhyPeer chosen={subject} />
    </>
  )
}

/** Epoch and age of the session keys, and how their rotation does. */
function Keys({ peer }: { peer: Peer }) {
  const { now } = useApp()
  const { epoch, rotatedAt, rotation } = peer
  if (epoch === null) return <>–</>
  const ago = (at: number | null): string => (at === null ? 'never' : formatAgo(at, now.value))
  return (
    <span class="keys">
      <span class="whole">epoch {epoch}</span>
      {rotatedAt === null ? null : (
        <span class="second" title={new Date(rotatedAt).toLocaleString()}>
          {formatAge(now.value - rotatedAt)} old
        </span>
      )}
      {rotation === null ? null : (
        <>
          {rotation.lastRotAt === null && rotation.lastAckAt === null ? null : (
            <>
              <span class="muted second">ROT {ago(rotation.lastRotAt)}</span>
              <span class="muted second">ACK {ago(rotation.lastAckAt)}</span>
            </>
          )}
          {rotation.state === 'active' ? null : <span class="second">{ROTATION_WORDS[rotation.state]}</span>}
          {rotation.failures === 0 ? null : (
            <span class="second warn">
              {rotation.failures} rotation{rotation.failures === 1 ? '' : 's'} failed
            </span>
          )}
        </>
      )}
      <RotateButton peer={peer} />
    </span>
  )
}

const ROTATION_WORDS = {
  rotating: 'making new keys',
  handshaking: 'agreeing on keys',
  failed: 'will try again',
} as const

/** New keys harm nothing and stop nothing, so there is no question first. */
function RotateButton({ peer }: { peer: Peer }) {
  const { api, node, notice } = useApp()
  const isUnderWay = peer.rotation !== null && ['rotating', 'handshaking'].includes(peer.rotation.state)
  const rotate = async (): Promise<void> => {
    try {
      const { peers } = await api.rotate(peer.id)
      notice.value = peers.some((one) => one.started)
        ? `New keys with ${peer.name} are being made.`
        : `New keys with ${peer.name} are under way already.`
    } catch (error) {
      notice.value = (error as Error).message
    }
  }
  return (
    <button
      type="button"
      class="quiet"
      disabled={!node.writable.value || peer.epoch === null || isUnderWay}
      onClick={() => void rotate()}
      aria-label={`Rotate the keys with ${peer.name}`}
    >
      Rotate
    </button>
  )
}

function PeerRow({ peer, peers, onWhy }: { peer: Peer; peers: readonly Peer[]; onWhy: () => void }) {
  const { now } = useApp()
  const via = peers.find((one) => one.id === peer.via)?.name ?? peer.via
  const marks = [...peer.roles, ...peer.tags.map((tag) => `tag:${tag}`)]
  return (
    <tr role="row">
      <th role="rowheader" scope="row">
        <bdi class="name">{peer.name}</bdi>
        <code class="muted" title={peer.id}>
          {shortId(peer.id)}
        </code>
      </th>
      <td role="cell" data-label="State">
        <Badge tone={TONES[peer.state]}>{peer.state}</Badge>
      </td>
      <td role="cell" data-label="Path">
        <span>
          {peer.path}
          {peer.path === 'relay' ? (
            <span class="second">
              via <bdi>{via}</bdi>
            </span>
          ) : null}
        </span>
      </td>
      <td role="cell" data-label="RTT" class="number">
        {formatRtt(peer.rttMs)}
      </td>
      <td role="cell" data-label="Keys">
        <Keys peer={peer} />
      </td>
      <td role="cell" data-label="Traffic" class="number">
        <span>
          ↓ {formatBytes(peer.rxBytes)} <span class="up">↑ {formatBytes(peer.txBytes)}</span>
        </span>
      </td>
      <td role="cell" data-label="Roles and tags">
        <span class="chips">
          {marks.length === 0 ? '–' : marks.map((mark) => <code key={mark}>{mark}</code>)}
        </span>
      </td>
      <td role="cell" data-label="Last seen">
        {peer.lastSeen === null ? 'never' : formatAgo(peer.lastSeen, now.value)}
      </td>
      <td role="cell" class="action">
        <button type="button" class="quiet" onClick={onWhy} aria-label={`Why ${peer.name}?`}>
          Why?
        </button>
      </td>
    </tr>
  )
}
