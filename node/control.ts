import { hostname } from 'node:os'
import type { Member } from '../protocols/admission/certificates.ts'
import { toHex } from '../protocols/common/bytes.ts'
import { KithError } from '../protocols/common/errors.ts'
import { peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { MemberView } from '../protocols/membership/service.ts'
import type { ServiceEntry } from '../protocols/naming/directory.ts'
import { serviceName } from '../protocols/naming/names.ts'
import { TunnelError } from '../protocols/tunnel/errors.ts'
import type { ChangeTopic, Control } from './api/control.ts'
import type { ConfigEntry, Peer, Service, Status, Warning } from './api/schemas.ts'
import type { RunningMesh } from './compose-mesh.ts'
import { NodeError } from './errors.ts'
import type { EventLog } from './log/event-log.ts'
import { explain } from './services/explain.ts'
import { openForward } from './services/forward.ts'
import { localityOf } from './transport/addresses.ts'
import { VERSION } from './version.ts'

/** At most one snapshot a topic in this time goes to each dashboard. */
const CHANGE_INTERVAL_MS = 250
/** What changes without an event (bytes, round trips, uptime) is looked at this often while a dashboard watches. */
const REFRESH_INTERVAL_MS = 2000
/** Addresses in one invite: it must stay short enough for a QR code and a chat message. */
const INVITE_ADDRESSES_MAX = 6
/** One probe of `ping` and `why`. */
const PROBE_TIMEOUT_MS = 5000

/** The node behind the facade. */
export interface ControlledNode {
  readonly nodeId: string
  readonly nodeName: string
  readonly startedAt: number
  readonly localLabel: string
  readonly events: EventLog
  readonly configEntries: readonly ConfigEntry[]
  /** Undefined while in no mesh. */
  mesh(): RunningMesh | undefined
  isJoining(): boolean
  found(name: string): Promise<void>
  join(invite: string): Promise<void>
  loginLink: Control['loginLink']
  uiUrl(): string | null
}

/** Builds the facade the HTTP layer and, through it, the CLI and the dashboard use. */
export function createControl(node: ControlledNode): Control {
  const inMesh = (): RunningMesh => {
    const mesh = node.mesh()
    if (mesh === undefined) throw new TunnelError('no-mesh', 'This node is in no mesh yet')
    return mesh
  }
  const control: Control = {
    status: () => statusOf(node),
    peers: () => peersOf(node.mesh()),
    services: () => servicesOf(node.mesh(), node.localLabel),
    async publish(input) {
      const mesh = inMesh()
      await mesh.services.publish(input)
      return serviceOf(mesh, node.localLabel, input.name)
    },
    unpublish: (name) => inMesh().services.unpublish(name),
    async found({ name }) {
      await node.found(name)
      return statusOf(node)
    },
    async join({ invite }) {
      await node.join(invite)
      return statusOf(node)
    },
    async invite(input) {
      const mesh = inMesh()
      if (mesh.issuer === null)
        throw new NodeError('not-authorised', `${mesh.self.name} holds no authority to admit members`)
      const bootstrap = mesh.doors().slice(0, INVITE_ADDRESSES_MAX)
      const reach = bootstrap.some((address) => localityOf(address) === 'public') ? 'unknown' : 'lan'
      const { text, expires, uses } = await mesh.issuer.invite({
        ...input,
        name: input.name ?? null,
        bootstrap,
        reach,
      })
      return { invite: text, expires, uses, reach }
    },
    async ping(peer, seq, signal) {
      const mesh = inMesh()
      const member = memberOf(mesh, peer)
      const reply = { seq, peer: member.id, name: member.name }
      try {
        const rttMs = member.self
          ? 0
          : await mesh.ping(member.id, AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]))
        return { ...reply, rttMs, path: member.self ? 'direct' : mesh.pathTo(member.id), error: null }
      } catch (error) {
        if (!(error instanceof KithError) && (error as Error).name !== 'TimeoutError') throw error
        const code = error instanceof KithError ? error.code : 'peer-unreachable'
        return { ...reply, rttMs: null, path: 'none', error: { code, text: (error as Error).message } }
      }
    },
    why(subject) {
      const mesh = inMesh()
      return explain(subject, mesh.services.mesh, mesh.services.reach, {
        pathTo: (id) => mesh.pathTo(id),
        lastFailure: (id) => mesh.lastFailure(id),
        probe: (id) => mesh.ping(id, AbortSignal.timeout(PROBE_TIMEOUT_MS)),
      })
    },
    events: (filter) => node.events.list(filter),
    onEvent: (listener, signal) => node.events.subscribe(listener, signal),
    onChange: (listener, signal) => watch(node, listener, signal),
    emit: (event) => void node.events.append(event),
    config: () => [...node.configEntries],
    async forward({ name, port }, signal) {
      const mesh = inMesh()
      const entry = mesh.services.reach.find(name)
      const failed = (error: Error): void => {
        node.events.append({
          kind: 'forward.failed',
          severity: 'notice',
          peer: entry.provider.id,
          reason: (error as { code?: string }).code ?? 'stream-failed',
          text: error.message,
          fields: { service: name },
        })
      }
      const opened = await openForward(mesh.services.reach, entry, port, failed, signal)
      return { id: `${opened.address}:${opened.port}`, name: entry.service.name, ...opened }
    },
    loginLink: node.loginLink,
  }
  return control
}

/** Turns membership changes, events and the passing of time into at most four calls a second and topic. */
function watch(node: ControlledNode, listener: (topic: ChangeTopic) => void, signal: AbortSignal): void {
  const due = new Set<ChangeTopic>()
  const mark = (): void =>
    void ['status', 'peers', 'services'].forEach((topic) => due.add(topic as ChangeTopic))
  node.events.subscribe(mark, signal)
  let watched: RunningMesh | undefined
  let unwatch = (): void => undefined
  const flush = setInterval(() => {
    const mesh = node.mesh()
    if (mesh !== watched) {
      unwatch()
      watched = mesh
      unwatch = mesh?.membership.onChange(mark) ?? ((): void => undefined)
      mark()
    }
    const topics = [...due]
    due.clear()
    for (const topic of topics) listener(topic)
  }, CHANGE_INTERVAL_MS)
  const refresh = setInterval(
    () => ['status', 'peers'].forEach((topic) => due.add(topic as ChangeTopic)),
    REFRESH_INTERVAL_MS,
  )
  signal.addEventListener(
    'abort',
    () => {
      clearInterval(flush)
      clearInterval(refresh)
      unwatch()
    },
    { once: true },
  )
}

function memberOf(mesh: RunningMesh, subject: string): MemberView {
  const member = mesh.membership
    .members()
    .find((candidate) => candidate.id === subject || candidate.name === subject)
  if (member === undefined)
    throw new TunnelError(
      'peer-unknown',
      `No member of ${mesh.mesh.root.document.domain} is called "${subject}"`,
    )
  return member
}

function statusOf(node: ControlledNode): Status {
  const mesh = node.mesh()
  const others = mesh?.membership.members().filter((member) => !member.self && member.state !== 'left') ?? []
  const count = (state: MemberView['state']): number =>
    others.filter((member) => member.state === state).length
  const isIsolated = mesh !== undefined && others.length > 0 && count('alive') === 0
  const document = mesh?.mesh.root.document
  return {
    node: { id: node.nodeId, name: mesh?.self.name ?? node.nodeName },
    mesh:
      mesh === undefined || document === undefined
        ? null
        : {
            id: Buffer.from(mesh.mesh.root.meshId).toString('hex'),
            name: document.name,
            domain: document.domain,
          },
    state: node.isJoining() ? 'joining' : mesh === undefined ? 'setup' : isIsolated ? 'isolated' : 'up',
    roles: [...(mesh?.self.roles ?? [])],
    listen: mesh?.listen() ?? [],
    peers: { known: others.length, alive: count('alive'), suspect: count('suspect'), dead: count('dead') },
    uptimeMs: Date.now() - node.startedAt,
    rssBytes: process.memoryUsage.rss(),
    version: VERSION,
    ui: urlOf(node.uiUrl()),
    dns: portOf(mesh?.services.dnsPort),
    gateway: portOf(mesh?.services.gatewayPort),
    warnings: mesh === undefined ? [] : warningsOf(mesh, isIsolated),
  }
}

function urlOf(url: string | null): { url: string } | null {
  return url === null ? null : { url }
}

function portOf(port: number | null | undefined): { port: number } | null {
  return port === null || port === undefined ? null : { port }
}

function warningsOf(mesh: RunningMesh, isIsolated: boolean): Warning[] {
  const warnings: Warning[] = []
  if (isIsolated) {
    warnings.push({
      code: 'isolated',
      severity: 'warning',
      text: 'No other member answers.',
      fix: 'Check this machine’s network; `kith why PEER` shows what was tried.',
    })
  }
  const clashes = mesh.services.directory().clashes.filter((entry) => entry.provider.id === mesh.self.id)
  for (const { service } of clashes) {
    warnings.push({
      code: 'name-clash',
      severity: 'warning',
      text: `"${service.name}" was published earlier by another member; yours answers as ${service.name}.${mesh.self.name}.node.${mesh.mesh.root.document.domain}.`,
      fix: 'Unpublish it here and choose another name.',
    })
  }
  if (mesh.issuer !== null) {
    warnings.push({
      code: 'root-not-exported',
      severity: 'info',
      text: 'The root key of the mesh lies on this machine only.',
      fix: 'Copy root.key and x509-root.key from the data directory to a safe place.',
    })
  }
  return warnings
}

function peersOf(mesh: RunningMesh | undefined): Peer[] {
  if (mesh === undefined) return []
  return mesh.membership
    .members()
    .filter((member) => !member.self)
    .map((member) => {
      const sessions = mesh.sessions.forPeer(member.id)
      const newest = sessions.at(-1)
      const sum = (read: (session: (typeof sessions)[number]) => number): number =>
        sessions.reduce((total, session) => total + read(session), 0)
      return {
        id: member.id,
        name: member.name,
        state: member.state,
        roles: [...member.roles],
        tags: [...member.tags],
        path: mesh.pathTo(member.id),
        via: null,
        rttMs: member.rttMs,
        epoch: newest?.epoch ?? null,
        rotatedAt: newest?.rotatedAt ?? newest?.establishedAt ?? null,
        rxBytes: sum((session) => session.rxBytes),
        txBytes: sum((session) => session.txBytes),
        lastSeen: member.lastSeen,
        certificate: certificateOf(mesh.proved(member.id)),
      }
    })
}

function certificateOf(member: Member | undefined): Peer['certificate'] {
  if (member === undefined) return null
  return { serial: toHex(member.serial), issuer: peerIdFromKey(member.issuer), expires: member.notAfter }
}

function servicesOf(mesh: RunningMesh | undefined, localLabel: string): Service[] {
  if (mesh === undefined) return []
  return [...mesh.services.directory().services.values()].map((entry) => toService(mesh, localLabel, entry))
}

function serviceOf(mesh: RunningMesh, localLabel: string, name: string): Service {
  const entry = mesh.services.directory().services.get(name)
  if (entry === undefined) throw new Error(`published "${name}" but it is not in the directory`)
  return toService(mesh, localLabel, entry)
}

function toService(mesh: RunningMesh, localLabel: string, entry: ServiceEntry): Service {
  const { service, provider } = entry
  const { services } = mesh
  const fqdn = serviceName(service.name, mesh.mesh.root.document.domain)
  const endpoint = services.endpoint(entry)
  const isOwn = provider.id === mesh.self.id
  const isAlive = provider.state === 'alive' || provider.state === 'suspect'
  const port =
    endpoint?.port ?? (service.proto === 'tcp' ? service.port : (services.gatewayPort ?? service.port))
  return {
    name: service.name,
    fqdn,
    proto: service.proto,
    providers: [
      {
        peer: provider.id,
        name: provider.name,
        healthy: isOwn || (service.healthy && isAlive),
        rttMs: isOwn ? 0 : (mesh.membership.member(provider.id)?.rttMs ?? null),
      },
    ],
    address: endpoint?.address ?? null,
    port: endpoint?.port ?? null,
    url: `${service.proto}://${fqdn}:${port}`,
    localUrl:
      service.proto === 'http' && services.gatewayPort !== null
        ? `http://${service.name}.${localLabel}.localhost:${services.gatewayPort}`
        : null,
    allowed: [...service.allow],
    local: isOwn,
    target: isOwn ? (services.publications.get(service.name)?.target ?? null) : null,
  }
}

/** This machine's host name as a node name: a DNS label, `node` when nothing of it remains. */
export function nameOfHost(): string {
  const label = (hostname().split('.')[0] ?? '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
  return label === '' ? 'node' : label
}
