import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type Koa from 'koa'
import { COMMON_REASONS } from '../../protocols/common/errors.ts'
import type { ReasonTable } from '../../protocols/common/errors.ts'
import type { Clock, EmitEvent, Random, Store } from '../../protocols/common/ports.ts'
import type { Control } from '../api/control.ts'
import type { AccessRole } from '../api/schemas.ts'
import { browserApp, socketApp } from './app.ts'
import { readAssets } from './assets.ts'
import type { Assets } from './assets.ts'
import { Denials } from './denials.ts'
import { HTTP_REASONS, HttpError } from './errors.ts'
import { siteOf } from './guard.ts'
import type { Site } from './guard.ts'
import { CONNECTIONS_MAX, LOGIN_LINK_TTL_MS } from './limits.ts'
import { closed, listenLoopback, listenUnix } from './listen.ts'
import { Live } from './live.ts'
import { LoginLinks } from './login-links.ts'
import { Sessions } from './sessions.ts'

/** How often sessions whose time is up are ended although nobody asks; well below the idle time. */
const SWEEP_INTERVAL_MS = 30_000

/** What a dashboard is made of. */
export interface DashboardParts {
  readonly control: Control
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  /** 8 hexadecimal digits; the dashboard lives at `http://<host>.localhost:PORT`, a name nobody can guess. */
  readonly host: string
  /** Where `vite build ui` wrote to. */
  readonly assetsDir: string
  readonly emit: EmitEvent
  /** Called for our own mistakes, which clients are told nothing about. */
  readonly logError: (error: unknown) => void
  /** All reason tables of the node in one, for the `fix` of an error; the HTTP layer's own are always known. */
  readonly reasons?: ReasonTable
}

/** The HTTP layer of a node. */
export interface Dashboard {
  /** Opens the dashboard on loopback; port 0 takes a free one. @throws ListenError `port-in-use`. */
  listenTcp(port: number): Promise<{ port: number; url: string }>
  /** Opens the unix socket of the CLI. @throws HttpError `socket-in-use`, `socket-path-too-long`. */
  listenSocket(path: string): Promise<void>
  /** A one-time login link; the role is `admin` unless given. @throws HttpError `ui-off` before `listenTcp`. */
  mintLoginLink(ttlMs?: number, role?: AccessRole): { url: string; expires: number }
  /** Closes listeners, streams and sockets; resolves when all are gone. */
  close(): Promise<void>
}

/** Builds the HTTP layer; nothing listens yet. */
export function createDashboard(parts: DashboardParts): Dashboard {
  if (!/^[0-9a-f]{8}$/.test(parts.host)) throw new Error(`dashboard host is not 8 hex digits: ${parts.host}`)
  const { control, clock, random, store, logError } = parts
  const closing = new AbortController()
  const reasons: ReasonTable = { ...COMMON_REASONS, ...parts.reasons, ...HTTP_REASONS }
  const sessions = new Sessions({ store, clock, random, onError: logError })
  const links = new LoginLinks(clock, random)
  const denials = new Denials(parts.emit)
  let current: Site | undefined
  let assets: Assets | undefined
  const site = (): Site => {
    if (!current) throw new HttpError('ui-off')
    return current
  }
  const shared = { control, sessions, reasons, closing: closing.signal, logError }
  const servers: Server[] = []
  const sweeper = setInterval(() => sessions.sweep(), SWEEP_INTERVAL_MS)
  sweeper.unref()

  const add = (app: Koa): Server => {
    const handle = app.callback()
    const server = createServer((request, response) => {
      handle(request, response).catch(logError)
    })
    server.maxConnections = CONNECTIONS_MAX
    server.on('drop', () =>
      parts.emit({
        kind: 'dashboard.full',
        severity: 'warning',
        reason: 'live-full',
        text: `The dashboard has ${CONNECTIONS_MAX} connections open on one address and closed one more.`,
      }),
    )
    servers.push(server)
    return server
  }

  return {
    async listenTcp(port) {
      await sessions.load()
      assets = await readAssets(parts.assetsDir)
      const app = browserApp({ ...shared, site, links, denials, assets: () => assets })
      const live = new Live({ control, sessions, denials, reasons, site, logError }, closing.signal)
      const pair = [add(app), add(app)] as const
      const bound = await listenLoopback(pair[0], pair[1], port)
      for (const server of pair) server.on('upgrade', live.upgrade)
      current = siteOf(parts.host, bound)
      return { port: bound, url: `${current.origin}/` }
    },
    async listenSocket(path) {
      await listenUnix(add(socketApp(shared)), path)
    },
    mintLoginLink(ttlMs = LOGIN_LINK_TTL_MS, role = 'admin') {
      const { origin } = site()
      const { code, expires } = links.mint(ttlMs, role)
      return { url: `${origin}/login?code=${code}`, expires }
    },
    async close() {
      clearInterval(sweeper)
      closing.abort()
      await Promise.all(servers.map((server) => closed(server)))
    },
  }
}
