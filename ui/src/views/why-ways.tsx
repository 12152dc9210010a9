import type { Ways } from '../../../node/api/path-schemas.ts'
import { useApp } from '../context.ts'
import { formatAgo, formatDuration } from '../models/format.ts'
import { triedWays } from '../models/tried-ways.ts'
import { Badge } from '../parts/badge.tsx'
import { Reason } from './reason.tsx'

type Tried = Ways['tried'][number]

const WAYS: Readonly<Record<Tried['way'], string>> = {
  public: 'announced address',
  local: 'address on its own network',
  punch: 'hole punching',
  relay: 'relay',
}
const TONES = { trying: 'info', connected: 'ok', failed: 'warning', refused: 'dash' } as const

/** How new streams go, why not directly, and every way that was tried. */
export function WhyWays({ ways, told }: { ways: Ways; told: readonly string[] }) {
  const { now } = useApp()
  const { viaName, path, since, notDirect, tried } = ways
  return (
    <section class="why-ways">
      <h3>The way there</h3>
      <p>
        {path.text}{' '}
        {viaName === null ? null : (
          <>
            The relay is <bdi>{viaName}</bdi>.{' '}
          </>
        )}
        <span class="muted">For {formatDuration(Math.max(0, now.value - since))}.</span>{' '}
        <code class="code">{path.code}</code>
      </p>
      {notDirect === null || told.includes(notDirect.code) ? null : (
        <>
          <h3>Why not directly</h3>
          <p>
            <Reason reason={notDirect} />
          </p>
        </>
      )}
      {tried.length === 0 ? null : (
        <>
          <h3>What was tried</h3>
          <ol class="tried">
            {triedWays(tried).map(({ last, times }) => (
              <TriedRow key={last.at} tried={last} times={times} told={notDirect?.code} />
            ))}
          </ol>
        </>
      )}
    </section>
  )
}

/** `told`: the code that has its sentences above. */
function TriedRow(props: { tried: Tried; times: number; told: string | undefined }) {
  const { tried, times, told } = props
  const { now } = useApp()
  const { way, endpoint, outcome, at, tookMs, reason } = tried
  return (
    <li>
      <p>
        <Badge tone={TONES[outcome]}>{outcome}</Badge> {WAYS[way]}
        {endpoint === null ? null : (
          <>
            {' '}
            <code>{endpoint}</code>
          </>
        )}
      </p>
      <p class="muted">
        {times === 1 ? '' : `${times} times, last `}
        {formatAgo(at, now.value)}
        {tookMs === null || outcome === 'refused' ? '' : `, took ${tookText(tookMs)}`}
      </p>
      {reason === null ? null : (
        <p>{reason.code === told ? <code>{reason.code}</code> : <Reason reason={reason} />}</p>
      )}
    </li>
  )
}

function tookText(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`
}
