import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import type { EventInput, Timers } from '../../../protocols/common/ports.ts'
import { PublishInputSchema } from '../../../node/api/schemas.ts'
import { startHealthChecks, type HealthChecks } from '../../../node/services/health.ts'
import { createProvider } from '../../../node/services/provider.ts'
import { openPublications } from '../../../node/services/publications.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'

/** Checks happen when the test says so. */
const never: Timers = { every: () => () => undefined, after: () => () => undefined }

async function serverAnswering(status: number): Promise<{ server: Server; port: number }> {
  const server = createServer((_request, response) => void response.writeHead(status).end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

async function checksOf(
  target: string,
  health: string,
): Promise<{
  checks: HealthChecks
  events: EventInput[]
  changes: () => number
  remove: () => Promise<void>
}> {
  const publications = await openPublications(memoryStore(), { now: () => 1 }, () => undefined)
  await publications.add(PublishInputSchema.parse({ name: 'wiki', target, health }))
  const provider = createProvider({
    publications,
    selfId: 'nas',
    timers: never,
    emit: () => undefined,
  })
  const events: EventInput[] = []
  let changes = 0
  const checks = startHealthChecks({
    publications: () => publications.list(),
    connect: (publication) => provider.connectTarget(publication),
    timers: never,
    emit: (event) => events.push(event),
    changed: () => (changes += 1),
  })
  await checks.checkAll()
  return { checks, events, changes: () => changes, remove: () => publications.remove('wiki') }
}

test('a service is healthy while its target takes connections; one failure is forgiven, two are not, one success heals', async (t) => {
  const { server, port } = await serverAnswering(200)
  const { checks, events, changes } = await checksOf(String(port), 'tcp')
  t.true(checks.isHealthy('wiki'))
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  await checks.checkAll()
  t.true(checks.isHealthy('wiki'))
  await checks.checkAll()
  t.false(checks.isHealthy('wiki'))
  t.like(events.at(-1), { kind: 'service.unhealthy', reason: 'target-refused', fields: { service: 'wiki' } })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  await checks.checkAll()
  t.true(checks.isHealthy('wiki'))
  t.is(changes(), 2)
  server.closeAllConnections()
  server.close()
})

test('a service whose very first check fails is unhealthy at once', async (t) => {
  const { checks } = await checksOf('127.0.0.1:1', 'tcp')
  t.false(checks.isHealthy('wiki'))
})

for (const [status, isHealthy] of [
  [200, true],
  [302, true],
  [404, true],
  [500, false],
  [503, false],
] as const) {
  test(`an HTTP check answered ${status} is ${isHealthy ? 'passed' : 'failed'}`, async (t) => {
    const { server, port } = await serverAnswering(status)
    const { checks } = await checksOf(String(port), 'http:/healthz')
    t.is(checks.isHealthy('wiki'), isHealthy)
    server.closeAllConnections()
    server.close()
  })
}

test('a service without checks is always called healthy, and one that is gone is forgotten', async (t) => {
  const unchecked = await checksOf('127.0.0.1:1', 'none')
  t.true(unchecked.checks.isHealthy('wiki'))
  const gone = await checksOf('127.0.0.1:1', 'tcp')
  await gone.remove()
  await gone.checks.checkAll()
  t.true(gone.checks.isHealthy('wiki'))
})
