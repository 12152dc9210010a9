import type { LogEvent, Peer } from '../../../node/api/schemas.ts'

/** An event in words: its own text, else its kind and what it is about: `Service published: wiki`. */
export function eventTitle(event: LogEvent, peers: readonly Peer[] | null): string {
  if (event.text !== '') return event.text
  const words = event.kind.replaceAll(/[.-]/g, ' ')
  const title = words.slice(0, 1).toUpperCase() + words.slice(1)
  const subject = event.fields['service'] ?? event.fields['mesh'] ?? peerName(event, peers)
  return subject === undefined ? title : `${title}: ${subject}`
}

/** Name of the member an event is about; undefined when it is about none, or none that is known. */
export function peerName(event: LogEvent, peers: readonly Peer[] | null): string | undefined {
  return peers?.find((peer) => peer.id === event.peer)?.name
}

/** The first `count` entries of a list that is newest first, repetitions in a row counted instead of shown. */
export function summary(
  events: readonly LogEvent[],
  peers: readonly Peer[] | null,
  count: number,
): { event: LogEvent; title: string; times: number }[] {
  const rows: { event: LogEvent; title: string; times: number }[] = []
  for (const event of events) {
    const title = eventTitle(event, peers)
    const last = rows.at(-1)
    if (last?.title === title && last.event.severity === event.severity) last.times++
    else if (rows.length === count) break
    else rows.push({ event, title, times: 1 })
  }
  return rows
}
