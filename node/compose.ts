import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { CERTIFICATE_REASONS } from '../protocols/admission/errors.ts'
import { meshIdOfInvite } from '../protocols/admission/peer-invite.ts'
import { id8Of } from '../protocols/admission/root.ts'
import { compareBytes, toHex } from '../protocols/common/bytes.ts'
import { KithError } from '../protocols/common/errors.ts'
import { peerIdFromKey } from '../protocols/common/peer-id.ts'
import type { EmitEvent, EventInput } from '../protocols/common/ports.ts'
import { ed25519Signer } from '../protocols/common/signing.ts'
import type { LoginLink } from './api/schemas.ts'
import { startMesh, type RunningMesh } from './compose-mesh.ts'
import type { LoadedConfig } from './config/load.ts'
import { createControl, nameOfHost } from './control.ts'
import { NodeError } from './errors.ts'
import { createDashboard, type Dashboard } from './http/dashboard.ts'
import { FIRST_LOGIN_LINK_TTL_MS } from './http/limits.ts'
import { openEventLog, type EventLog } from './log/event-log.ts'
import { createLogger, type Logger } from './log/logger.ts'
import { withQuota } from './log/quota.ts'
import { SecurityLog } from './log/security-log.ts'
import { X509_ROOT_KEY_FILE } from './authority/root-key-file.ts'
import { foundMesh, ROOT_KEY_FILE, type SecretStore } from './membership/founding.ts'
import { joinMesh } from './membership/joiner.ts'
import { findNearbyDoors } from './membership/nearby-doors.ts'
import { forgetMesh, loadMesh, saveMesh, type StoredMesh } from './membership/mesh-store.ts'
import { ALL_REASONS } from './reasons.ts'
import { readFileIfPresent } from './storage/atomic-file.ts'
import { loadKeyFile } from './storage/identity.ts'
import { memoryStore } from './storage/memory-store.ts'
import { randomLabel } from './storage/random-label.ts'
import { secretFiles } from './storage/secret-files.ts'
import { openStore, type NodeStore } from './storage/store.ts'
import { systemClock, systemRandom, systemTimers } from './system-ports.ts'
import { dialExchange } from './transport/join-dial.ts'

/** The founder's X.509 keys, beside the root key. */
const X509_AUTHORITY_KEY_FILE = 'x509-authority.key'
/** Random labels of the dashboard's and the services' host names; kept, so that bookmarks stay good. */
const UI_LABEL_KEY = 'label/ui'
const SERVICES_LABEL_KEY = 'label/services'
const LINK_TTL_MS = 60_000

/** How a node is started. */
export interface NodeOptions {
  readonly data: string
  readonly loaded: LoadedConfig
  readonly isTerminal: boolean
  /** Found this mesh; a node already in it goes on. */
  readonly create?: string
  /** Join by this invite; a node already in that mesh goes on. */
  readonly join?: string
  /** Found this mesh when in none and nothing else is asked. */
  readonly createIfNone?: string
  /** Ends a start that waits: for somebody to approve a join. */
  readonly signal?: AbortSignal
}

/** What is known once the node is ready; `up --json` prints it. */
export interface Ready {
  readonly ready: true
  readonly node: { readonly id: string; readonly name: string }
  readonly mesh: { readonly id: string; readonly name: string; readonly domain: string } | null
  readonly listen: readonly string[]
  readonly ui: LoginLink | null
  readonly dns: { readonly port: number } | null
  readonly gateway: { readonly port: number; readonly label: string } | null
}

/** A running node. */
export interface RunningNode {
  ready(): Ready
  stop(): Promise<void>
}

/**
 * Starts a node: data directory, log, mesh (if it is in one), dashboard and command socket, in this order, so that whatever
 * is refused is refused before anything is promised.
 * @throws KithError with the reason; everything opened before is closed again.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  if (process.env['DUMP_SESSION_KEYS'] !== undefined) {
    throw new NodeError(
      'session-keys-dumped',
      'DUMP_SESSION_KEYS is set: libraries would write session keys to a file',
    )
  }
  const { config } = options.loaded
  const logger = createLogger(config.log, options.isTerminal)
  const store = await openStore(options.data)
  const node = new Node(options, store, logger)
  try {
    await node.start()
  } catch (error) {
    await node.stop()
    throw error
  }
  return node
}

class Node implements RunningNode {
  readonly #options: NodeOptions
  readonly #store: NodeStore
  readonly #logger: Logger
  readonly #startedAt = systemClock.now()
  readonly #secrets: SecretStore
  readonly #security: SecurityLog
  #events: EventLog | undefined
  #seed: Uint8Array = new Uint8Array(0)
  #id = ''
  #name = ''
  #label = ''
  #mesh: RunningMesh | undefined
  /** Why the mesh on the disk cannot be entered any more: then only joining it anew helps. */
  #lapsed: KithError | undefined
  readonly #stopping = new AbortController()
  #isJoining = false
  /** Why the join under way waits for a person. */
  #waiting: string | undefined
  #dashboard: Dashboard | undefined
  #uiUrl: string | null = null
  #firstLink: LoginLink | null = null
  /** Founding, joining and stopping, one after another. */
  #changes: Promise<unknown> = Promise.resolve()

  constructor(options: NodeOptions, store: NodeStore, logger: Logger) {
    this.#options = options
    this.#store = store
    this.#logger = logger
    this.#secrets = secretFiles(options.data)
    this.#security = new SecurityLog({
      directory: join(options.data, 'logs'),
      clock: systemClock,
      pid: process.pid,
      onError: (error) => logger.error({ error: String(error) }, 'security-log.write-failed'),
    })
  }

  async start(): Promise<void> {
    const { data, loaded, create, join: invite, createIfNone } = this.#options
    this.#events = await openEventLog(this.#store, systemClock, (error) =>
      this.#logger.error({ error: String(error) }, 'log.write-failed'),
    )
    const stored = await loadMesh(this.#store)
    this.#seed = (await loadKeyFile(data, 'identity.key', stored === null)).seed
    this.#id = peerIdFromKey(ed25519Signer(this.#seed).publicKey)
    this.#name = loaded.config.name ?? nameOfHost()
    this.#label = await randomLabel(this.#store, systemRandom, SERVICES_LABEL_KEY)
    if (stored !== null) {
      if (create !== undefined && create !== stored.root.document.name) throw inOtherMesh(stored)
      if (invite !== undefined && !isFor(invite, stored)) throw inOtherMesh(stored)
      await this.#enter(stored, invite)
    } else if (invite !== undefined) await this.#join(invite)
    else if (create !== undefined || createIfNone !== undefined)
      await this.#found(create ?? createIfNone ?? '')
    await this.#startDashboard()
    this.#emit({ kind: 'node.started', severity: 'info', fields: { pid: process.pid } })
  }

  ready(): Ready {
    const mesh = this.#mesh
    const document = mesh?.mesh.root.document
    const { dnsPort = null, gatewayPort = null } = mesh?.services ?? {}
    return {
      ready: true,
      node: { id: this.#id, name: mesh?.self.name ?? this.#name },
      mesh:
        mesh === undefined || document === undefined
          ? null
          : { id: toHex(mesh.mesh.root.meshId), name: document.name, domain: document.domain },
      listen: mesh?.listen() ?? [],
      ui: this.#firstLink,
      dns: dnsPort === null ? null : { port: dnsPort },
      gateway: gatewayPort === null ? null : { port: gatewayPort, label: this.#label },
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the node is stopping'))
    await this.#serialise(async () => {
      await this.#dashboard?.close()
      await this.#mesh?.stop()
      this.#mesh = undefined
      if (this.#dashboard !== undefined) this.#emit({ kind: 'node.stopped', severity: 'info' })
      await this.#events?.flush()
      await this.#store.close()
    })
  }

  readonly #emit: EmitEvent = withQuota(
    (event) => this.#record(event),
    systemClock,
    (event) => this.#security.record(event),
  )

  #record(event: EventInput): void {
    this.#events?.append(event)
    const fields = {
      ...event.fields,
      ...(event.peer === undefined ? {} : { peer: event.peer }),
      ...(event.reason === undefined ? {} : { reason: event.reason }),
      ...(event.text === undefined ? {} : { text: event.text }),
    }
    const level = event.severity === 'alert' ? 'error' : event.severity === 'warning' ? 'warn' : 'info'
    this.#logger[level](fields, event.kind)
  }

  /** Goes on in the mesh this node is a member of; a certificate nobody renewed in time, or one that was revoked, leaves it in setup, with the reason. */
  async #enter(mesh: StoredMesh, invite: string | undefined): Promise<void> {
    try {
      await this.#startMesh(mesh)
    } catch (error) {
      if (!(error instanceof KithError) || !Object.hasOwn(CERTIFICATE_REASONS, error.code)) throw error
      if (invite !== undefined) return this.#join(invite)
      this.#lapsed = error
      this.#emit({ kind: 'certificate.lapsed', severity: 'alert', reason: error.code, text: error.message })
    }
  }

  async #startMesh(mesh: StoredMesh): Promise<void> {
    this.#mesh = await startMesh({
      mesh,
      seed: this.#seed,
      signer: ed25519Signer(this.#seed),
      store: this.#store,
      config: this.#options.loaded.config,
      localLabel: this.#label,
      emit: this.#emit,
      authorityChanged: () => void this.#serialise(() => this.#restartMesh()),
    })
    this.#lapsed = undefined
  }

  /** Takes up what changed about this node's authority. Members dial again within a second. */
  async #restartMesh(): Promise<void> {
    if (this.#stopping.signal.aborted || this.#mesh === undefined) return
    await this.#mesh.stop()
    this.#mesh = undefined
    try {
      const stored = await loadMesh(this.#store)
      if (stored !== null) await this.#startMesh(stored)
    } catch (error) {
      const { message } = error as Error
      const reason = error instanceof KithError ? { reason: error.code } : {}
      this.#emit({ kind: 'mesh.restart-failed', severity: 'alert', text: message, ...reason })
    }
  }

  /** @throws NodeError `already-in-mesh`. */
  async #found(name: string): Promise<void> {
    const held = this.#mesh?.mesh ?? (await loadMesh(this.#store))
    if (held !== null) throw inOtherMesh(held)
    const mesh = await foundMesh({
      name,
      nodeName: this.#name,
      signer: ed25519Signer(this.#seed),
      makeX509: (wanted) => this.#makeX509(wanted),
      secrets: this.#secrets,
      store: this.#store,
      clock: systemClock,
      random: systemRandom,
    })
    await this.#startMesh(mesh)
    this.#emit({
      kind: 'mesh.founded',
      severity: 'notice',
      fields: { mesh: name, domain: mesh.root.document.domain },
    })
  }

  async #makeX509({
    name,
    domain,
    now,
  }: {
    name: string
    domain: string
    now: number
  }): Promise<{ root: Uint8Array; intermediate: Uint8Array }> {
    const { createX509Founding } = await import('./authority/x509-root.ts') // 100 ms of loading that only a founder pays
    const { root, intermediate } = await createX509Founding(name, domain, now)
    const encoder = new TextEncoder()
    await this.#secrets.write(X509_ROOT_KEY_FILE, encoder.encode(root.privateKeyPem))
    await this.#secrets.write(X509_AUTHORITY_KEY_FILE, encoder.encode(intermediate.privateKeyPem))
    return { root: root.certificateDer, intermediate: intermediate.certificateDer }
  }

  /**
   * Joins by an invite. A mesh of one in which nothing is published is left for it; its keys are kept under another name.
   * @throws NodeError `already-in-mesh`, and the join's own errors, after which the node is where it was.
   */
  async #join(invite: string): Promise<void> {
    const before = this.#mesh
    if (before !== undefined && !isDisposable(before)) throw inOtherMesh(before.mesh)
    const held = before === undefined ? await loadMesh(this.#store) : null
    if (held !== null && !isFor(invite, held)) throw inOtherMesh(held)
    this.#isJoining = true
    // A node that waits for approval before anything listens has nothing else that keeps its process alive.
    const alive = setInterval(() => undefined, 60_000)
    try {
      const arrivals = new Map<string, Uint8Array>() // only a whole join may replace what is on the disk
      const { mesh, clockOffsetMs } = await joinMesh({
        invite,
        signer: ed25519Signer(this.#seed),
        name: this.#name,
        signal: AbortSignal.any([
          this.#stopping.signal,
          ...(this.#options.signal === undefined ? [] : [this.#options.signal]),
        ]),
        waiting: (text) => {
          this.#waiting = text
          this.#emit({ kind: 'join.waiting', severity: 'notice', reason: 'join-pending', text })
        },
        store: memoryStore(arrivals),
        clock: systemClock,
        random: systemRandom,
        timers: systemTimers,
        ...(this.#options.loaded.config.mdns
          ? {
              nearby: (meshId, peers) =>
                findNearbyDoors({
                  meshId,
                  peers,
                  listen: this.#options.loaded.config.listen,
                  emit: this.#emit,
                  signal: this.#stopping.signal,
                }),
            }
          : {}),
        exchange: (door, request, meshId, signal) =>
          dialExchange(
            multiaddr(door.address),
            { meshId, seed: this.#seed, clock: systemClock, random: systemRandom, emit: this.#emit },
            request,
            signal,
          ),
      })
      if (before !== undefined) await this.#leave(before)
      await saveMesh(this.#store, mesh)
      await this.#startMesh(mesh)
      this.#emit({
        kind: 'mesh.joined',
        severity: 'notice',
        fields: { mesh: mesh.root.document.name, clockOffsetMs },
      })
    } finally {
      clearInterval(alive)
      this.#isJoining = false
      this.#waiting = undefined
    }
  }

  async #leave(mesh: RunningMesh): Promise<void> {
    await mesh.stop()
    this.#mesh = undefined
    await forgetMesh(this.#store)
    const id8 = id8Of(mesh.mesh.root.meshId)
    for (const file of [ROOT_KEY_FILE, X509_ROOT_KEY_FILE, X509_AUTHORITY_KEY_FILE]) {
      const path = join(this.#options.data, file)
      if ((await readFileIfPresent(path)) !== undefined) await rename(path, `${path}.${id8}`)
    }
  }

  async #startDashboard(): Promise<void> {
    const { data, loaded } = this.#options
    const { ui, door } = loaded.config
    const control = createControl({
      nodeId: this.#id,
      nodeName: this.#name,
      startedAt: this.#startedAt,
      localLabel: this.#label,
      events: this.#events as EventLog,
      emit: this.#emit,
      configEntries: loaded.entries,
      mesh: () => this.#mesh,
      isJoining: () => this.#isJoining,
      lapsed: () => this.#lapsed,
      waiting: () => this.#waiting,
      signer: () => ed25519Signer(this.#seed),
      hasRootKey: () => existsSync(join(data, ROOT_KEY_FILE)),
      rootSigner: async () => {
        const seed = await this.#secrets.read(ROOT_KEY_FILE)
        return seed === undefined ? null : ed25519Signer(Uint8Array.from(seed))
      },
      found: (name) => this.#serialise(() => this.#found(name)),
      join: (invite) => this.#serialise(() => this.#join(invite)),
      loginLink: () => this.#loginLink(LINK_TTL_MS),
      uiUrl: () => this.#uiUrl,
    })
    this.#dashboard = createDashboard({
      control,
      store: this.#store,
      clock: systemClock,
      random: systemRandom,
      host: await randomLabel(this.#store, systemRandom, UI_LABEL_KEY),
      assetsDir: join(import.meta.dirname, '..', 'ui', 'dist'),
      emit: this.#emit,
      logError: (error) =>
        this.#logger.error({ error: error instanceof Error ? error.stack : String(error) }, 'internal'),
      reasons: ALL_REASONS,
    })
    await this.#dashboard.listenSocket(join(data, 'kith.sock'))
    if (!ui.enabled || door) return
    const { url } = await this.#dashboard.listenTcp(ui.port)
    this.#uiUrl = url
    this.#firstLink = this.#loginLink(FIRST_LOGIN_LINK_TTL_MS)
  }

  #loginLink(ttlMs: number): LoginLink {
    const dashboard = this.#dashboard as Dashboard
    const { url, expires } = dashboard.mintLoginLink(ttlMs)
    const { port } = new URL(url)
    return { url, expires, sshHint: `ssh -L ${port}:127.0.0.1:${port} ${hostname()}` }
  }

  #serialise<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#changes.then(change)
    this.#changes = done.catch(() => undefined) // the caller has the error; the next change starts all the same
    return done
  }
}

/** Whether the invite leads into the mesh this node already has on its disk. */
function isFor(invite: string, { root }: StoredMesh): boolean {
  return compareBytes(meshIdOfInvite(invite, systemClock.now()), root.meshId) === 0
}

/** A mesh of one in which nothing is published: what `npm start` makes on a machine that then joins another. */
function isDisposable(mesh: RunningMesh): boolean {
  return (
    mesh.membership.members().every((member) => member.self) && mesh.services.publications.list().length === 0
  )
}

function inOtherMesh({ root }: StoredMesh): NodeError {
  return new NodeError(
    'already-in-mesh',
    `This node is in the mesh "${root.document.name}" (${id8Of(root.meshId)})`,
  )
}
