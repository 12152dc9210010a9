import { hostname } from 'node:os'
import { AdmissionError } from '../protocols/admission/errors.ts'
import { KithError, MalformedError } from '../protocols/common/errors.ts'
import { keyFromPeerId } from '../protocols/common/peer-id.ts'
import type { MemberView } from '../protocols/membership/view.ts'
import { TunnelError } from '../protocols/tunnel/errors.ts'
import type { ChangeTopic, Control } from './api/control.ts'
import type { Invite, InviteInput, Rotated } from './api/schemas.ts'
import type { RunningMesh } from './compose-mesh.ts'
import { ControlError } from './control-errors.ts'
import type { ControlledNode } from './controlled-node.ts'
import {
  addAuthority,
  authorityRows,
  retireAuthority,
  takeSignedAct,
} from './membership/authority-control.ts'
import { approveJoin, issuerOf, membersOf, revokeMember } from './membership/admission-control.ts'
import { NodeError } from './errors.ts'
import { nameIn, netcheckOf, notDirect, waysTo } from './path-control.ts'
import { explain } from './services/explain.ts'
import { openForward } from './services/forward.ts'
import { isDoor, peersOf, serviceOf, servicesOf, statusOf } from './snapshots.ts'
import { localityOf } from './transport/addresses.ts'

/** At most one snapshot a topic in this time goes to each dashboard. */
const CHANGE_INTERVAL_MS = 250
/** What changes without an event (bytes, round trips, uptime) is looked at this often while a dashboard watches. */
const REFRESH_INTERVAL_MS = 2000
/** Addresses in one invite: it must stay short enough for a QR code and a chat message. */
const INVITE_ADDRESSES_MAX = 6
/** One probe of `ping` and `why`. */
const PROBE_TIMEOUT_MS = 5000

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
      refuseAtDoor(node, 'publishes nothing')
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
    invite: (input) => invite(inMesh(), input),
    members: () => membersOf(node.mesh()),
    revoke: (input) => revokeMember(inMesh(), node.signer(), input),
    approve: (input) => approveJoin(inMesh(), input),
    authorities: () => authorityRows(node.mesh()),
    addAuthority: (input) => addAuthority(inMesh(), () => node.rootSigner(), input),
    retireAuthority: async (input) => retireAuthority(inMesh(), () => node.rootSigner(), input),
    signedAct: ({ signed }) => takeSignedAct(inMesh(), signed),
    async ping(peer, seq, signal) {
      const mesh = inMesh()
      const member = memberOf(mesh, peer)
      const reply = { seq, peer: member.id, name: member.name }
      try {
        const rttMs = member.self
          ? 0
          : await mesh.ping(member.id, AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]))
        const path = member.self ? 'direct' : mesh.pathTo(member.id)
        const via = member.self ? null : mesh.viaTo(member.id)
        return {
          ...reply,
          rttMs,
          path,
          via,
          viaName: via === null ? null : nameIn(mesh, via),
          notDirect: member.self ? null : notDirect(mesh, member.id),
          error: null,
        }
      } catch (error) {
        if (!(error instanceof KithError) && (error as Error).name !== 'TimeoutError') throw error
        const code = error instanceof KithError ? error.code : 'peer-unreachable'
        const none = { rttMs: null, path: 'none', via: null, viaName: null, notDirect: null } as const
        return { ...reply, ...none, error: { code, text: (error as Error).message } }
      }
    },
    why(subject) {
      const mesh = inMesh()
      return explain(subject, mesh.services.mesh, mesh.services.reach, {
        pathTo: (id) => mesh.pathTo(id),
        lastFailure: (id) => mesh.lastFailure(id),
        waysTo: (id) => waysTo(mesh, id),
        probe: (id) => mesh.ping(id, AbortSignal.timeout(PROBE_TIMEOUT_MS)),
      })
    },
    async netcheck({ measure }) {
      const mesh = inMesh()
      if (measure) await mesh.traversal.nat.measure()
      return netcheckOf(mesh)
    },
    lookForDirect(peer) {
      const mesh = inMesh()
      mesh.ways.paths.tryNow(memberOf(mesh, peer).id)
    },
    rotate: ({ peer }) => rotate(inMesh(), peer),
    events: ({ peer, ...filter }) =>
      node.events.list({ ...filter, ...(peer === undefined ? {} : { peer: peerIdOf(node, peer) }) }),
    onEvent: (listener, signal) => node.events.subscribe(listener, signal),
    onChange: (listener, signal) => watch(node, listener, signal),
    emit: node.emit,
    config: () => [...node.configEntries],
    async bugreport(input) {
      const { makeBugreport } = await import('./diagnostics/bugreport.ts') // a megabyte that only who asks pays
      return makeBugreport(node, input)
    },
    async forward({ name, port }, signal) {
      refuseAtDoor(node, 'opens no way to services')
      const mesh = inMesh()
      const entry = mesh.services.reach.find(name)
      const failed = (error: Error): void => {
        node.emit({
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

/** @throws NodeError `door-only`. */
function refuseAtDoor(node: ControlledNode, text: string): void {
  if (isDoor(node)) throw new NodeError('door-only', `This node is a door: it ${text}`)
}

async function invite(mesh: RunningMesh, input: InviteInput): Promise<Invite> {
  const issuer = issuerOf(mesh)
  const bootstrap = mesh.doors().slice(0, INVITE_ADDRESSES_MAX)
  const reach = bootstrap.some((address) => localityOf(address) === 'public') ? 'unknown' : 'lan'
  const name = input.name ?? null
  if (input.peer === undefined) {
    const { text, expires, uses } = await issuer.invite({ ...input, name, bootstrap, reach })
    return { invite: text, expires, uses, reach }
  }
  if (name === null || input.approve || input.uses !== 1)
    throw new AdmissionError(
      'invite-invalid',
      'an invite for one peer holds its certificate: it needs a name, has one use and waits for nobody',
    )
  const { roles, tags } = input
  const joiner = keyFromPeerId(input.peer)
  const { text, expires } = await issuer.invitePeer({ joiner, name, roles, tags, bootstrap, reach })
  return { invite: text, expires, uses: 1, reach }
}

/** Turns membership changes, events and the passing of time into at most four calls a second and topic. */
function watch(node: ControlledNode, listener: (topic: ChangeTopic) => void, signal: AbortSignal): void {
  const due = new Set<ChangeTopic>()
  const mark = (): void =>
    void ['status', 'peers', 'services', 'members'].forEach((topic) => due.add(topic as ChangeTopic))
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

/** Starts key rotations. @throws ControlError `no-session` for a named peer without one. */
function rotate(mesh: RunningMesh, subject: string | undefined): Rotated {
  const members = subject === undefined ? mesh.membership.members() : [memberOf(mesh, subject)]
  const peers: Rotated['peers'] = []
  for (const { id, name } of members) {
    const session = mesh.sessions.forPeer(id).at(-1)
    if (session !== undefined)
      peers.push({ id, name, epoch: session.epoch, started: mesh.sessions.rotate(id) > 0 })
    else if (subject !== undefined)
      throw new ControlError('no-session', `There is no connection to ${name} now`)
  }
  return { peers }
}

/** A peer id, be it a stranger's, or the id of the member of that name. @throws TunnelError `peer-unknown`. */
function peerIdOf(node: ControlledNode, subject: string): string {
  const mesh = node.mesh()
  const member = mesh?.membership.members().find(({ id, name }) => id === subject || name === subject)
  if (member !== undefined) return member.id
  try {
    keyFromPeerId(subject)
    return subject
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new TunnelError('peer-unknown', `No member is called "${subject}", and it is no peer id`, { cause })
  }
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

/** This machine's host name as a node name: a DNS label, `node` when nothing of it remains. */
export function nameOfHost(): string {
  const label = (hostname().split('.')[0] ?? '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
  return label === '' ? 'node' : label
}
