import { homedir, hostname, release, userInfo } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Bugreport, ConfigEntry, LogEvent, Peer, Status } from '../api/schemas.ts'
import type { RunningMesh } from '../compose-mesh.ts'
import type { ControlledNode } from '../controlled-node.ts'
import { membersOf } from '../membership/admission-control.ts'
import { peersOf, statusOf } from '../snapshots.ts'
import { systemClock, systemRandom } from '../system-ports.ts'
import { VERSION } from '../version.ts'
import { BlobRedaction } from './blob-redaction.ts'
import { REPORT_SLICE_MS, REPORTED_EVENTS_MAX } from './limits.ts'
import { makePortable } from './portable-recording.ts'
import { Pseudonyms } from './pseudonyms.ts'
import { encodeRecording } from './recording-format.ts'
import { TextRedaction } from './text-redaction.ts'

/** Settings whose value is one of a few words: they say nothing of anybody. */
const PLAIN_SETTINGS: ReadonlySet<string> = new Set(['log.level', 'log.format', 'roles'])
const UNIQUE_LABEL = /^https?:\/\/[^/]*/

/** Makes a report of a node. Takes a second in a mesh of thousands, in slices between which the node goes on. */
export async function makeBugreport(node: ControlledNode, options: { names: boolean }): Promise<Bugreport> {
  const mesh = node.mesh()
  const recording = mesh?.membership.recording() ?? null
  const names = new Pseudonyms(systemRandom.bytes(32))
  const texts = new TextRedaction(names)
  const isPlain = options.names
  for (const name of namesAround(node, mesh)) names.word(name)
  const blobs = mesh === undefined || isPlain ? null : new BlobRedaction(names, mesh.mesh.root.meshId)
  const portable =
    recording === null || mesh === undefined
      ? null
      : await inSlices(makePortable(recording, mesh.mesh.root, blobs))
  const events = await node.events.list({ limit: REPORTED_EVENTS_MAX })
  const [status, peers] = [statusOf(node), peersOf(mesh)]
  return {
    format: 'kith-bugreport',
    version: 1,
    createdAt: systemClock.now(),
    redacted: !isPlain,
    kith: VERSION,
    node: process.version,
    platform: { os: process.platform, release: release(), arch: process.arch },
    config: node.configEntries.map((entry) => (isPlain ? entry : settingWithout(entry, names))),
    status: { ...(isPlain ? status : statusWithout(status, names, texts)), ui: null },
    peers: isPlain ? peers : peers.map((peer) => peerWithout(peer, names)),
    events: events.map((event) => eventWithout(event, texts, isPlain)),
    health: healthOf(),
    membership: portable === null ? null : await inSlices(encodeRecording(portable)),
  }
}

/** Runs a generator to its end, giving way to the rest of the node every few milliseconds. */
async function inSlices<T>(work: Generator<undefined, T>): Promise<T> {
  let since = performance.now()
  for (;;) {
    const { done, value } = work.next()
    if (done === true) return value
    if (performance.now() - since < REPORT_SLICE_MS) continue
    await nextTurn()
    since = performance.now()
  }
}

/** What this node knows to be names, besides those in what members signed. */
function* namesAround(node: ControlledNode, mesh: RunningMesh | undefined): Generator<string> {
  yield node.nodeName
  yield node.localLabel
  yield* hostname().toLowerCase().split('.')
  yield userInfo().username
  yield* homedir().split(/[/\\]/)
  const label = UNIQUE_LABEL.exec(node.uiUrl() ?? '')?.[0]
    .split('//')[1]
    ?.split('.')[0]
  if (label !== undefined) yield label
  if (mesh === undefined) return
  yield mesh.mesh.root.document.name
  for (const { name, tags } of membersOf(mesh)) {
    if (name !== null) yield name
    yield* tags
  }
  for (const { name } of mesh.services.publications.list()) yield name
  for (const name of mesh.services.directory().services.keys()) yield name
}

function settingWithout({ key, value, source }: ConfigEntry, names: Pseudonyms): Bugreport['config'][number] {
  const other = (inner: unknown): unknown => {
    if (typeof inner === 'string') return inner.startsWith('/') ? names.address(inner) : names.word(inner)
    return Array.isArray(inner) ? inner.map(other) : inner
  }
  return { key, value: source === 'default' || PLAIN_SETTINGS.has(key) ? value : other(value), source }
}

function statusWithout(status: Status, names: Pseudonyms, texts: TextRedaction): Status {
  const { node, mesh, listen, warnings } = status
  return {
    ...status,
    node: { id: node.id, name: names.word(node.name) },
    mesh:
      mesh === null
        ? null
        : { id: mesh.id, name: names.word(mesh.name), domain: `${names.word(mesh.name)}.internal` },
    listen: listen.map((address) => names.address(address)),
    warnings: warnings.map(({ code, severity, text, fix }) => ({
      code,
      severity,
      text: texts.text(text),
      fix: texts.text(fix),
    })),
  }
}

function peerWithout(peer: Peer, names: Pseudonyms): Peer {
  return { ...peer, name: names.word(peer.name), tags: peer.tags.map((tag) => names.word(tag)) }
}

function eventWithout(event: LogEvent, texts: TextRedaction, isPlain: boolean): LogEvent {
  if (isPlain)
    return {
      ...event,
      text: texts.withoutSecrets(event.text),
      fields: texts.fieldsWithoutSecrets(event.fields),
    }
  return {
    ...event,
    reason: texts.code(event.reason),
    text: texts.text(event.text),
    fields: texts.fields(event.fields),
  }
}

/** Figures of the process: bytes, and milliseconds of processor time. */
function healthOf(): Record<string, number> {
  const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  return {
    rssBytes: rss,
    heapTotalBytes: heapTotal,
    heapUsedBytes: heapUsed,
    externalBytes: external,
    arrayBuffersBytes: arrayBuffers,
    userMs: Math.round(user / 1000),
    systemMs: Math.round(system / 1000),
    uptimeMs: Math.round(process.uptime() * 1000),
  }
}
