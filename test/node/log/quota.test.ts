import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { MEMBERS_KINDS, OWN_KINDS, STRANGERS_KINDS } from '../../../node/log/event-kinds.ts'
import { MEMBER_QUOTA_PER_MINUTE, QUOTA_PER_MINUTE, withQuota } from '../../../node/log/quota.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'

test('a flood of what others can cause is cut off each minute, told in numbers afterwards, and costs no other kind', (t) => {
  const seen: EventInput[] = []
  let now = 0
  const emit = withQuota((event) => seen.push(event), { now: () => now })
  for (let i = 0; i < 100; i += 1) emit({ kind: 'connection.refused', severity: 'notice' })
  emit({ kind: 'peer.joined', severity: 'info' })
  t.is(seen.filter((event) => event.kind === 'connection.refused').length, QUOTA_PER_MINUTE)
  t.is(seen.at(-1)?.kind, 'peer.joined')
  now = 60_000
  emit({ kind: 'connection.refused', severity: 'notice', fields: { from: 'x' } })
  t.deepEqual(seen.at(-1)?.fields, { from: 'x', suppressed: 100 - QUOTA_PER_MINUTE })
})

test('kinds only this node itself causes are never cut', (t) => {
  const seen: EventInput[] = []
  const emit = withQuota((event) => seen.push(event), { now: () => 0 })
  for (let i = 0; i < 100; i += 1) emit({ kind: 'service.published', severity: 'info' })
  t.is(seen.length, 100)
})

test('a member that makes a relay, a puncher and a reflector speak for a minute leaves the log its other lines', (t) => {
  const seen: EventInput[] = []
  const emit = withQuota((event) => seen.push(event), { now: () => 0 })
  const kinds = ['relay.refused', 'relay.reserved', 'punch.refused', 'reflect.refused', 'path.changed']
  for (let i = 0; i < 12_000; i += 1) for (const kind of kinds) emit({ kind, severity: 'info' })
  t.is(seen.length, kinds.length * MEMBER_QUOTA_PER_MINUTE)
})

/** Words with a dot in sources that speak of events, which are none: files, settings, permissions, lines of the process log alone. */
const NO_EVENTS = new Set([
  'events.read',
  'identity.key',
  'kith.sock',
  'log.format',
  'log.level',
  'log.write-failed',
  'security-log.write-failed',
  'security.log',
])

test('every event of the sources is in one list of who can cause it, and every list names events that exist', (t) => {
  const root = join(import.meta.dirname, '../../..')
  const found = new Set<string>()
  for (const file of globSync('{node,protocols,bootstrap}/**/*.ts', { cwd: root })) {
    if (file.endsWith('event-kinds.ts')) continue
    const text = readFileSync(join(root, file), 'utf8')
    if (!/\b(emit|EventInput|severity)\b/.test(text)) continue
    for (const [, word = ''] of text.matchAll(/'([a-z-]+\.[a-z-]+)'/g))
      if (!NO_EVENTS.has(word)) found.add(word)
  }
  const listed = [...STRANGERS_KINDS, ...MEMBERS_KINDS, ...Object.keys(OWN_KINDS)]
  t.deepEqual(
    [...found].filter((kind) => !listed.includes(kind)),
    [],
    'in no list',
  )
  t.deepEqual(
    listed.filter((kind) => !found.has(kind)),
    [],
    'in no source',
  )
  t.is(new Set(listed).size, listed.length, 'in one list only')
})
