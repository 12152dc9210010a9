import type { Ways } from '../../../node/api/path-schemas.ts'
import { useApp } from '../context.ts'
import { formatAgo, formatDuration, shortId } from '../models/format.ts'
import { Badge } from '../parts/badge.tsx'
import { Reason } from './reason.tsx'

type Tried = Ways['tried'][number]

const WAYS: Readonly<Record<Tried['way'], string>> = {
  public: 'announced address',
  mapped: 'address mapped by its router',
  punch: 'hole punching',
  relay: 'relay',
}
const TONES = { trying: 'info', connected: 'ok', failed: 'warning', refused: 'dash' } as const

/** How new streams go, why not directly, and every way that was tried. */
export function WhyWays({ ways, told }: { ways: Ways; told: readonly string[] }) {
  const { node, now } = useApp()
  const { via, path, since, notDirect, tried } = ways
  const relay = node.peers.value?.find(({ id }) => id === via)?.name ?? (via === null ? null : shortId(via))
  return (
    <section class="why-ways">
      <h3>The way there</h3>
      <p>
        {path.text}{' '}
        {relay === null ? null : (
          <>
            The relay is <bdi>{relay}</bdi>.{' '}
          </>
        )}
        <span class="muted">For {formatDuration(Math.max(0, now.value - since))}.</span>{' '}
        <code>{path.code}</code>
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
            {tried.toReversed().map((each, i) => (
              <li key={i}>
                <p>
                  <Badge tone={TONES[each.outcome]}>{each.outcome}</Badge> {WAYS[each.way]}
                  {each.endpoint === null ? null : (
                    <>
                      {' '}
                      <code>{each.endpoint}</code>
                    </>
                  )}
                </p>
                <p class="muted">
                  {formatAgo(each.at, now.value)}
                  {each.tookMs === null || each.outcome === 'refused'
                    ? ''
                    : `, took ${tookText(each.tookMs)}`}
                </p>
                {each.reason === null ? null : (
                  <p>
                    <Reason reason={each.reason} />
                  </p>
                )}
              </li>
            ))}
          </ol>
        </>
      )}
    </section>
  )
}

function tookText(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`
}
