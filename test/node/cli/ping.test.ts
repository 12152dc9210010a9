import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { json, text } from 'node:stream/consumers'
import test from 'ava'
import type { PingReply } from '../../../node/api/schemas.ts'
import {
  isDecided,
  PATHLESS_MAX,
  PINGS_MAX,
  whyNoReply,
  whyNotDirect,
} from '../../../node/cli/commands/ping.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

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

const pathless = Array.from({ length: PATHLESS_MAX }, () => away)

test('waiting for a direct way ends when there is one, when it is known why not, and when nothing leads there', (t) => {
  const cases: [PingReply[], boolean, string | null][] = [
    [[direct], true, null],
    [[relayed, relayed], false, 'path-relay-up'],
    [[relayed, refused], true, 'port-unknown'],
    [[relayed, direct], true, null],
    [[...pathless, away].slice(2), false, 'peer-unreachable'],
    [pathless, true, 'peer-unreachable'],
    [[...pathless.slice(1), relayed, away], false, 'peer-unreachable'],
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

test('a direct way is waited for so long, and then it is said that there is none', async (t) => {
  const directory = temporaryFolder()
  const asked: { count: number }[] = []
  const node = createServer((request, response) => {
    void json(request).then((body) => {
      const { count } = body as { count: number }
      asked.push({ count })
      for (let seq = 1; seq <= count; seq++) response.write(`${JSON.stringify({ ...relayed, seq })}\n`)
      response.end()
    })
  })
  node.listen(join(directory, 'kith.sock'))
  await once(node, 'listening')
  const main = join(import.meta.dirname, '..', '..', '..', 'node', 'main.ts')
  const child = spawn(process.execPath, [main, 'ping', 'attic', '--until-direct'], {
    env: { ...process.env, NO_COLOR: '1', KITH_DATA: directory },
  })
  const closed = once(child, 'close')
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  t.deepEqual(asked, [{ count: PINGS_MAX }])
  t.is(out.trimEnd().split('\n').length, PINGS_MAX)
  t.regex(errors, /\[path-relay-up\]/)
  t.is((await closed)[0], 1)
  node.close()
})
