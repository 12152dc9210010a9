import test from 'ava'
import type { PingReply } from '../../../node/api/schemas.ts'
import { isDecided, whyNoReply, whyNotDirect } from '../../../node/cli/commands/ping.ts'

const direct: PingReply = {
  seq: 1,
  peer: 'id',
  name: 'attic',
  rttMs: 5,
  path: 'direct',
  via: null,
  viaName: null,
  notDirect: null,
  error: null,
}
const relayed: PingReply = { ...direct, path: 'relay', via: 'r', viaName: 'attic' }
const given = { code: 'port-unknown', text: 'One NAT uses a new port.', fix: 'Forward a port.' }
const refused: PingReply = { ...relayed, notDirect: given }
const away: PingReply = {
  ...direct,
  rttMs: null,
  path: 'none',
  error: { code: 'peer-unreachable', text: 'No connection to attic' },
}

test('waiting for a direct way ends when there is one, when it is known why not, and when nothing leads there', (t) => {
  const cases: [PingReply[], boolean, string | null][] = [
    [[direct], true, null],
    [[relayed, relayed], false, 'path-relay-up'],
    [[relayed, refused], true, 'port-unknown'],
    [[relayed, direct], true, null],
    [[away, away], false, 'peer-unreachable'],
    [[away, away, away], true, 'peer-unreachable'],
    [[away, away, relayed, away], false, 'peer-unreachable'],
    [[], false, null],
  ]
  for (const [replies, decided, code] of cases) {
    t.is(isDecided(replies), decided)
    t.is(whyNotDirect(replies)?.code ?? null, code, 'exit 0 means direct')
  }
  t.is(whyNotDirect([refused])?.fix, 'Forward a port.')
  t.regex(whyNotDirect([away])?.fix ?? '', /kith why/, 'with what to do about it')
})

test('pings that nobody answered fail with the reason, those some of which were answered do not', (t) => {
  t.is(whyNoReply([away, away])?.code, 'peer-unreachable')
  t.is(whyNoReply([relayed, away]), null)
  t.is(whyNoReply([]), null)
})
