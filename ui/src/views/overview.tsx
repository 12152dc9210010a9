import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Severity, Status } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatAgo, formatBytes, formatDuration } from '../models/format.ts'
import { peerName, summary } from '../models/event-text.ts'
import { serviceHealth } from '../models/peer-list.ts'
import { Badge, severityTone } from '../parts/badge.tsx'
import { Prose } from '../parts/prose.tsx'
import { InviteButton } from './invite-button.tsx'
import { NodeFacts } from './node-facts.tsx'
import '../styles/overview.css'

/** What needs a person first, then what there is. */
export function Overview() {
  const { node } = useApp()
  const status = node.status.value
  if (!status) return null
  return (
    <>
      <header class="page">
        <div>
          <h1>{status.node.name}</h1>
          <p class="muted">
            {status.mesh ? (
              <>
                in the mesh <b>{status.mesh.name}</b> · {status.mesh.domain}
              </>
            ) : (
              'in no mesh'
            )}
          </p>
        </div>
        <InviteButton />
      </header>
      <NeedsYou status={status} />
      <Numbers status={status} />
      <div class="columns">
        <NodeFacts status={status} />
        <Latest />
      </div>
      <p class="foot muted">
        Developing Kith? <a href="/player">Play a trace</a> of the simulator.
      </p>
    </>
  )
}

const SEVERITIES: readonly Severity[] = ['info', 'notice', 'warning', 'alert']
const rank = (severity: Severity): number => SEVERITIES.indexOf(severity)

function NeedsYou({ status }: { status: Status }) {
  // The worst first: who was revoked need not look at the network.
  const warnings = status.warnings.toSorted((a, b) => rank(b.severity) - rank(a.severity))
  if (warnings.length === 0) {
    return (
      <p class="card all-well">
        <Badge tone="ok">All well</Badge> Nothing needs you.
      </p>
    )
  }
  return (
    <section class="card needs" aria-labelledby="needs">
      <h2 id="needs">
        {warnings.length === 1 ? 'One thing needs you' : `${warnings.length} things need you`}
      </h2>
      <ul>
        {warnings.map((warning) => (
          <li key={warning.code}>
            <Badge tone={severityTone(warning.severity)}>{warning.severity}</Badge>
            <div>
              <p>{warning.text}</p>
              {warning.fix ? (
                <p class="fix muted">
                  <Prose text={warning.fix} />
                </p>
              ) : null}
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Numbers({ status }: { status: Status }) {
  const { node } = useApp()
  const services = node.services.value ?? []
  const unwell = services.filter((service) => serviceHealth(service) !== 'healthy').length
  const { alive, suspect, dead, known } = status.peers
  const lost = [suspect > 0 && `${suspect} suspect`, dead > 0 && `${dead} dead`].filter(Boolean).join(', ')
  return (
    <ul class="numbers">
      <Number href="/peers" title="Peers alive" value={`${alive} of ${known}`}>
        {known === 0 ? 'nobody else yet' : suspect + dead === 0 ? 'all answer' : lost}
      </Number>
      <Number href="/services" title="Services" value={String(services.length)}>
        {services.length === 0 ? 'nothing published' : unwell === 0 ? 'all healthy' : `${unwell} not healthy`}
      </Number>
      <Number title="Up for" value={formatDuration(status.uptimeMs)}>
        state: {status.state}
      </Number>
      <Number title="Memory" value={formatBytes(status.rssBytes)}>
        used by the node
      </Number>
    </ul>
  )
}

function Number(props: { title: string; value: string; href?: string; children: ComponentChildren }) {
  const body = (
    <>
      <span class="muted">{props.title}</span>
      <strong>{props.value}</strong>
      <span class="muted">{props.children}</span>
    </>
  )
  return <li>{props.href ? <a href={props.href}>{body}</a> : <div>{body}</div>}</li>
}

function Latest() {
  const { events, node, now } = useApp()
  useEffect(() => {
    if (events.events.value === null) void events.load()
  }, [])
  const peers = node.peers.value
  const latest = summary(events.shown.value, peers, 6)
  return (
    <section class="card" aria-labelledby="latest">
      <h2 id="latest">Latest</h2>
      {latest.length === 0 ? <p class="muted">Nothing has happened yet.</p> : null}
      <ul class="latest">
        {latest.map(({ event, title, times }) => (
          <li key={event.id}>
            <Badge tone={severityTone(event.severity)}>{event.severity}</Badge>
            <span>
              <bdi>{title}</bdi>
              {event.text && event.peer ? <bdi class="muted"> {peerName(event, peers)}</bdi> : null}
              {times === 1 ? null : <b class="times"> ×{times}</b>}
            </span>
            <span class="muted">{formatAgo(event.at, now.value)}</span>
          </li>
        ))}
      </ul>
      <p>
        <a href="/events">All events</a>
      </p>
    </section>
  )
}
