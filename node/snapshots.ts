import type { Member } from '../protocols/admission/certificates.ts'
import { toHex } from '../protocols/common/bytes.ts'
import { peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { MemberView } from '../protocols/membership/view.ts'
import type { SessionInfo } from '../protocols/secure-channel/sessions.ts'
import type { ServiceEntry } from '../protocols/naming/directory.ts'
import { providerName, serviceName } from '../protocols/naming/names.ts'
import type { Peer, Service, Status, Warning } from './api/schemas.ts'
import type { RunningMesh } from './compose-mesh.ts'
import type { ControlledNode } from './controlled-node.ts'
import { dueWarning, readAuthority } from './membership/authorities.ts'
import { fixOf } from './reasons.ts'
import { systemClock } from './system-ports.ts'
import { VERSION } from './version.ts'

/** Renewal is tried from 15 days before the end; when it did not work for five, a person should look. */
const CERTIFICATE_WARNING_MS = 10 * 86_400_000

/** `kith status`. */
export function statusOf(node: ControlledNode): Status {
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
    uptimeMs: systemClock.now() - node.startedAt,
    rssBytes: process.memoryUsage.rss(),
    version: VERSION,
    ui: urlOf(node.uiUrl()),
    dns: portOf(mesh?.services.dnsPort),
    gateway: portOf(mesh?.services.gatewayPort),
    door: isDoor(node),
    warnings: mesh === undefined ? lapsedWarnings(node) : warningsOf(node, mesh, isIsolated),
  }
}

/** Whether this node was started to let others in and for nothing else. */
export function isDoor({ configEntries }: ControlledNode): boolean {
  return configEntries.some(({ key, value }) => key === 'door' && value === true)
}

function lapsedWarnings(node: ControlledNode): Warning[] {
  const waiting = node.waiting()
  if (waiting !== undefined)
    return [{ code: 'join-pending', severity: 'notice', text: waiting, fix: fixOf('join-pending') }]
  const lapsed = node.lapsed()
  if (lapsed === undefined) return []
  return [
    {
      code: lapsed.code,
      severity: 'alert',
      text: lapsed.message,
      fix:
        lapsed.code === 'certificate-revoked'
          ? fixOf('certificate-revoked')
          : 'Join the same mesh again with a new invite: `kith join INVITE`. What is published here stays.',
    },
  ]
}

function urlOf(url: string | null): { url: string } | null {
  return url === null ? null : { url }
}

function portOf(port: number | null | undefined): { port: number } | null {
  return port === null || port === undefined ? null : { port }
}

function warningsOf(node: ControlledNode, mesh: RunningMesh, isIsolated: boolean): Warning[] {
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
      text: `"${service.name}" was published earlier by another member; yours answers as ${providerName(service.name, mesh.self.name, mesh.mesh.root.document.domain)}.`,
      fix: 'Unpublish it here and choose another name.',
    })
  }
  if (mesh.revocations.set.isKeyRevoked(mesh.self.key)) {
    warnings.push({
      code: 'certificate-revoked',
      severity: 'alert',
      text: 'This node was revoked: no member speaks to it any more.',
      fix: fixOf('certificate-revoked'),
    })
  }
  const authority = mesh.mesh.authority === null ? null : readAuthority(mesh.mesh.authority)
  if (authority !== null && dueWarning(authority.notAfter, systemClock.now()) !== null) {
    warnings.push({
      code: 'authority-expires',
      severity: 'warning',
      text: `This node's authority certificate ends on ${new Date(authority.notAfter).toISOString().slice(0, 10)}; nobody it admitted is believed after that.`,
      fix: `Where the root key is: kith authority add ${mesh.self.name}`,
    })
  }
  if (node.hasRootKey()) {
    warnings.push({
      code: 'root-not-exported',
      severity: 'info',
      text: 'The root key of the mesh lies on this machine only.',
      fix: 'Move it to a safe place: kith root export FILE',
    })
  }
  const leftMs = mesh.self.notAfter - systemClock.now()
  if (leftMs < CERTIFICATE_WARNING_MS) {
    const date = new Date(mesh.self.notAfter).toISOString().slice(0, 10)
    warnings.push({
      code: leftMs > 0 ? 'certificate-expires' : 'certificate-expired-grace',
      severity: leftMs > 0 ? 'warning' : 'alert',
      text:
        leftMs > 0
          ? `This node's certificate ends on ${date} and could not be renewed.`
          : `This node's certificate ended on ${date}; others refuse it while the node that admitted it runs, and all do 30 days later.`,
      fix: 'Let it reach the node that admitted it: renewal is automatic. `kith events` tells why it failed.',
    })
  }
  return warnings
}

/** `kith peers`: everybody but this node. */
export function peersOf(mesh: RunningMesh | undefined): Peer[] {
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
        via: mesh.viaTo(member.id),
        rttMs: member.rttMs,
        epoch: newest?.epoch ?? null,
        rotatedAt: newest?.rotatedAt ?? newest?.establishedAt ?? null,
        keyAgeMs: newest === undefined ? null : keyAgeMs(newest),
        rotation: newest?.rotation ?? null,
        rxBytes: sum((session) => session.rxBytes),
        txBytes: sum((session) => session.txBytes),
        lastSeen: member.lastSeen,
        certificate: certificateOf(mesh.proved(member.id)),
      }
    })
}

/** Never negative: the clock may have been set back since. */
function keyAgeMs({ rotatedAt, establishedAt }: SessionInfo): number {
  return Math.max(0, systemClock.now() - (rotatedAt ?? establishedAt))
}

function certificateOf(member: Member | undefined): Peer['certificate'] {
  if (member === undefined) return null
  return { serial: toHex(member.serial), issuer: peerIdFromKey(member.issuer), expires: member.notAfter }
}

/** `kith services`: every name and who answers for it. */
export function servicesOf(mesh: RunningMesh | undefined, localLabel: string): Service[] {
  if (mesh === undefined) return []
  return [...mesh.services.directory().services.values()].map((entry) => toService(mesh, localLabel, entry))
}

/** One service this node has just published. */
export function serviceOf(mesh: RunningMesh, localLabel: string, name: string): Service {
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
        healthy: service.healthy && (isOwn || isAlive),
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
