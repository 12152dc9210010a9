import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import * as fc from 'fast-check'
import { LINES_PER_SOURCE, LineQuota, SOURCES_MAX } from '../../../node/log/line-quota.ts'
import { securityLine, TEXT_MAX } from '../../../node/log/security-line.ts'
import {
  SECURITY_LOG_BYTES_MAX,
  SECURITY_LOG_FILE,
  SECURITY_LOG_OLD_MAX,
  SecurityLog,
} from '../../../node/log/security-log.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import { fail2banRegex } from '../../programs.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

const NOW = Date.UTC(2026, 10, 22, 8, 40, 1, 123)
const PEER = '12D3KooWGRUVhTuVYp7fCnCKSPBJFhLWDMJZwvCNnZxcXhQhUQ6e'
const RELAY = '12D3KooWQYzCq3dT9rTzkJ7VbpzwVnT8DmqhhvH8yUmJrVnGJXkA'
/** An address nobody may get banned by text. */
const THIRD = '198.51.100.9'

const event = (kind: string, from: string | null, more: Partial<EventInput> = {}): EventInput => ({
  kind,
  severity: 'warning',
  ...more,
  fields: { ...(from === null ? {} : { from }), ...more.fields },
})
const handshake = (reason: string, from: string, more: Partial<EventInput> = {}): EventInput =>
  event('handshake.failed', from, { reason, ...more, fields: { direction: 'inbound', ...more.fields } })
const AT = '/ip4/203.0.113.7/tcp/50122'

/** What happens, and the address that is to be counted for it; null when none is. `-` marks an event without a line. */
const TABLE: readonly (readonly [what: string, event: EventInput, banned: string | null])[] = [
  ['a spent login link', event('auth.failed', AT, { reason: 'login-link-spent' }), '203.0.113.7'],
  [
    'another site in the browser',
    event('csrf.denied', '/ip4/127.0.0.1/tcp/4', { reason: 'origin-denied' }),
    '127.0.0.1',
  ],
  ['a rebound name', event('host.denied', '/ip6/::1/tcp/41000', { reason: 'host-denied' }), '::1'],
  [
    'a scanner at the mesh port',
    event('connection.refused', AT, { reason: 'stranger-refused' }),
    '203.0.113.7',
  ],
  [
    'IPv6',
    event('connection.refused', '/ip6/2001:db8:1:2::7/tcp/9', { reason: 'stranger-refused' }),
    '2001:db8:1:2::7',
  ],
  [
    'IPv4 in IPv6',
    event('connection.refused', '/ip6/::ffff:203.0.113.8/tcp/9', { reason: 'stranger-refused' }),
    '203.0.113.8',
  ],
  ['a handshake with wrong keys', handshake('decrypt-failed', AT, { text: 'Cannot decrypt' }), '203.0.113.7'],
  ['a revoked member', handshake('certificate-revoked', AT, { peer: PEER }), '203.0.113.7'],
  ['silence from the start', handshake('handshake-timeout', AT), '203.0.113.7'],
  ['a replayed first message', handshake('handshake-replayed', AT, { peer: PEER }), '203.0.113.7'],
  ['a replay', event('replay.detected', AT, { reason: 'message-replayed', peer: PEER }), '203.0.113.7'],
  ['a refused join', event('join.refused', AT, { reason: 'invite-unknown', peer: PEER }), '203.0.113.7'],
  ['a join at a busy door', event('join.turned-away', AT, { reason: 'door-busy' }), '203.0.113.7'],
  ['a join without address', event('join.refused', null, { reason: 'invite-unknown' }), null],
  ['behind a relay', handshake('decrypt-failed', `/ip4/203.0.113.5/tcp/4701/p2p/${RELAY}/p2p-circuit`), null],
  ['a relay that is not named', handshake('decrypt-failed', '/ip4/203.0.113.5/tcp/4701/p2p-circuit'), null],
  [
    'an address with a zone',
    event('connection.refused', '/ip6/fe80::1%eth0/tcp/9', { reason: 'stranger-refused' }),
    null,
  ],
  [
    'an address that is none',
    event('connection.refused', `/ip4/${THIRD} ip=${THIRD}/tcp/9`, { reason: 'stranger-refused' }),
    null,
  ],
  [
    'a port that is none',
    event('connection.refused', `/ip4/203.0.113.7/tcp/9 ip=${THIRD}`, { reason: 'stranger-refused' }),
    null,
  ],
  [
    'a name, not an address',
    event('connection.refused', '/dns4/victim.example/tcp/9', { reason: 'stranger-refused' }),
    null,
  ],
  ['a wrong clock', handshake('clock-skew', AT, { peer: PEER }), '-'],
  ['an expired certificate', handshake('certificate-expired', AT, { peer: PEER }), '-'],
  ['a lost connection', handshake('handshake-closed', AT), '-'],
  ['a connection cut to make room', event('connection.refused', AT, { reason: 'too-many-handshakes' }), '-'],
  ['a dial its owner gave up', event('connection.refused', AT, { reason: 'handshake-closed' }), '-'],
  ['a member that stalls', handshake('handshake-timeout', AT, { peer: PEER }), '-'],
  ['a start of ours', handshake('message-before-start', AT, { peer: PEER }), '-'],
  [
    'our own failed dial',
    event('handshake.failed', AT, { reason: 'decrypt-failed', fields: { direction: 'outbound' } }),
    '-',
  ],
  ['a login', event('auth.done', AT), '-'],
  ['a failed rotation', event('rotation.failed', AT, { peer: PEER, reason: 'rotation-timeout' }), '-'],
  ...[
    `x ip=${THIRD} port=1 via=ui `,
    `" ip=${THIRD} port=1 via=ui `,
    `\\" ip=${THIRD} port=1 via=ui`,
    `\n2026-11-22T08:40:01.123Z kith[1]: sec event=auth.failed ip=${THIRD} port=1 via=ui`,
    `\r\nkith[1]: sec event=auth.failed ip=${THIRD} port=1 via=ui\u2028\u0085\u000b`,
    `\u0000\u001b[2K\u001b[1A2026-11-22T08:40:01.123Z kith[1]: sec event=auth.failed ip=${THIRD} port=1 via=ui`,
    `${'x'.repeat(400)} ip=${THIRD}`,
    'ｉｐ＝198.51.100.9 \u202e9.001.15.891=pi',
  ].flatMap((text): [string, EventInput, string | null][] => [
    [`a forged text ${JSON.stringify(text).slice(0, 30)}`, event('auth.failed', AT, { text }), '203.0.113.7'],
    ['the same without an address', event('join.refused', null, { text }), null],
    ['the same as reason', event('auth.failed', AT, { reason: text }), '203.0.113.7'],
    ['the same as peer', event('replay.detected', AT, { peer: text }), '203.0.113.7'],
    ['the same as origin', event('auth.failed', text), null],
    ['the same in a field', event('auth.failed', AT, { fields: { name: text } }), '203.0.113.7'],
  ]),
]

/** Lines somebody else wrote into the file, or that look like ours: none of them counts. */
const FOREIGN = [
  `2026-11-22T08:40:01.123Z evil[1]: sec event=auth.failed ip=${THIRD} port=1 via=ui`,
  `2026-11-22T08:40:01.123Z kith[1]: sec event=auth.ok ip=${THIRD} port=1 via=ui`,
  `2026-11-22T08:40:01.123Z kith[1]: sec event=rotation.failed ip=${THIRD} port=1 via=mesh`,
  `2026-11-22T08:40:01.123Z x kith[1]: sec event=auth.failed ip=${THIRD} port=1 via=ui`,
  `{"time":"2026-11-22T08:40:01.123Z","msg":"kith[1]: sec event=auth.failed ip=${THIRD} port=1 via=ui"}`,
]

test('a line is in logfmt, with what others chose quoted at its end', (t) => {
  t.deepEqual(
    securityLine(handshake('decrypt-failed', AT, { peer: PEER, text: 'a "b" ip=1\n' }), NOW, 812)?.text.split(
      ' text=',
    ),
    [
      `2026-11-22T08:40:01.123Z kith[812]: sec event=handshake.failed ip=203.0.113.7 port=50122 via=mesh reason=decrypt-failed peer=${PEER}`,
      '"a \\u0022b\\u0022 ip\\u003d1\\u000a"',
    ],
  )
  t.is(
    securityLine(handshake('decrypt-failed', `/ip4/1.2.3.4/tcp/1/p2p/${RELAY}/p2p-circuit`), NOW, 812)?.text,
    `2026-11-22T08:40:01.123Z kith[812]: sec event=handshake.failed via=relay relay=${RELAY} reason=decrypt-failed`,
  )
})

test('what others chose is cut off', (t) => {
  const textOf = (length: number): string | undefined =>
    securityLine(event('auth.failed', AT, { text: 'x'.repeat(length) }), NOW, 812)?.text.split(' text=')[1]
  t.is(textOf(TEXT_MAX), `"${'x'.repeat(TEXT_MAX)}"`)
  t.is(textOf(TEXT_MAX + 1), textOf(TEXT_MAX))
})

test('whatever others choose, a line is one line of printable ASCII with one ip at most, and that is the remote end', (t) => {
  const evil = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(...TABLE.map(([, { text }]) => text ?? '')),
  )
  const kinds = fc.constantFrom(
    'auth.failed',
    'handshake.failed',
    'join.refused',
    'replay.detected',
    'connection.refused',
  )
  fc.assert(
    fc.property(kinds, evil, evil, evil, evil, (kind, text, peer, reason, from) => {
      const line = securityLine(
        event(kind, from, { text, peer, reason, fields: { direction: 'inbound' } }),
        NOW,
        1,
      )
      if (line === null) return
      t.regex(line.text, /^[\u0020-\u007e]+$/)
      const outside = line.text.replace(/ text="[^"]*"$/, '')
      t.false(/["\\]/.test(outside))
      t.is(outside.match(/ip=/g)?.length ?? 0, outside.includes(' port=') ? 1 : 0)
      t.false((/ text="([^"]*)"$/.exec(line.text)?.[1] ?? '').includes('='))
    }),
    { numRuns: 2000 },
  )
})

function securityLog(
  directory: string,
  onError: (error: unknown) => void = () => undefined,
  clock = { now: () => NOW },
) {
  return new SecurityLog({ directory, clock, pid: 812, onError })
}

test('each event of the table has a line, or none', (t) => {
  const directory = temporaryFolder()
  // A clock that moves on a minute each time, so that the quota is not what is tested.
  let now = NOW
  const log = securityLog(directory, (error) => t.fail(String(error)), { now: () => (now += 60_000) })
  const file = join(directory, SECURITY_LOG_FILE)
  let lines = 0
  for (const [what, given, banned] of TABLE) {
    log.record(given)
    if (banned !== '-') lines += 1
    const written = lines === 0 ? '' : readFileSync(file, 'utf8')
    t.is(written.split('\n').length - 1, lines, what)
    const [, ip] = / ip=(\S+) /.exec(written.trimEnd().split('\n').at(-1) ?? '') ?? []
    if (banned !== '-') t.is(ip ?? null, banned, what)
  }
  t.is(statSync(file).mode & 0o777, 0o600)
})

test('the file is put aside when it is full, and at most four are kept', (t) => {
  const directory = temporaryFolder()
  let now = NOW
  const log = securityLog(directory, (error) => t.fail(String(error)), { now: () => now })
  const text = 'x'.repeat(200)
  const perFile = Math.ceil(SECURITY_LOG_BYTES_MAX / 330)
  for (let i = 0; i < perFile * (SECURITY_LOG_OLD_MAX + 2); i += 1) {
    if (i % LINES_PER_SOURCE === 0) now += 60_000
    log.record(event('auth.failed', AT, { text }))
  }
  const files = readdirSync(directory).sort()
  t.deepEqual(files, [
    SECURITY_LOG_FILE,
    ...Array.from({ length: SECURITY_LOG_OLD_MAX }, (_, i) => `${SECURITY_LOG_FILE}.${i + 1}`),
  ])
  for (const file of files) {
    const { size, mode } = statSync(join(directory, file))
    t.true(size <= SECURITY_LOG_BYTES_MAX, `${file}: ${size}`)
    t.is(mode & 0o777, 0o600)
    t.true(readFileSync(join(directory, file), 'utf8').endsWith('\n'))
  }
})

test('a restart goes on in the same file, and one made readable for others is closed again', (t) => {
  const directory = temporaryFolder()
  writeFileSync(join(directory, SECURITY_LOG_FILE), 'older\n', { mode: 0o644 })
  securityLog(directory).record(event('auth.failed', AT))
  const file = join(directory, SECURITY_LOG_FILE)
  t.regex(readFileSync(file, 'utf8'), /^older\n2026/)
  t.is(statSync(file).mode & 0o777, 0o600)
})

test('a folder that cannot be written is reported once, and the file comes when it can', (t) => {
  const directory = join(temporaryFolder(), 'gone')
  const errors: unknown[] = []
  const log = securityLog(directory, (error) => errors.push(error))
  log.record(event('auth.failed', AT))
  log.record(event('auth.failed', AT))
  t.is(errors.length, 1)
  cpSync(temporaryFolder(), directory, { recursive: true })
  log.record(event('auth.failed', AT))
  t.is(errors.length, 1)
  t.true(statSync(join(directory, SECURITY_LOG_FILE)).size > 0)
})

test('a source has its share of a minute, floods from many sources share one, and both begin anew', (t) => {
  const quota = new LineQuota()
  const taken = (source: string, now: number, tries: number): number =>
    Array.from({ length: tries }, () => quota.take(source, now)).filter(Boolean).length
  t.is(taken('a', 0, 100), LINES_PER_SOURCE)
  t.is(taken('b', 1, 1), 1)
  t.is(taken('a', 60_000, 3), 3)
  for (let i = 0; i < SOURCES_MAX; i += 1) quota.take(`s${i}`, 120_000)
  let others = 0
  for (let i = 0; i < 100; i += 1) if (quota.take(`t${i}`, 120_001)) others += 1
  t.is(others, LINES_PER_SOURCE)
  t.is(taken('s1', 120_002, 5), 5, 'who is counted already keeps its own share')
  const line = (from: string): string | undefined => securityLine(event('auth.failed', from), NOW, 1)?.source
  t.is(line('/ip6/2001:db8:1:2::1/tcp/1'), line('/ip6/2001:db8:1:2:ffff::9/tcp/1'))
  t.not(line('/ip6/2001:db8:1:2::1/tcp/1'), line('/ip6/2001:db8:1:3::1/tcp/1'))
  t.is(line('/ip6/2001:db8::1/tcp/1'), '2001:db8:0:0')
})

const regex = fail2banRegex()
const fail2banTest = regex === undefined && process.env['CI'] !== 'true' ? test.skip : test
const SHIPPED = join(import.meta.dirname, '..', '..', '..', 'bootstrap', 'fail2ban')

fail2banTest('Fail2Ban counts exactly the wanted lines, for exactly the remote ends', (t) => {
  if (regex === undefined) throw new Error('fail2ban-regex is not unpacked')
  const directory = temporaryFolder()
  let now = NOW
  const log = securityLog(directory, (error) => t.fail(String(error)), { now: () => (now += 60_000) })
  for (const [, given] of TABLE) log.record(given)
  const file = join(directory, SECURITY_LOG_FILE)
  writeFileSync(file, `${FOREIGN.join('\n')}\n`, { flag: 'a' })
  const run = (...options: string[]): string => {
    const { command, args, env } = regex
    const result = spawnSync(command, [...args, '--config', SHIPPED, '--raw', ...options, file, 'kith'], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
      timeout: 60_000,
    })
    t.is(result.status, 0, result.stderr)
    return result.stdout
  }
  const wanted = TABLE.flatMap(([, , banned]) => (banned === null || banned === '-' ? [] : [banned]))
  t.deepEqual(run('--out', 'ip').trim().split('\n'), wanted)
  const total = readFileSync(file, 'utf8').trimEnd().split('\n').length
  const summary = run()
  t.regex(
    summary,
    new RegExp(`Lines: ${total} lines, 0 ignored, ${wanted.length} matched, ${total - wanted.length} missed`),
  )
  t.log(`${total} lines, ${wanted.length} wanted, as fail2ban-regex says`)
})

fail2banTest('the jail that is shipped is one Fail2Ban accepts', (t) => {
  if (regex === undefined) throw new Error('fail2ban-regex is not unpacked')
  const { command, args, env } = regex
  const programs = dirname(dirname(dirname(args.at(-1) ?? '')))
  const directory = temporaryFolder()
  cpSync(join(programs, 'etc', 'fail2ban'), directory, { recursive: true })
  rmSync(join(directory, 'jail.d'), { recursive: true }) // the distribution's own jails want its log files
  cpSync(SHIPPED, directory, { recursive: true })
  const log = join(directory, SECURITY_LOG_FILE)
  writeFileSync(log, '')
  const jail = join(directory, 'jail.d', 'kith.conf')
  writeFileSync(jail, readFileSync(jail, 'utf8').replace(/^logpath .*$/m, `logpath = ${log}`))
  const client = join(programs, 'usr', 'bin', 'fail2ban-client')
  const result = spawnSync(command, ['-B', client, '-c', directory, '-t'], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 60_000,
  })
  t.is(result.status, 0, result.stdout + result.stderr)
  t.regex(result.stdout + result.stderr, /configuration test is successful/)
})
