import type { LogEvent, Peer } from '../../../node/api/schemas.ts'
import { formatBytes } from './format.ts'

/** Reasons of a failed handshake that are worth a sentence of their own. */
const HANDSHAKES: Readonly<Record<string, string>> = {
  'clock-skew': 'the clocks differ',
  'decrypt-failed': 'wrong keys or another mesh',
  'handshake-closed': 'the other side closed without an answer',
  'handshake-replayed': 'the first message is a recording',
  'handshake-timeout': 'it did not finish in time',
  'identity-mismatch': 'the identity is not the one its keys prove',
  'message-before-start': 'the first message is older than the last start',
  'replay-cache-full': 'the memory against replays is full',
  'replay-memory-unsaved': 'the memory against replays is not on the disk yet',
  'too-many-handshakes': 'too many are under way',
}

/** What the security events say; `who` is the peer by name, or how it is called without one. */
const TEXTS: Readonly<Record<string, (event: LogEvent, who: string) => string>> = {
  'handshake.done': (_, who) => `Connected to ${who}`,
  'handshake.failed': ({ fields, reason, text }, who) =>
    `Handshake ${fields['direction'] === 'outbound' ? 'with' : 'from'} ${who} failed: ${HANDSHAKES[reason ?? ''] ?? lowered(text, reason)}${skew(fields['offsetMs'])}`,
  'connection.refused': ({ fields }) =>
    `A stranger was turned away${fields['from'] === undefined ? '' : `: ${String(fields['from'])}`}`,
  'rotation.start': ({ fields }, who) => `New keys with ${who}: making epoch ${fields['epoch']}`,
  'rotation.done': ({ fields }, who) =>
    `New keys with ${who}: epoch ${fields['epoch']}${figures(fields['ms'], fields['bytes'])}`,
  'rotation.failed': ({ fields, reason, text }, who) =>
    `New keys with ${who} failed (epoch ${fields['epoch']}): ${lowered(text, reason)}`,
  'rotation.glare': ({ fields }, who) =>
    `Both sides began new keys with ${who} at once: ${fields['won'] === true ? 'ours' : 'theirs'} went on`,
  'channel.downgrade': (_, who) =>
    `A connection with ${who} used weaker protection than required and was closed`,
  'session.truncated': (_, who) => `The connection with ${who} was cut off without a closing record`,
  'session.failed': ({ reason, text }, who) =>
    `The connection with ${who} was ended: ${lowered(text, reason)}`,
  'netcheck.done': ({ fields }) =>
    `The NAT was measured: mapping ${String(fields['mapping'])}, filtering ${String(fields['filtering'])}`,
  'network.changed': () => 'This machine moved to another network',
  'path.changed': ({ fields }, who) =>
    fields['path'] === 'direct'
      ? `${who} is reached directly`
      : fields['path'] === 'relay'
        ? `${who} is reached through a relay`
        : `No connection with ${who} is open now`,
  'port.mapping-failed': ({ reason, text }) =>
    `The router does not map the mesh port: ${lowered(text, reason)}`,
  'punch.made': ({ fields }, who) =>
    `A direct connection with ${who} was made through the NATs${figures(fields['tookMs'], undefined)}`,
  'punch.failed': ({ reason, text }, who) =>
    `No direct connection with ${who} could be made: ${lowered(text, reason)}`,
  'relay.held': (_, who) => `${who} keeps a way to this node open`,
  'relay.lost': ({ reason, text }, who) =>
    `${who} keeps no way to this node open any more: ${lowered(text, reason)}`,
  'relay.reserved': (_, who) => `This node keeps a way to ${who} open`,
  'replay.detected': ({ text, reason }, who) =>
    `A recording of a message from ${who} was refused: ${lowered(text, reason)}`,
}

/**
 * An event in words: what is known of its kind, else its own text, else its kind and what it is about:
 * `Service published: wiki`.
 */
export function eventTitle(event: LogEvent, peers: readonly Peer[] | null): string {
  const known = Object.hasOwn(TEXTS, event.kind) ? TEXTS[event.kind] : undefined
  if (known !== undefined)
    return known(event, peerName(event, peers) ?? (event.peer === null ? 'somebody' : 'a peer'))
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

/** A sentence as the end of another one; the reason code where there is none. */
function lowered(text: string, reason: string | null): string {
  const sentence = text === '' ? (reason ?? 'no reason given') : text
  return sentence.replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase()).replace(/\.$/, '')
}

function skew(offsetMs: LogEvent['fields'][string] | undefined): string {
  return typeof offsetMs === 'number' ? ` (${Math.round(offsetMs / 1000)} s off ours)` : ''
}

function figures(
  ms: LogEvent['fields'][string] | undefined,
  bytes: LogEvent['fields'][string] | undefined,
): string {
  const parts = [
    typeof ms === 'number' ? `after ${Math.round(ms)} ms` : '',
    typeof bytes === 'number' ? `the old ones carried ${formatBytes(bytes)}` : '',
  ].filter((part) => part !== '')
  return parts.length === 0 ? '' : `, ${parts.join(', ')}`
}
