import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { NetcheckReport } from '../../../node/api/path-schemas.ts'
import type { Peer } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatAgo, formatRtt } from '../models/format.ts'
import { createNetworkModel } from '../models/network-model.ts'
import type { NetworkModel } from '../models/network-model.ts'
import { Badge } from '../parts/badge.tsx'
import { ColumnHeads } from '../parts/column-heads.tsx'
import { Problem } from '../parts/problem.tsx'
import { Loading } from '../parts/states.tsx'
import { NatCard, ReachCard } from './netcheck-cards.tsx'
import { TopologyFigure } from './topology-figure.tsx'
import { WhyPeer } from './why-dialog.tsx'
import '../styles/table.css'
import '../styles/legend.css'
import '../styles/network.css'

/** How this machine stands towards the internet, and the ways it has to its peers. */
export function Network() {
  const { api, node } = useApp()
  const network = useMemo(() => createNetworkModel(api, node), [])
  useEffect(() => network.stop, [])
  const subject = useSignal<Peer | null>(null)
  const report = network.report.value
  const peers = node.peers.value
  const status = node.status.value
  return (
    <>
      <Head network={network} />
      {network.failure.value ? (
        <Problem error={network.failure.value} retry={() => void network.load()} />
      ) : null}
      {report === null ? (
        network.failure.value ? null : (
          <Loading label="Asking the node" />
        )
      ) : (
        <div class="columns">
          <ReachCard report={report} />
          <NatCard report={report} />
        </div>
      )}
      {peers === null || status === null ? null : (
        <TopologyFigure self={status.node} peers={peers} onWhy={(peer) => (subject.value = peer)} />
      )}
      {report === null ? null : <Tables report={report} />}
      <WhyPeer chosen={subject} />
    </>
  )
}

function Head({ network }: { network: NetworkModel }) {
  const { now } = useApp()
  const isMeasuring = network.isMeasuring.value
  const measuredAt = network.report.value?.measuredAt ?? null
  return (
    <header class="page">
      <div>
        <h1>Network</h1>
        <p class="muted" role="status">
          {isMeasuring
            ? 'Measuring, which takes up to ten seconds …'
            : network.report.value === null
              ? 'How peers and this machine reach each other'
              : measuredAt === null
                ? 'Not measured yet: no other member could be asked'
                : `Measured ${formatAgo(measuredAt, now.value)}`}
        </p>
      </div>
      <button type="button" aria-disabled={isMeasuring} onClick={() => void network.measure()}>
        {isMeasuring ? 'Measuring …' : 'Measure now'}
      </button>
    </header>
  )
}

const RELAY_COLUMNS = ['Relay', 'RTT', 'Reservation'] as const
const VIEW_COLUMNS = ['Asked', 'At', 'Sees this machine at'] as const

/** Members that relay, and where members see this machine. */
function Tables({ report }: { report: NetcheckReport }) {
  const { relays, views, silent } = report
  return (
    <div class="columns tables">
      <section aria-labelledby="relays">
        <h2 id="relays">Relays</h2>
        {relays.length === 0 ? (
          <p class="muted">No member that could relay is known.</p>
        ) : (
          <table class="stacking" role="table">
            <caption class="hidden">Relays</caption>
            <ColumnHeads columns={RELAY_COLUMNS} last={null} />
            <tbody role="rowgroup">
              {relays.map(({ peer, name, rttMs, held }) => (
                <tr key={peer} role="row">
                  <th role="rowheader" scope="row">
                    <bdi class="name">{name}</bdi>
                  </th>
                  <td role="cell" data-label="RTT" class="number">
                    {formatRtt(rttMs)}
                  </td>
                  <td role="cell" data-label="Reservation">
                    {held ? <Badge tone="ok">held</Badge> : <Badge tone="dash">not held</Badge>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
      <section aria-labelledby="views">
        <h2 id="views">Seen by</h2>
        {views.length === 0 ? (
          <p class="muted">No member has said yet where it sees this machine.</p>
        ) : (
          <table class="stacking" role="table">
            <caption class="hidden">Where members see this machine</caption>
            <ColumnHeads columns={VIEW_COLUMNS} last={null} />
            <tbody role="rowgroup">
              {views.map(({ name, asked, seen }) => (
                <tr key={asked} role="row">
                  <th role="rowheader" scope="row">
                    <bdi class="name">{name}</bdi>
                  </th>
                  <td role="cell" data-label="At">
                    <code>{asked}</code>
                  </td>
                  <td role="cell" data-label="Sees this machine at">
                    <code>{seen}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {silent.map(({ peer, name, text }) => (
          <p key={peer} class="muted silent">
            <bdi>{name}</bdi> said nothing: {text}
          </p>
        ))}
      </section>
    </div>
  )
}
