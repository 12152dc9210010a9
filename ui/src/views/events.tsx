import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { LogEvent, Severity } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { eventTitle, peerName } from '../models/event-text.ts'
import { formatAgo, shortId } from '../models/format.ts'
import { Badge, severityTone } from '../parts/badge.tsx'
import { Problem } from '../parts/problem.tsx'
import { Empty, Loading } from '../parts/states.tsx'
import '../styles/facts.css'
import '../styles/events.css'

const LEVELS: readonly { value: Severity; text: string }[] = [
  { value: 'info', text: 'Everything' },
  { value: 'notice', text: 'Notice and above' },
  { value: 'warning', text: 'Warning and above' },
  { value: 'alert', text: 'Alerts only' },
]
/** What the field for kinds offers; any other beginning of a kind may be typed. */
const KINDS = [
  'auth',
  'certificate',
  'channel',
  'connection',
  'csrf',
  'handshake',
  'join',
  'member',
  'replay',
  'rotation',
  'service',
  'session',
] as const

/** The security event log, newest first. */
export function Events() {
  const { events } = useApp()
  useEffect(() => {
    if (events.events.value === null) void events.load()
    // The overview shows the newest of all.
    return () => events.clear()
  }, [])
  return (
    <>
      <header class="page">
        <div>
          <h1>Events</h1>
          <p class="muted">ids have no gaps: a missing one would mean a missing event</p>
        </div>
        <Controls />
      </header>
      {events.failure.value ? (
        <Problem error={events.failure.value} retry={() => void events.load()} />
      ) : null}
      <List />
    </>
  )
}

function Controls() {
  const { events, node } = useApp()
  const id = useSignal('')
  const jump = (event: Event): void => {
    event.preventDefault()
    if (/^\d{1,15}$/.test(id.value)) void events.jump(Number(id.value))
  }
  const paused = events.paused.value
  const { severity, kind, peer } = events.filter.value
  const peers = node.peers.value ?? []
  return (
    <div class="row controls">
      <select
        aria-label="Severity"
        value={severity}
        onChange={(event) => events.choose({ severity: event.currentTarget.value as Severity })}
      >
        {LEVELS.map(({ value, text }) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      <input
        type="search"
        class="kind"
        aria-label="Kind"
        placeholder="rotation …"
        list="kinds"
        maxLength={64}
        value={kind}
        onChange={(event) => events.choose({ kind: event.currentTarget.value.trim().toLowerCase() })}
      />
      <datalist id="kinds">
        {KINDS.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <select
        aria-label="Peer"
        value={peer}
        onChange={(event) => events.choose({ peer: event.currentTarget.value })}
      >
        <option value="">All peers</option>
        {peers.map((one) => (
          <option key={one.id} value={one.id}>
            {one.name}
          </option>
        ))}
        {peer === '' || peers.some((one) => one.id === peer) ? null : (
          <option value={peer}>{shortId(peer)}</option>
        )}
      </select>
      <form class="row" onSubmit={jump}>
        <input
          class="short"
          type="text"
          inputMode="numeric"
          aria-label="Jump to id"
          placeholder="id"
          value={id}
          onInput={(event) => (id.value = event.currentTarget.value.trim())}
        />
        <button type="submit">Jump</button>
      </form>
      <button type="button" aria-pressed={paused} onClick={() => (paused ? events.resume() : events.pause())}>
        {paused
          ? `Follow${events.waitingCount.value > 0 ? ` (${events.waitingCount.value} new)` : ''}`
          : 'Pause'}
      </button>
    </div>
  )
}

function List() {
  const { events } = useApp()
  if (events.events.value === null) return events.failure.value ? null : <Loading label="Reading the log" />
  const shown = events.shown.value
  return (
    <>
      {shown.length === 0 ? (
        <Empty title="No events">
          {events.isFiltered.value ? (
            <>
              <p>No event matches.</p>
              <p>
                <button type="button" onClick={() => events.clear()}>
                  Show all events
                </button>
              </p>
            </>
          ) : (
            <p>Nothing has happened yet.</p>
          )}
        </Empty>
      ) : (
        <ol class="card events" reversed>
          {shown.map((event) => (
            <Row key={event.id} event={event} marked={event.id === events.marked.value} />
          ))}
        </ol>
      )}
      {events.hasOlder.value ? (
        <p class="more">
          <button type="button" onClick={() => void events.older()}>
            Show older
          </button>
        </p>
      ) : null}
    </>
  )
}

/** One line; opened, everything the log holds of the event. */
function Row({ event, marked }: { event: LogEvent; marked: boolean }) {
  const { node, now } = useApp()
  const ref = useRef<HTMLLIElement>(null)
  useEffect(() => {
    if (marked) ref.current?.scrollIntoView({ block: 'center' })
  }, [marked])
  const at = new Date(event.at)
  const title = eventTitle(event, node.peers.value)
  return (
    <li ref={ref} class={marked ? 'marked' : ''}>
      <details open={marked}>
        <summary>
          <span class="id number">{event.id}</span>
          <time dateTime={at.toISOString()} title={at.toLocaleString()}>
            {formatAgo(event.at, now.value)}
          </time>
          <Badge tone={severityTone(event.severity)}>{event.severity}</Badge>
          <span class="what">{title}</span>
        </summary>
        <Details event={event} title={title} />
      </details>
    </li>
  )
}

function Details({ event, title }: { event: LogEvent; title: string }) {
  const { events, node } = useApp()
  const { kind, peer, reason, text } = event
  const name = peerName(event, node.peers.value)
  return (
    <dl>
      <dt>Time</dt>
      <dd>
        {new Date(event.at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })}{' '}
        <span class="muted">{new Date(event.at).toISOString()}</span>
      </dd>
      <dt>Kind</dt>
      <dd>
        <code>{kind}</code>{' '}
        <button type="button" class="quiet" onClick={() => events.choose({ kind })}>
          Only these
        </button>
      </dd>
      {text === '' || text === title ? null : (
        <>
          <dt>Text</dt>
          <dd>
            <bdi>{text}</bdi>
          </dd>
        </>
      )}
      {reason === null ? null : (
        <>
          <dt>Reason</dt>
          <dd>
            <code>{reason}</code>
          </dd>
        </>
      )}
      {peer === null ? null : (
        <>
          <dt>Peer</dt>
          <dd>
            {name === undefined ? null : <bdi class="peer">{name}</bdi>} <code>{peer}</code>{' '}
            <button type="button" class="quiet" onClick={() => events.choose({ peer })}>
              Only this peer
            </button>
          </dd>
        </>
      )}
      {Object.entries(event.fields).map(([key, value]) => (
        <Field key={key} name={key} value={value} />
      ))}
    </dl>
  )
}

function Field({ name, value }: { name: string; value: string | number | boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <code>{String(value)}</code>
      </dd>
    </>
  )
}
