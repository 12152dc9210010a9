import type { NetcheckReport } from '../../../node/api/path-schemas.ts'
import { useApp } from '../context.ts'
import { formatAge } from '../models/format.ts'
import {
  carriesWords,
  MAPPING_METHODS,
  natName,
  natParts,
  punchWords,
  reachWords,
  unknownWhole,
  v6Words,
} from '../models/nat-words.ts'
import { Badge } from '../parts/badge.tsx'
import { Reason } from './reason.tsx'
import '../styles/facts.css'

/** Whether others reach this machine, the router's port mapping, and what is carried for others. */
export function ReachCard({ report }: { report: NetcheckReport }) {
  const { tone, verdict, text } = reachWords(report)
  const direct = punchWords(report)
  return (
    <section class="card" aria-labelledby="reach">
      <h2 id="reach">Reachability</h2>
      <p>
        <Badge tone={tone}>{verdict}</Badge>
      </p>
      <p class="reach">{text}</p>
      <dl>
        {direct === '' || report.dialable === true ? null : (
          <>
            <dt>Directly</dt>
            <dd>{direct}</dd>
          </>
        )}
        <dt>IPv6</dt>
        <dd>{v6Words(report)}</dd>
        <dt>Port mapping</dt>
        <dd>
          <PortMapping mapping={report.portMapping} isNeeded={report.dialable !== true} />
        </dd>
        <dt>Carries</dt>
        <dd>{carriesWords(report.carries)}</dd>
      </dl>
    </section>
  )
}

function PortMapping(props: { mapping: NetcheckReport['portMapping']; isNeeded: boolean }) {
  const { mapping, isNeeded } = props
  const { now } = useApp()
  const { method, outside, expires, reason } = mapping
  if (method === null && !isNeeded) return <>none, and none is needed</>
  if (method === null && reason === null) return <>none</>
  return (
    <>
      {method === null ? null : (
        <>
          <code>{outside}</code> by {MAPPING_METHODS[method]}
          {expires === null ? '' : `, for another ${formatAge(Math.max(0, expires - now.value))}`}
        </>
      )}
      {reason === null ? null : <Reason reason={reason} />}
    </>
  )
}

/** What the NAT in front of this machine does. */
export function NatCard({ report }: { report: NetcheckReport }) {
  const name = natName(report.nat)
  const unknown = unknownWhole(report.nat)
  return (
    <section class="card" aria-labelledby="nat">
      <h2 id="nat">NAT</h2>
      <p>
        {name === null ? <Badge tone="dash">not known yet</Badge> : <Badge tone="info">{name}</Badge>}{' '}
        {report.dialable === true ? 'It stands in nobody’s way: peers reach the mesh port.' : ''}
      </p>
      {unknown === null ? (
        <dl class="nat">
          {natParts(report.nat).map(({ term, value, meaning, reason }) => (
            <div key={term}>
              <dt>{term}</dt>
              <dd>
                {value === null ? 'not known' : <b>{value}</b>}
                {meaning === '' ? null : <span class="muted">: {meaning}</span>}
                {reason === null ? null : <Reason reason={reason} />}
              </dd>
            </div>
          ))}
        </dl>
      ) : (
        <Reason reason={unknown} />
      )}
      {report.nat.hints.length === 0 ? null : (
        <ul class="hints">
          {report.nat.hints.map((hint) => (
            <li key={hint.code}>
              <Badge tone="warning">note</Badge> <Reason reason={hint} />
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
