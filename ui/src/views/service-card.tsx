import type { Service } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { formatRtt } from '../models/format.ts'
import { serviceHealth } from '../models/peer-list.ts'
import { Badge } from '../parts/badge.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { Icon } from '../parts/icon.tsx'
import '../styles/facts.css'

const HEALTH = {
  healthy: { tone: 'ok', text: 'healthy' },
  degraded: { tone: 'warning', text: 'partly healthy' },
  down: { tone: 'bad', text: 'nobody answers' },
} as const

/** One service: how to open it, who provides it and how well, who may reach it. */
export function ServiceCard(props: { service: Service; onWhy: () => void; onUnpublish: () => void }) {
  const { node } = useApp()
  const { service } = props
  const health = HEALTH[serviceHealth(service)]
  return (
    <li class="card service">
      <header>
        <h2>
          <bdi>{service.name}</bdi>
        </h2>
        <code class="proto">{service.proto}</code>
        <Badge tone={health.tone}>{health.text}</Badge>
      </header>
      {service.localUrl === null ? (
        <p class="with-copy">
          <code class="cut">{service.url}</code>
          <CopyButton text={service.url} what={`the address of ${service.name}`} />
        </p>
      ) : (
        <>
          <p>
            <a class="open" href={service.localUrl} target="_blank" rel="noreferrer">
              {service.localUrl.replace(/^https?:\/\//, '')}
              <Icon name="open" />
              <span class="hidden"> (new tab)</span>
            </a>
          </p>
          <p class="with-copy">
            <code class="cut muted">{service.url}</code>
            <CopyButton text={service.url} what={`the address of ${service.name}`} />
          </p>
        </>
      )}
      <dl>
        <dt>Providers</dt>
        <dd>
          {service.providers.length === 0 ? 'none' : null}
          {service.providers.map((provider) => (
            <span key={provider.peer} class="line">
              <Badge tone={provider.healthy ? 'ok' : 'bad'}>{provider.healthy ? 'healthy' : 'failing'}</Badge>{' '}
              <bdi>{provider.name}</bdi>{' '}
              <span class="muted">{service.local ? 'this machine' : formatRtt(provider.rttMs)}</span>
            </span>
          ))}
        </dd>
        <dt>Who</dt>
        <dd class="chips">
          {service.allowed.map((who) => (
            <code key={who}>{who}</code>
          ))}
        </dd>
        {service.target === null ? null : (
          <>
            <dt>Target</dt>
            <dd>
              <code>{service.target}</code>
            </dd>
          </>
        )}
      </dl>
      <footer>
        <button type="button" class="quiet" onClick={props.onWhy} aria-label={`Why ${service.name}?`}>
          Why?
        </button>
        {service.local ? (
          <button
            type="button"
            class="quiet danger"
            disabled={!node.writable.value}
            onClick={props.onUnpublish}
            aria-label={`Unpublish ${service.name}`}
          >
            Unpublish
          </button>
        ) : null}
      </footer>
    </li>
  )
}
