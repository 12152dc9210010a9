import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import type { LogEvent } from '../../../node/api/schemas.ts'
import {
  BATCH_MAX,
  EVENTS_IN_MEMORY,
  EVENTS_WAITING_MAX,
  openEventLog,
  type EventLog,
} from '../../../node/log/event-log.ts'
import { EVENTS_KEPT } from '../../../node/log/event-store.ts'
import { stripControls } from '../../../node/log/logger.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { openStore } from '../../../node/storage/store.ts'
import type { Store } from '../../../protocols/common/ports.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const fail = (error: unknown): never => {
  throw error
}
const opened = (store: Store): Promise<EventLog> => openEventLog(store, { now: () => 0 }, fail)
const ids = (events: readonly LogEvent[]): number[] => events.map(({ id }) => id)

test('ids are consecutive and go on after a restart', async (t) => {
  const directory = temporaryFolder()
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
    (await again.list({})).map((event) => [event.id, event.kind, event.at]),
    [
      [1, 'node.started', 5],
      [2, 'peer.joined', 5],
      [3, 'node.started', 6],
    ],
  )
  await again.flush()
  await second.close()
})

for (const [name, filter, expected] of [
  ['at least a severity', { severity: 'warning' }, [2, 4, 6]],
  ['a beginning of the kind', { kind: 'rotation' }, [3, 4, 5]],
  ['one kind', { kind: 'rotation.failed' }, [4]],
  ['a peer', { peer: 'a' }, [2, 4]],
  ['all of these', { kind: 'r', peer: 'a', severity: 'alert' }, [4]],
  ['after an id', { since: 4 }, [5, 6]],
  ['the first after an id', { since: 1, limit: 2 }, [2, 3]],
  ['before an id', { before: 3 }, [1, 2]],
  ['the newest before an id', { before: 6, limit: 2 }, [4, 5]],
  ['between two ids', { since: 1, before: 4 }, [2, 3]],
  ['the newest', { limit: 1 }, [6]],
  ['what is not there', { kind: 'x' }, []],
] as const) {
  test(`a query gives ${name}, newest last`, async (t) => {
    const log = await opened(memoryStore())
    log.append({ kind: 'node.started', severity: 'info' })
    log.append({ kind: 'handshake.failed', severity: 'warning', peer: 'a' })
    log.append({ kind: 'rotation.start', severity: 'info', peer: 'b' })
    log.append({ kind: 'rotation.failed', severity: 'alert', peer: 'a' })
    log.append({ kind: 'rotation.done', severity: 'notice', peer: 'b' })
    log.append({ kind: 'service.denied', severity: 'warning' })
    t.deepEqual(ids(await log.list(filter)), [...expected])
  })
}

test('memory and disk are bounded, the ids that stay have no gap, and what left the memory comes from the disk', async (t) => {
  const map = new Map<string, Uint8Array>()
  const log = await opened(memoryStore(map))
  const total = EVENTS_KEPT + 5
  for (let i = 1; i <= total; i += 1) {
    log.append({ kind: i % 1000 === 0 ? 'rare.kind' : 'x.y', severity: 'info' })
    if (i % 500 === 0) await log.flush()
  }
  await log.flush()
  t.is(map.size, EVENTS_KEPT)
  t.is([...map.keys()].sort()[0]?.slice(-2), '06')
  t.is((await log.list({})).length, EVENTS_IN_MEMORY)
  t.deepEqual(ids(await log.list({ since: 0, limit: 3 })), [6, 7, 8])
  t.deepEqual(ids(await log.list({ since: 198, limit: 3 })), [199, 200, 201])
  t.deepEqual(ids(await log.list({ before: 9, limit: 1000 })), [6, 7, 8])
  t.deepEqual(
    ids(await log.list({ kind: 'rare' })),
    Array.from({ length: 10 }, (_, i) => (i + 1) * 1000),
  )
  const edge = total - EVENTS_IN_MEMORY
  t.deepEqual(ids(await log.list({ since: edge - 2, limit: 4 })), [edge - 1, edge, edge + 1, edge + 2])
  t.deepEqual(ids(await log.list({ before: edge + 3, limit: 4 })), [edge - 1, edge, edge + 1, edge + 2])
  const again = await opened(memoryStore(map))
  t.deepEqual(ids(await again.list({ kind: 'rare', limit: 2 })), [9000, 10_000])
})

test('what a crash left beyond the limit is deleted, and a damaged entry keeps its id', async (t) => {
  const map = new Map<string, Uint8Array>()
  const log = await opened(memoryStore(map))
  for (let i = 1; i <= 3; i += 1) log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  const [first] = [...map.keys()].sort()
  map.set(first!, Uint8Array.of(1))
  for (let id = 4; id <= EVENTS_KEPT + 2; id += 1)
    map.set(`event/${String(id).padStart(16, '0')}`, map.get(`event/${String(2).padStart(16, '0')}`)!)
  map.set('event/0000000000000009', Uint8Array.of(1))
  const again = await opened(memoryStore(map))
  t.is(map.size, EVENTS_KEPT)
  t.false(map.has(first!))
  t.like((await again.list({ since: 8, limit: 1 }))[0], { id: 9, kind: 'log.damaged' })
})

test('a subscriber hears each event in order until its signal aborts', async (t) => {
  const log = await opened(memoryStore())
  const heard: number[] = []
  const stop = new AbortController()
  log.subscribe((event) => heard.push(event.id), stop.signal)
  for (let i = 0; i < 250; i += 1) log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  stop.abort()
  log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  t.deepEqual(
    heard,
    Array.from({ length: 250 }, (_, i) => i + 1),
  )
})

test('events that come together share one wait for the disk, so many of them', async (t) => {
  for (const [count, waits] of [
    [BATCH_MAX, 1],
    [BATCH_MAX + 1, 2],
  ] as const) {
    const store = memoryStore()
    let synced = 0
    const put: Store['put'] = (key, value, options) => {
      if (options?.sync === true) synced += 1
      return store.put(key, value)
    }
    const log = await opened({ ...store, put })
    for (let n = 0; n < count; n += 1) log.append({ kind: 'x.y', severity: 'info' })
    await log.flush()
    t.is(synced, waits)
    t.is((await log.list({})).length, count)
  }
})

test('nobody sees an event before it is on the disk', async (t) => {
  const store = memoryStore()
  const gate = Promise.withResolvers<void>()
  const log = await opened({ ...store, put: (key, value) => gate.promise.then(() => store.put(key, value)) })
  const heard: number[] = []
  log.subscribe((event) => heard.push(event.id), new AbortController().signal)
  log.append({ kind: 'x.y', severity: 'info' })
  await new Promise(setImmediate)
  t.deepEqual(heard, [])
  gate.resolve()
  t.deepEqual(ids(await log.list({})), [1])
  t.deepEqual(heard, [1])
})

test('a store that cannot be written is reported, its events are shown all the same, and written once it works again', async (t) => {
  const errors: unknown[] = []
  const map = new Map<string, Uint8Array>()
  const store = memoryStore(map)
  let isFull = true
  const put: Store['put'] = (key, value) =>
    isFull ? Promise.reject(new Error('disk full')) : store.put(key, value)
  const log = await openEventLog({ ...store, put }, { now: () => 0 }, (error) => errors.push(error))
  log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  t.is((errors[0] as Error).message, 'disk full')
  t.deepEqual(ids(await log.list({})), [1])
  t.is(map.size, 0)
  for (let i = 0; i < EVENTS_WAITING_MAX + 9; i += 1) log.append({ kind: 'x.y', severity: 'info' })
  await log.flush()
  isFull = false
  await log.flush()
  log.append({ kind: 'last.one', severity: 'info' })
  await log.flush()
  const all = await log.list({ since: 0, limit: 2000 })
  t.deepEqual(
    ids(all),
    Array.from({ length: EVENTS_WAITING_MAX + 1 }, (_, i) => i + 1),
  )
  t.is(map.size, all.length)
  t.deepEqual(all.at(-1)?.fields, { lost: 10 })
})

test('after kill -9 at any moment all ids that were seen are there, mean the same, and no id is missing', async (t) => {
  const directory = temporaryFolder()
  const seen = new Map<number, string>()
  for (let round = 0; round < 4; round += 1) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'writer.ts'), directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let lines = 0
    for await (const line of createInterface({ input: child.stdout })) {
      const [id, text] = line.split(' ') as [string, string]
      t.false(seen.has(Number(id)), `id ${id} was given twice`)
      seen.set(Number(id), text)
      lines += 1
      if (lines === 40 + round * 37) child.kill('SIGKILL')
    }
  }
  const store = await openStore(directory)
  const events = await (await opened(store)).list({ since: 0, limit: EVENTS_KEPT })
  t.deepEqual(
    ids(events),
    Array.from({ length: events.length }, (_, i) => i + 1),
  )
  for (const [id, text] of seen) t.is(events[id - 1]?.text, text)
  t.true(seen.size > 300, `${seen.size} events were seen`)
  await store.close()
})

test('control bytes and direction overrides from peers do not reach a terminal', (t) => {
  t.is(stripControls('a\u001b[31mb\u202ec\r\n'), 'a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}\u{FFFD}')
})
