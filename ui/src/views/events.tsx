import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { LogEvent, Severity } from '../../../node/api/schemas.ts'
import { useApp } from '../context.ts'
import { eventTitle, peerName } from '../models/event-text.ts'
import { shortId } from '../models/format.ts'
import { Badge, severityTone } from '../parts/badge.tsx'
import { Problem } from '../parts/problem.tsx'
import { Empty, Loading } from '../parts/states.tsx'
import '../styles/events.css'

const LEVELS: readonly { value: Severity; text: string }[] = [
  { value: 'info', text: 'Everything' },
  { value: 'notice', text: 'Notice and above' },
  { value: 'warning', text: 'Warning and above' },
  { value: 'alert', text: 'Alerts only' },
]

/** The security event log, newest first. */
export function Events() {
  const { events } = useApp()
  useEffect(() => {
    if (events.events.value === null) void events.load()
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
  const { events } = useApp()
  const id = useSignal('')
  const jump = (event: Event): void => {
    event.preventDefault()
    if (/^\d{1,15}$/.test(id.value)) void events.jump(Number(id.value))
  }
  const paused = events.paused.value
  return (
    <div class="row">
      <select
        aria-label="Severity"
        value={events.atLeast}
        onChange={(event) => (events.atLeast.value = event.currentTarget.value as Severity)}
      >
        {LEVELS.map(({ value, text }) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
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
          <p>{events.events.value.length === 0 ? 'Nothing has happened yet.' : 'None of this severity.'}</p>
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

function Row({ event, marked }: { event: LogEvent; marked: boolean }) {
  const { node } = useApp()
  const ref = useRef<HTMLLIElement>(null)
  useEffect(() => {
    if (marked) ref.current?.scrollIntoView({ block: 'center' })
  }, [marked])
  const at = new Date(event.at)
  const fields = Object.entries(event.fields)
  return (
    <li ref={ref} class={marked ? 'marked' : ''}>
      <span class="id number">{event.id}</span>
      <time dateTime={at.toISOString()} title={at.toISOString()}>
        {at.toLocaleString(undefined, {
          month: 'short',
          day: 'numeric',
          hour: '2-digit',
          minute: '2-digit',
          second: '2-digit',
        })}
      </time>
      <Badge tone={severityTone(event.severity)}>{event.severity}</Badge>
      <div class="what">
        <p>{eventTitle(event, node.peers.value)}</p>
        <p class="muted chips">
          <code>{event.kind}</code>
          {event.reason ? <code>{event.reason}</code> : null}
          {event.peer ? (
            <code title={event.peer}>{peerName(event, node.peers.value) ?? shortId(event.peer)}</code>
          ) : null}
          {fields.map(([key, value]) => (
            <code key={key}>
              {key}={String(value)}
            </code>
          ))}
        </p>
      </div>
    </li>
  )
}
