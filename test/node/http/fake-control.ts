import { KithError } from '../../../protocols/common/errors.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import type { ChangeTopic, Control } from '../../../node/api/control.ts'
import type { NetcheckReport } from '../../../node/api/path-schemas.ts'
import type { AuthorityRow, LogEvent, MemberRow, Peer, Service, Status } from '../../../node/api/schemas.ts'

const PEER_IDS = [
  '12D3KooWGRUVhTuVYp7fCnCKSPBJFhLWDMJZwvCNnZxcXhQhUQ6e',
  '12D3KooWQYzCq3dT9rTzkJ7VbpzwVnT8DmqhhvH8yUmJrVnGJXkA',
  '12D3KooWAcmMfGxTSUvdq9rHNZxUmEJ6sVtQ9C5UVTXnd1XnpNBk',
  '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
]

/** An in-memory node behind the facade: what it is told to be, it says it is. */
export class FakeControl implements Control {
  /** Names of methods called, with their first argument. */
  readonly calls: [string, unknown][] = []
  readonly log: LogEvent[] = []
  readonly changeListeners = new Set<(topic: ChangeTopic) => void>()
  readonly eventListeners = new Set<(event: LogEvent) => void>()
  readonly openForwards = new Set<string>()
  statusNow: Status
  peersNow: Peer[]
  servicesNow: Service[]
  membersNow: MemberRow[] = meshMembers()
  netcheckNow: NetcheckReport = behindNat()
  mintLink: () => { url: string; expires: number } = () => {
    throw new KithError('ui-off', 'The dashboard is not running.')
  }

  constructor(startedAt = Date.now()) {
    this.statusNow = meshStatus()
    this.peersNow = meshPeers(startedAt)
    this.servicesNow = meshServices()
    this.emit({ kind: 'node.started', severity: 'info', text: 'The node has started.' })
    this.emit({ kind: 'peer.joined', severity: 'notice', peer: PEER_IDS[0]!, text: 'attic joined the mesh.' })
    this.emit({
      kind: 'rotation.done',
      severity: 'info',
      peer: PEER_IDS[0]!,
      text: 'Keys of epoch 12 are in use after 9 ms',
      fields: { epoch: 12, reason: 'time', bytes: 4_200_000, ms: 9 },
    })
    this.emit({
      kind: 'path.downgraded',
      severity: 'notice',
      peer: PEER_IDS[1]!,
      reason: 'punch-failed',
      text: 'laptop is reached through attic.',
    })
    this.emit({
      kind: 'handshake.failed',
      severity: 'warning',
      reason: 'clock-skew',
      text: 'A handshake was refused: the clocks differ by 312 s.',
      fields: { skewMs: 312_000 },
    })
    this.emit({
      kind: 'replay.detected',
      severity: 'alert',
      peer: PEER_IDS[2]!,
      reason: 'replayed-message',
      text: 'A first message was replayed and refused.',
    })
  }

  status(): Status {
    return this.statusNow
  }

  peers(): Peer[] {
    return this.peersNow
  }

  services(): Service[] {
    return this.servicesNow
  }

  async publish(input: Parameters<Control['publish']>[0]): Promise<Service> {
    this.calls.push(['publish', input])
    if (input.name === 'acme') throw new KithError('name-reserved', 'The name acme is reserved.')
    if (this.servicesNow.some((one) => one.name === input.name && !one.local)) {
      throw new KithError('name-taken', `The name ${input.name} belongs to attic.`)
    }
    const service = serviceOf(input.name, input.target, input.allow)
    this.servicesNow = [...this.servicesNow.filter((one) => one.name !== input.name), service]
    this.change('services')
    this.emit({ kind: 'service.published', severity: 'notice', text: `${input.name} is published.` })
    return service
  }

  async unpublish(name: string): Promise<void> {
    this.calls.push(['unpublish', name])
    if (!this.servicesNow.some((one) => one.name === name && one.local)) {
      throw new KithError('service-unknown', `This node does not publish ${name}.`)
    }
    this.servicesNow = this.servicesNow.filter((one) => one.name !== name)
    this.change('services')
  }

  async found(input: { name: string }): Promise<Status> {
    this.calls.push(['found', input])
    if (this.statusNow.mesh) throw new KithError('already-in-mesh', 'This node is already in a mesh.')
    this.statusNow = meshStatus()
    this.change('status')
    return this.statusNow
  }

  async join(input: { invite: string }): Promise<Status> {
    this.calls.push(['join', input])
    if (this.statusNow.mesh) throw new KithError('already-in-mesh', 'This node is already in a mesh.')
    if (!input.invite.startsWith('kith://join/'))
      throw new KithError('invite-malformed', 'That is no invite link.')
    if (input.invite.endsWith('expired'))
      throw new KithError('invite-expired', 'The invite expired an hour ago.')
    this.statusNow = meshStatus()
    this.change('status')
    return this.statusNow
  }

  members(): MemberRow[] {
    return this.membersNow
  }

  async revoke(input: Parameters<Control['revoke']>[0]): ReturnType<Control['revoke']> {
    this.calls.push(['revoke', input])
    const member = this.membersNow.find(({ id, name }) => id === input.peer || name === input.peer)
    if (member === undefined) throw new KithError('peer-unknown', `No member is called "${input.peer}"`)
    if (member.self) throw new KithError('revoke-self', 'That is this node.')
    const added = member.revoked === null
    member.state = 'revoked'
    member.revoked ??= { at: 1_800_000_000_000, reason: input.reason, by: PEER_IDS[0]! }
    this.change('members')
    return { id: member.id, name: member.name, added, authority: member.authority !== null }
  }

  async approve(input: Parameters<Control['approve']>[0]): ReturnType<Control['approve']> {
    this.calls.push(['approve', input])
    const index = this.membersNow.findIndex(
      ({ id, name, state }) => state === 'pending' && [id, name].includes(input.peer),
    )
    const [waiting] = index === -1 ? [] : this.membersNow.splice(index, 1)
    if (waiting === undefined) throw new KithError('join-not-pending', `No join of "${input.peer}" waits.`)
    if (!input.deny) this.membersNow.push({ ...waiting, state: 'alive', pendingSince: null })
    this.change('members')
    return { id: waiting.id, name: waiting.name ?? '', approved: !input.deny }
  }

  authorities(): AuthorityRow[] {
    return [
      {
        id: PEER_IDS[0]!,
        name: 'attic',
        roles: ['admit', 'revoke'],
        expires: Date.now() + 100.5 * 86_400_000,
        self: false,
      },
    ]
  }

  async addAuthority(input: Parameters<Control['addAuthority']>[0]): ReturnType<Control['addAuthority']> {
    this.calls.push(['addAuthority', input])
    if (input.peer === 'nobody') throw new KithError('peer-unknown', 'No member is called "nobody"')
    const request = input.request ? 'kith-root-request:abc' : null
    const state = input.request ? 'request' : input.peer === 'phone' ? 'waiting' : 'done'
    return { act: 'add', id: PEER_IDS[0]!, name: input.peer, state, request }
  }

  async retireAuthority(
    input: Parameters<Control['retireAuthority']>[0],
  ): ReturnType<Control['retireAuthority']> {
    this.calls.push(['retireAuthority', input])
    const request = input.request ? 'kith-root-request:abc' : null
    const state = input.request ? 'request' : 'done'
    return { act: 'retire', id: PEER_IDS[0]!, name: input.peer, state, request }
  }

  async signedAct(input: Parameters<Control['signedAct']>[0]): ReturnType<Control['signedAct']> {
    this.calls.push(['signedAct', input])
    return { act: 'add', id: PEER_IDS[0]!, name: 'attic', state: 'done', request: null }
  }

  async invite(input: Parameters<Control['invite']>[0]): ReturnType<Control['invite']> {
    this.calls.push(['invite', input])
    const invite = `kith://join/${'q4yT9sJ0aBcDeFgHiJkLmNoPqRsTuVwXyZ'.repeat(4)}`
    return { invite, expires: Date.now() + input.ttlMs, uses: input.uses, reach: 'lan' }
  }

  async ping(peer: string, seq: number): ReturnType<Control['ping']> {
    this.calls.push(['ping', seq])
    const found = this.peersNow.find((one) => one.name === peer || one.id === peer)
    if (!found) throw new KithError('peer-unknown', `No peer is called ${peer}.`)
    return {
      seq,
      peer: found.id,
      name: found.name,
      rttMs: 3.2,
      path: 'direct',
      via: null,
      viaName: null,
      notDirect: null,
      error: null,
    }
  }

  async why(subject: string): ReturnType<Control['why']> {
    if (subject === 'ghost') throw new KithError('subject-unknown', 'Nothing is called ghost.')
    const reasons = [{ code: 'ok', text: 'attic answered in 41.7 ms', fix: '' }]
    const notDirect = {
      code: 'port-unknown',
      text: 'Both sides sit behind a NAT that changes ports.',
      fix: 'Forward TCP 4701 on one router.',
    }
    const ways = {
      via: PEER_IDS[0]!,
      viaName: 'attic',
      path: { code: 'path-relay-up', text: 'A relay carries the data.', fix: '' },
      since: Date.now() - 60_000,
      notDirect,
      tried: [
        {
          way: 'local' as const,
          endpoint: '[fd00::7]:4701',
          outcome: 'refused' as const,
          at: Date.now() - 62_000,
          tookMs: 0,
          reason: {
            code: 'address-not-public',
            text: 'An address that leads nowhere on the internet was not dialled.',
            fix: 'None needed.',
          },
        },
        {
          way: 'punch' as const,
          endpoint: null,
          outcome: 'failed' as const,
          at: Date.now() - 61_000,
          tookMs: 8004,
          reason: {
            code: 'punch-timeout',
            text: 'Both nodes dialled at once, and neither got through in time.',
            fix: 'Forward the mesh port on either router, or switch on UPnP or NAT-PMP there.',
          },
        },
      ],
      relays: [PEER_IDS[0]!],
    }
    return { subject, verdict: 'reachable', path: 'relay', reasons, ways }
  }

  async netcheck(input: Parameters<Control['netcheck']>[0]): ReturnType<Control['netcheck']> {
    this.calls.push(['netcheck', input])
    return this.netcheckNow
  }

  lookForDirect(peer: string): void {
    this.calls.push(['lookForDirect', peer])
  }

  async events(filter: Parameters<Control['events']>[0]): Promise<LogEvent[]> {
    const { since, before = Infinity, severity = 'info', kind = '', peer, limit = 1000 } = filter
    const levels = ['info', 'notice', 'warning', 'alert']
    const about = this.peersNow.find((one) => one.name === peer || one.id === peer)?.id
    if (peer !== undefined && about === undefined && peer.length < 40)
      throw new KithError('peer-unknown', `No peer is called ${peer}.`)
    const matching = this.log.filter(
      (event) =>
        event.id > (since ?? 0) &&
        event.id < before &&
        levels.indexOf(event.severity) >= levels.indexOf(severity) &&
        event.kind.startsWith(kind) &&
        (peer === undefined || event.peer === (about ?? peer)),
    )
    return since === undefined ? matching.slice(-limit) : matching.slice(0, limit)
  }

  rotate(input: { peer?: string | undefined }): ReturnType<Control['rotate']> {
    this.calls.push(['rotate', input])
    const chosen = this.peersNow.filter(
      ({ id, name }) => input.peer === undefined || [id, name].includes(input.peer),
    )
    if (input.peer !== undefined && chosen.length === 0)
      throw new KithError('peer-unknown', `No peer is called ${input.peer}.`)
    if (input.peer !== undefined && chosen[0]?.epoch === null)
      throw new KithError('no-session', `There is no connection to ${chosen[0].name} now.`)
    const peers = chosen.flatMap(({ id, name, epoch, rotation }) =>
      epoch === null ? [] : [{ id, name, epoch, started: rotation?.state === 'active' }],
    )
    this.peersNow = this.peersNow.map((one) =>
      one.rotation !== null && peers.some(({ id }) => id === one.id)
        ? { ...one, rotation: { ...one.rotation, state: 'handshaking', lastRotAt: Date.now() } }
        : one,
    )
    this.change('peers')
    return { peers }
  }

  onEvent(listener: (event: LogEvent) => void, signal: AbortSignal): void {
    this.eventListeners.add(listener)
    signal.addEventListener('abort', () => this.eventListeners.delete(listener))
  }

  onChange(listener: (topic: ChangeTopic) => void, signal: AbortSignal): void {
    this.changeListeners.add(listener)
    signal.addEventListener('abort', () => this.changeListeners.delete(listener))
  }

  emit(event: EventInput): void {
    const entry: LogEvent = {
      id: this.log.length + 1,
      at: Date.now() - Math.max(0, 6 - this.log.length) * 61_000,
      kind: event.kind,
      severity: event.severity,
      peer: event.peer ?? null,
      reason: event.reason ?? null,
      text: event.text ?? '',
      fields: { ...event.fields },
    }
    this.log.push(entry)
    for (const listener of this.eventListeners) listener(entry)
  }

  config(): ReturnType<Control['config']> {
    return [{ key: 'ui.port', value: 4780, source: 'default' }]
  }

  async bugreport(input: { names: boolean }): ReturnType<Control['bugreport']> {
    return {
      format: 'kith-bugreport',
      version: 1,
      createdAt: 0,
      redacted: !input.names,
      kith: '0.0.0',
      node: process.version,
      platform: { os: 'linux', release: '6', arch: 'x64' },
      config: [],
      status: this.status(),
      peers: [],
      events: [],
      health: {},
      membership: null,
    }
  }

  async forward(input: { name: string; port: number }, signal: AbortSignal): ReturnType<Control['forward']> {
    if (!this.servicesNow.some((one) => one.name === input.name)) {
      throw new KithError('service-unknown', `No service is called ${input.name}.`)
    }
    this.openForwards.add(input.name)
    signal.addEventListener('abort', () => this.openForwards.delete(input.name))
    return { id: 'f1', name: input.name, address: '127.0.0.1', port: input.port || 50_123 }
  }

  loginLink(): ReturnType<Control['loginLink']> {
    return { ...this.mintLink(), sshHint: null }
  }

  /** Tells all listeners that a topic changed. */
  change(topic: ChangeTopic): void {
    for (const listener of this.changeListeners) listener(topic)
  }
}

/** A node that has no mesh yet. */
export function setupStatus(): Status {
  const warnings: Status['warnings'] = []
  return {
    ...meshStatus(),
    mesh: null,
    state: 'setup',
    roles: [],
    warnings,
    peers: { known: 0, alive: 0, suspect: 0, dead: 0 },
  }
}

function meshStatus(): Status {
  return {
    node: { id: '12D3KooWSelfdQ3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8', name: 'study' },
    mesh: { id: '7f'.repeat(32), name: 'home', domain: 'home.internal' },
    state: 'up',
    roles: ['relay', 'dns', 'admin'],
    listen: ['/ip4/192.168.1.20/tcp/4701', '/ip6/fd00::20/tcp/4701'],
    peers: { known: 4, alive: 2, suspect: 1, dead: 1 },
    uptimeMs: 93_784_000,
    rssBytes: 96_468_992,
    version: '0.1.0',
    ui: { url: 'http://7f3a91c2.localhost:4780/' },
    dns: { port: 4753 },
    gateway: { port: 4743 },
    door: false,
    warnings: [
      {
        code: 'single-admin',
        severity: 'warning',
        text: 'Only this node can admit members. If it is lost, nobody new can join.',
        fix: 'kith authority add attic',
      },
      {
        code: 'root-not-exported',
        severity: 'notice',
        text: 'The root key of the mesh still lies on this machine.',
        fix: 'kith root export',
      },
    ],
  }
}

function meshPeers(now: number): Peer[] {
  const base = {
    roles: ['relay' as const],
    tags: ['web'],
    via: null,
    epoch: 12,
    rotatedAt: now - 340_000,
    keyAgeMs: 340_000,
    rotation: { state: 'active' as const, lastRotAt: now - 340_010, lastAckAt: now - 340_000, failures: 0 },
    lastSeen: now - 2000,
    certificate: null,
  }
  return [
    {
      ...base,
      id: PEER_IDS[0]!,
      name: 'attic',
      state: 'alive',
      path: 'direct',
      rttMs: 1.4,
      rxBytes: 4.2e9,
      txBytes: 9.1e8,
    },
    {
      ...base,
      id: PEER_IDS[1]!,
      name: 'laptop',
      state: 'alive',
      roles: [],
      tags: [],
      path: 'relay',
      via: PEER_IDS[0]!,
      rttMs: 41.7,
      rxBytes: 2.3e7,
      txBytes: 8.8e6,
    },
    {
      ...base,
      id: PEER_IDS[2]!,
      name: 'backup-box',
      state: 'suspect',
      path: 'direct',
      rttMs: 212,
      rotation: { state: 'failed', lastRotAt: now - 50_000, lastAckAt: now - 940_000, failures: 3 },
      rxBytes: 5.5e5,
      txBytes: 1.1e6,
      lastSeen: now - 19_000,
      certificate: null,
    },
    {
      ...base,
      id: PEER_IDS[3]!,
      name: '<img src=x onerror=alert(1)>',
      state: 'dead',
      roles: [],
      tags: [],
      path: 'none',
      rttMs: null,
      epoch: null,
      rotatedAt: null,
      keyAgeMs: null,
      rotation: null,
      rxBytes: 0,
      txBytes: 0,
      lastSeen: now - 86_400_000,
      certificate: null,
    },
  ]
}

function meshServices(): Service[] {
  return [
    {
      ...serviceOf('wiki', '3000', ['members']),
      local: false,
      target: null,
      providers: [
        { peer: PEER_IDS[0]!, name: 'attic', healthy: true, rttMs: 1.4 },
        { peer: PEER_IDS[2]!, name: 'backup-box', healthy: false, rttMs: 212 },
      ],
    },
    { ...serviceOf('photos', '/srv/photos', ['tag:family', 'peer:laptop']) },
    {
      ...serviceOf('postgres', '127.0.0.1:5432', ['tag:web']),
      proto: 'tcp',
      url: 'tcp://postgres.home.internal:5432',
      localUrl: null,
      port: 5432,
    },
  ]
}

function serviceOf(name: string, target: string, allowed: string[]): Service {
  return {
    name,
    fqdn: `${name}.home.internal`,
    proto: 'http',
    providers: [
      {
        peer: '12D3KooWSelfdQ3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
        name: 'study',
        healthy: true,
        rttMs: 0,
      },
    ],
    address: '127.64.0.7',
    port: 4743,
    url: `http://${name}.home.internal:4743`,
    localUrl: `http://${name}.7f3a91c2.localhost:4743`,
    allowed,
    local: true,
    target,
  }
}

function meshMembers(): MemberRow[] {
  const row: MemberRow = {
    id: PEER_IDS[0]!,
    name: 'attic',
    roles: ['relay'],
    tags: ['web'],
    state: 'alive',
    self: false,
    certificate: { serial: '00', issuer: PEER_IDS[0]!, expires: Date.now() + 10.5 * 86_400_000 },
    authority: { roles: ['admit', 'revoke'], expires: Date.now() + 100 * 86_400_000 },
    revoked: null,
    pendingSince: null,
  }
  const none = { roles: [], tags: [], authority: null }
  return [
    row,
    { ...row, roles: [], tags: [], id: PEER_IDS[1]!, name: 'here', self: true },
    { ...row, ...none, id: PEER_IDS[2]!, name: 'phone' },
    {
      ...row,
      ...none,
      id: PEER_IDS[3]!,
      name: 'guest',
      state: 'pending',
      certificate: null,
      pendingSince: Date.now() - 65_000,
    },
  ]
}

/** Behind a port-restricted NAT that stands behind another one, with one relay held and another known. */
function behindNat(): NetcheckReport {
  return {
    nat: {
      kind: 'port-restricted',
      mapping: 'endpoint-independent',
      filtering: 'address-and-port-dependent',
      keepsPort: true,
      hairpins: null,
      unknown: [
        {
          part: 'hairpins',
          code: 'nat-not-probed',
          text: 'Nobody has tried yet.',
          fix: 'Nothing to do: it is asked again when another member can be dialled.',
        },
      ],
      hints: [
        {
          code: 'nat-double',
          text: 'The router in front of this node stands behind another NAT itself.',
          fix: 'Put one of the two routers into bridge mode, or forward the mesh port on both.',
        },
      ],
    },
    ipv6: '2003:e8:9f0b::7',
    dialable: false,
    views: [
      { peer: PEER_IDS[0]!, name: 'attic', asked: '52.0.0.9:4701', seen: '52.0.0.7:40001' },
      { peer: PEER_IDS[2]!, name: 'backup-box', asked: '52.0.1.9:4701', seen: '52.0.0.7:40001' },
    ],
    silent: [{ peer: PEER_IDS[1]!, name: 'laptop', text: 'No answer came in time.' }],
    portMapping: {
      method: null,
      outside: null,
      expires: null,
      reason: {
        code: 'mapping-no-router',
        text: 'No router answered to PCP, NAT-PMP or UPnP.',
        fix: 'Switch one of them on in the router, or forward the mesh port there.',
      },
    },
    needsRelays: true,
    relays: [
      { peer: PEER_IDS[0]!, name: 'attic', rttMs: 12.5, held: true },
      { peer: PEER_IDS[2]!, name: 'backup-box', rttMs: null, held: false },
    ],
    carries: { reservations: 0, circuits: 2, bytesPerSecond: 1_250_000, bytes: 4.2e9 },
    measuredAt: Date.now() - 65_000,
  }
}
