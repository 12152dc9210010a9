import test from 'ava'
import { QUOTA_PER_MINUTE, withQuota } from '../../../node/log/quota.ts'
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
