import { Agent, request } from 'node:http'
import type { Duplex } from 'node:stream'
import type { EmitEvent, Timers } from '../../protocols/common/ports.ts'
import type { Publication } from './publications.ts'

/** Between two checks of a service: what a person looking at a list of services accepts as "now". */
export const HEALTH_INTERVAL_MS = 10_000
/** An HTTP check that answers later counts as failed. */
const HTTP_ANSWER_TIMEOUT_MS = 5000
/** Failures in a row that make a healthy service unhealthy: one lost packet is no outage. */
const FAILURES_TO_UNHEALTHY = 2

/** How a service is checked: a connection, an HTTP answer below 500 to a path, or not at all. */
export type HealthSpec = { readonly kind: 'tcp' | 'none' } | { readonly kind: 'http'; readonly path: string }

/** Reads `tcp`, `none` or `http:/path`; the schema has checked the form. */
export function parseHealthSpec(text: string): HealthSpec {
  if (text === 'none' || text === 'tcp') return { kind: text }
  return { kind: 'http', path: text.slice('http:'.length) }
}

/** The owner's view of its services. */
export interface HealthChecks {
  /** True until a check has failed; services without checks always are. */
  isHealthy(name: string): boolean
  /** Checks all services now, new ones for the first time. */
  checkAll(): Promise<void>
  stop(): void
}

/** What the checks need. */
export interface HealthInit {
  readonly publications: () => readonly Publication[]
  /** Connects to a target. @throws TunnelError */
  readonly connect: (publication: Publication) => Promise<Duplex>
  readonly timers: Timers
  readonly emit: EmitEvent
  /** A service became healthy or unhealthy: time to announce it. */
  readonly changed: () => void
}

/** Checks what this node publishes, from the start and then every ten seconds. */
export function startHealthChecks(init: HealthInit): HealthChecks {
  /** Failures in a row, by service. */
  const failures = new Map<string, number>()
  const unhealthy = new Set<string>()

  const settle = (name: string, error: Error | undefined): boolean => {
    const isFirst = !failures.has(name)
    const count = error === undefined ? 0 : (failures.get(name) ?? 0) + 1
    failures.set(name, count)
    const wasHealthy = !unhealthy.has(name)
    const isHealthy = count === 0 || (wasHealthy && !isFirst && count < FAILURES_TO_UNHEALTHY)
    if (isHealthy === wasHealthy) return false
    if (isHealthy) unhealthy.delete(name)
    else unhealthy.add(name)
    const reason = (error as { code?: string } | undefined)?.code
    init.emit({
      kind: isHealthy ? 'service.healthy' : 'service.unhealthy',
      severity: isHealthy ? 'info' : 'notice',
      ...(reason === undefined ? {} : { reason }),
      ...(error === undefined ? {} : { text: error.message }),
      fields: { service: name },
    })
    return true
  }
  const checkAll = async (): Promise<void> => {
    const published = init.publications()
    const names = new Set(published.map(({ name }) => name))
    for (const name of failures.keys()) {
      if (names.has(name)) continue
      failures.delete(name)
      unhealthy.delete(name)
    }
    const changes = await Promise.all(
      published.map(async (publication) =>
        settle(publication.name, await failureOf(publication, init.connect)),
      ),
    )
    if (changes.includes(true)) init.changed()
  }
  let checking = Promise.resolve()
  const check = (): Promise<void> => (checking = checking.then(checkAll))
  const stop = init.timers.every(HEALTH_INTERVAL_MS, () => void check())
  void check()
  return { isHealthy: (name) => !unhealthy.has(name), checkAll: check, stop }
}

async function failureOf(
  publication: Publication,
  connect: HealthInit['connect'],
): Promise<Error | undefined> {
  const spec = parseHealthSpec(publication.health)
  if (spec.kind === 'none') return undefined
  try {
    const stream = await connect(publication)
    if (spec.kind === 'http') await askOverHttp(stream, spec.path)
    else stream.destroy()
    return undefined
  } catch (error) {
    return error as Error
  }
}

async function askOverHttp(stream: Duplex, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const agent = new Agent({ keepAlive: false })
  agent.createConnection = () => stream
  const signal = AbortSignal.timeout(HTTP_ANSWER_TIMEOUT_MS)
  const asked = request({
    agent,
    path,
    method: 'GET',
    headers: { host: 'localhost', 'user-agent': 'kith-health' },
    signal,
  })
  asked.on('response', (answer) => {
    answer.resume()
    resolve(answer.statusCode ?? 0)
  })
  asked.on('error', reject)
  asked.end()
  try {
    const status = await promise
    if (status >= 500) throw new Error(`GET ${path} was answered ${status}`)
  } finally {
    asked.destroy()
    stream.destroy()
  }
}
