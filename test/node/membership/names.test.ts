import test from 'ava'
import {
  GRACE_MS,
  INVITE_TTL_MAX_MS,
  LEDGER_RETENTION_MS,
  MEMBER_LIFETIME_MS,
} from '../../../protocols/admission/limits.ts'
import { restoreLedger, step, type InviteRecord } from '../../../protocols/admission/machine.ts'
import { ipOf } from '../../../node/transport/addresses.ts'
import { openEventLog } from '../../../node/log/event-log.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'

const NOW = 1_800_000_000_000

test('nobody can take the name of a member whose invite is long over while its certificate can still be believed', (t) => {
  const ledger = restoreLedger([], [])
  let next = 1
  const invite = (now: number): InviteRecord => {
    const id = new Uint8Array(16).fill(next++)
    const record: InviteRecord = {
      inviteId: id,
      oneTimeKey: new Uint8Array(32).fill(id[0] as number),
      name: null,
      roles: [],
      tags: [],
      uses: 1,
      expires: now + 60_000,
    }
    step(ledger, { type: 'create', record }, now)
    return record
  }
  const join = (record: InviteRecord, key: number, now: number): string | undefined => {
    const effect = step(
      ledger,
      {
        type: 'redeem',
        inviteId: record.inviteId,
        joiner: new Uint8Array(32).fill(key),
        name: 'laptop',
        time: now,
        signedBy: () => true,
        nameTaken: () => false, // away for more than a lease: no table knows it any more
        serial: new Uint8Array(16),
        nonce: new Uint8Array(16),
      },
      now,
    ).at(-1)
    return effect?.type === 'refuse' ? effect.code : effect?.type
  }
  t.is(join(invite(NOW), 1, NOW), 'admit')
  const later = NOW + 60_000 + LEDGER_RETENTION_MS + 1
  t.is(join(invite(later), 2, later), 'node-name-taken')
  const over = NOW + MEMBER_LIFETIME_MS + GRACE_MS + 1
  t.true(over > NOW + INVITE_TTL_MAX_MS)
  t.is(join(invite(over), 2, over), 'admit')
})

for (const address of [
  '/ip4/not-an-address/tcp/1',
  '/ip4/999.1.1.1/tcp/1',
  '/ip6/::1%eth0/tcp/1',
  '/ip6/1.2.3.4/tcp/1',
  '/dns4/a.b/tcp/1',
  '',
]) {
  test(`"${address}" in another member's record gives no address to answer with`, (t) => {
    t.is(ipOf(address), undefined)
  })
}

test('a reader of the event log that goes on from an id gets the next events, not the newest', async (t) => {
  const log = await openEventLog(memoryStore(), { now: () => NOW }, (error) => t.fail(String(error)))
  for (let i = 0; i < 10; i++) log.append({ kind: 'node.started', severity: 'info' })
  t.deepEqual(
    (await log.list({ since: 2, limit: 3 })).map(({ id }) => id),
    [3, 4, 5],
  )
  t.deepEqual(
    (await log.list({ limit: 3 })).map(({ id }) => id),
    [8, 9, 10],
  )
})
