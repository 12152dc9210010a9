import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { createDashboard } from '../../../node/http/dashboard.ts'
import type { Dashboard } from '../../../node/http/dashboard.ts'
import type { AccessRole } from '../../../node/api/schemas.ts'
import type { Store } from '../../../protocols/common/ports.ts'
import { FakeControl } from './fake-control.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

/** The label of every dashboard in tests. */
export const LABEL = '7f3a91c2'

/** A store in memory that keeps the order of keys. */
export class MemoryStore implements Store {
  readonly map = new Map<string, Uint8Array>()
  async get(key: string): Promise<Uint8Array | undefined> {
    return this.map.get(key)
  }
  async put(key: string, value: Uint8Array): Promise<void> {
    this.map.set(key, value)
  }
  async delete(key: string): Promise<void> {
    this.map.delete(key)
  }
  async *entries(prefix: string): AsyncGenerator<[string, Uint8Array]> {
    for (const key of [...this.map.keys()].sort()) if (key.startsWith(prefix)) yield [key, this.map.get(key)!]
  }
}

/** A running dashboard with everything a test wants to turn or look at. */
export interface Fixture {
  readonly dashboard: Dashboard
  readonly control: FakeControl
  readonly store: MemoryStore
  readonly clock: { time: number; now(): number }
  readonly errors: unknown[]
  readonly port: number
  readonly host: string
  readonly origin: string
  readonly directory: string
  readonly socketPath: string
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a dashboard on a free port and a unix socket in a temporary directory. */
export async function start(
  options: { assetsDir?: string; store?: MemoryStore; time?: number } = {},
): Promise<Fixture> {
  const directory = temporaryFolder()
  const control = new FakeControl()
  const store = options.store ?? new MemoryStore()
  const errors: unknown[] = []
  const clock = { time: options.time ?? Date.now(), now: () => clock.time }
  const dashboard = createDashboard({
    control,
    store,
    clock,
    random: { bytes: (length) => randomBytes(length) },
    host: LABEL,
    assetsDir: options.assetsDir ?? join(directory, 'no-ui'),
    emit: (event) => control.emit(event),
    logError: (error) => errors.push(error),
    reasons: { 'name-reserved': { summary: 'The name is kept for Kith itself.', fix: 'Take another name.' } },
  })
  control.mintLink = () => dashboard.mintLoginLink()
  const socketPath = join(directory, 'kith.sock')
  const { port } = await dashboard.listenTcp(0)
  await dashboard.listenSocket(socketPath)
  const host = `${LABEL}.localhost:${port}`
  return {
    dashboard,
    control,
    store,
    clock,
    errors,
    port,
    host,
    directory,
    socketPath,
    origin: `http://${host}`,
    async [Symbol.asyncDispose]() {
      await dashboard.close()
    },
  }
}

/** One request and its whole answer. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  json(): unknown
}

/** How a request is sent. Headers win over the defaults; an undefined one is left out. */
export interface Call {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string | string[] | undefined>
  readonly body?: string | Buffer
  readonly socket?: boolean
}

/** Sends a request to the TCP listener (Host set as a browser would), or to the unix socket, and waits for all of it. */
export async function send(fixture: Fixture, call: Call): Promise<Reply> {
  const response = await open(fixture, call)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    json: () => JSON.parse(text) as unknown,
  }
}

/** The same, but returns when the head of the answer is there. */
export function open(fixture: Fixture, call: Call): Promise<IncomingMessage> {
  const headers: Record<string, string | string[]> = {}
  const wanted = { ...(call.socket ? { Host: 'localhost' } : { Host: fixture.host }), ...call.headers }
  for (const [name, value] of Object.entries(wanted)) if (value !== undefined) headers[name] = value
  return new Promise((resolve, reject) => {
    const outgoing = request({
      ...(call.socket ? { socketPath: fixture.socketPath } : { host: '127.0.0.1', port: fixture.port }),
      method: call.method ?? 'GET',
      path: call.path ?? '/',
      headers,
      setHost: false,
      agent: false,
    })
    outgoing.once('response', resolve)
    outgoing.once('error', reject)
    outgoing.end(call.body)
  })
}

/** A logged-in tab: headers that carry its cookie, its write token and what a browser adds to its own requests. */
export async function login(fixture: Fixture, role: AccessRole = 'admin'): Promise<Record<string, string>> {
  const url = new URL(fixture.dashboard.mintLoginLink(60_000, role).url)
  const reply = await send(fixture, { path: url.pathname + url.search })
  const cookie = reply.headers['set-cookie']?.[0]?.split(';')[0] ?? ''
  const token = /#token=(.+)$/.exec(reply.headers.location ?? '')?.[1] ?? ''
  return { Cookie: cookie, 'X-Kith-Token': token, Origin: fixture.origin, 'Sec-Fetch-Site': 'same-origin' }
}

/** Waits until `condition` holds; a condition that never comes fails the test by its timeout. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
