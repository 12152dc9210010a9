import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openEventLog, EVENTS_IN_MEMORY, EVENTS_KEPT } from '../../../node/log/event-log.ts'
import { stripControls } from '../../../node/log/logger.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { openStore } from '../../../node/storage/store.ts'
import type { Store } from '../../../protocols/common/ports.ts'

const fail = (error: unknown): never => {
  throw error
}
test('ids are consecutive and go on after a restart', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'kith-log-'))
  const first = await openStore(directory)
  const log = await openEventLog(first, { now: () => 5 }, fail)
  log.append({ kind: 'node.started', severity: 'info' })
  log.append({ kind: 'peer.joined', severity: 'notice', peer: 'p', text: 'b joined' })
  await log.flush()
  await first.close()
  const second = await openStore(directory)
  const again = await openEventLog(second, { now: () => 6 }, fail)
  again.append({ kind: 'node.started', severity: 'info', fields: { pid: 1 } })
  t.deepEqual(
    again.list({}).map((event) => [event.id, event.kind, event.at]),
    [
      [1, 'node.started', 5],
      [2, 'peer.joined', 5],
      [3, 'node.started', 6],
    ],
  )
  await again.flush()
  await second.close()
})

test('a query filters by id, severity and number, newest last', async (t) => {
  const log = await openEventLog(memoryStore(), { now: () => 0 }, fail)
  for (const severity of ['info', 'warning', 'notice', 'alert'] as const)
    log.append({ kind: 'x.y', severity })
  t.deepEqual(
    log.list({ severity: 'warning' }).map((event) => event.id),
    [2, 4],
  )
  t.deepEqual(
    log.list({ since: 2 }).map((event) => event.id),
    [3, 4],
  )
  t.deepEqual(
    log.list({ limit: 1 }).map((event) => event.id),
    [4],
  )
})

test('memory and disk are bounded; the oldest go first and the ids that stay have no gap', async (t) => {
  const map = new Map<string, Uint8Array>()
  const store = memoryStore(map)
  const log = await openEventLog(store, { now: () => 0 }, fail)
  for (let i = 0; i < EVENTS_KEPT + 5; i += 1) log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  t.is(log.list({}).length, EVENTS_IN_MEMORY)
  t.is(map.size, EVENTS_KEPT)
  t.is([...map.keys()].sort()[0]?.slice(-2), '06')
})

test('a subscriber hears each event until its signal aborts', async (t) => {
  const log = await openEventLog(memoryStore(), { now: () => 0 }, fail)
  const heard: number[] = []
  const stop = new AbortController()
  log.subscribe((event) => heard.push(event.id), stop.signal)
  log.append({ kind: 'x.y', severity: 'info' })
  stop.abort()
  log.append({ kind: 'x.y', severity: 'info' })
  t.deepEqual(heard, [1])
})

test('a store that cannot be written is reported and the event stays in memory', async (t) => {
  const errors: unknown[] = []
  const broken: Store = { ...memoryStore(), put: () => Promise.reject(new Error('disk full')) }
  const log = await openEventLog(broken, { now: () => 0 }, (error) => errors.push(error))
  log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  t.is((errors[0] as Error).message, 'disk full')
  t.is(log.list({}).length, 1)
})

test('control bytes and direction overrides from peers do not reach a terminal', (t) => {
  t.is(stripControls('a\u001b[31mb\u202ec\r\n'), 'a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}\u{FFFD}')
})
