import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { noise } from '@chainsafe/libp2p-noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { ConfigEntry, Invite, LogEvent } from '../../node/api/schemas.ts'
import { Lab, runKith, until, type Finished, LabNode } from './lab.ts'

/*
 * What goes wrong for people, through the real command: each refusal is one clear sentence with a code, the right exit
 * status, the same as JSON with --json, and nothing is lost by it. No namespaces: everything is on loopback.
 */

const PORTS = ['--listen', '/ip4/127.0.0.1/tcp/0', '--ui', '0', '--dns', '0', '--gateway-port', '0']

let lab: Lab
/** The founder of the mesh `home`, and a member. */
let founder: LabNode
let member: LabNode
let usedUp: string

test.before(async (t) => {
  t.timeout(60_000)
  lab = new Lab()
  founder = new LabNode(lab, 'founder')
  member = new LabNode(lab, 'member')
  await founder.up('--create', 'home', '--name', 'founder', ...PORTS)
  usedUp = (await founder.json<Invite>('invite')).invite
  await member.up('--join', usedUp, '--name', 'member', ...PORTS)
  await founder.untilAlive(1)
})
test.afterEach.always((t) => {
  if (!t.passed)
    for (const node of [founder, member]) t.log(`log of ${node.name}:\n${node.log().slice(-600)}`)
})
test.after.always(async () => {
  await lab?.close()
})

/** One sentence with the code on stderr, the same as JSON on stdout, the status, and no colours when piped. */
function expectRefusal(t: ExecutionContext, result: Finished, status: number, code: string): void {
  const { code: exit, stdout, stderr } = result
  t.is(exit, status, stderr)
  const [first = '', ...more] = stderr.split('\n').filter((line) => !line.startsWith('{'))
  t.regex(first, new RegExp(`^kith: .+ \\[${code}\\]$`), stderr)
  t.true(more.length <= 2, `a sentence and what to do, not more:\n${stderr}`)
  t.notRegex(stderr, /\u001b|\n\s+at |node:internal/, 'no colours, no stack')
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string; fix: string } }
  t.is(error.code, code)
  t.true(error.message.length > 10 && error.message.length < 400, error.message)
  t.true(error.fix.length > 5, `"${code}" says what to do`)
}

/** `kith up` that must not come up. */
function tryUp(data: string, flags: readonly string[]): Promise<Finished> {
  return runKith(lab, ['up', '--data', data, '--json', ...PORTS, ...flags], { timeoutMs: 20_000 })
}

const INVITES: [title: string, code: string, invite: () => Promise<string> | string][] = [
  ['an expired invite', 'invite-expired', () => expired()],
  ['an invite that was used', 'invite-used-up', () => usedUp],
  ['an invite with one character changed', 'invite-tampered', () => flipped(fresh())],
  ['an invite cut short', 'invite-malformed', async () => (await fresh()).slice(0, -30)],
  ['a link that is no invite', 'invite-malformed', () => 'kith://join/nothing'],
  ['a file that does not exist', 'invite-unreadable', () => 'invite.txt'],
  ['a file with something else in it', 'invite-malformed', () => lab.file('shopping', 'milk, bread\n')],
  ['a name that somebody has', 'node-name-taken', async () => fresh()],
]
for (const [title, code, invite] of INVITES) {
  test.serial(`joining with ${title} is refused, and the machine can join afterwards`, async (t) => {
    const node = new LabNode(lab, `newcomer-${code}-${title.length}`)
    const name = code === 'node-name-taken' ? 'member' : 'newcomer'
    expectRefusal(t, await tryUp(node.data, ['--join', await invite(), '--name', name]), 1, code)
    const ready = await node.up(...PORTS)
    t.is(ready.mesh, null, 'no half-joined mesh')
    const identity = readFileSync(join(node.data, 'identity.key'))
    await node.stop()
    t.deepEqual(readFileSync(join(node.data, 'identity.key')), identity)
  })
}

test.serial('an invite of another mesh is refused to a member, running or starting', async (t) => {
  const other = new LabNode(lab, 'other-founder')
  await other.up('--create', 'office', '--name', 'boss', ...PORTS)
  const { invite } = await other.json<Invite>('invite')
  expectRefusal(t, await member.cli('join', invite, '--json'), 1, 'already-in-mesh')
  expectRefusal(t, await member.cli('found', 'mine', '--json'), 1, 'already-in-mesh')
  await other.stop()
  expectRefusal(t, await tryUp(other.data, ['--create', 'home']), 1, 'already-in-mesh')
  expectRefusal(
    t,
    await tryUp(other.data, ['--join', (await founder.json<Invite>('invite')).invite]),
    1,
    'already-in-mesh',
  )
  t.is((await other.up(...PORTS)).mesh?.name, 'office')
  await other.stop()
})

test.serial('a second node on the same data directory is refused, and the first goes on', async (t) => {
  expectRefusal(t, await tryUp(member.data, []), 1, 'data-locked')
  t.is((await member.status()).node.name, 'member')
})

test.serial('a port that is in use is named, whichever it is', async (t) => {
  const blocker = createServer()
  blocker.listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  t.teardown(() => void blocker.close())
  const { port } = blocker.address() as AddressInfo
  const node = new LabNode(lab, 'squeezed')
  await node.up('--create', 'home', '--name', 'squeezed', ...PORTS)
  await node.stop()
  const cases = [
    ['--listen', `/ip4/127.0.0.1/tcp/${port}`],
    ['--ui', String(port)],
    ['--dns', String(port)],
    ['--gateway-port', String(port)],
  ] as const
  for (const [flag, value] of cases) {
    const flags = PORTS.map((text, i) => (PORTS[i - 1] === flag ? value : text))
    const result = await runKith(lab, ['up', '--data', node.data, '--json', ...flags], { timeoutMs: 20_000 })
    expectRefusal(t, result, 1, 'port-in-use')
    t.true(result.stderr.includes(String(port)), `${flag}: ${result.stderr}`)
  }
  t.is((await node.up(...PORTS)).mesh?.name, 'home')
  await node.stop()
})

test.serial('a damaged or missing identity is refused and nothing is overwritten', async (t) => {
  const node = new LabNode(lab, 'damaged')
  await node.up('--create', 'home', '--name', 'damaged', ...PORTS)
  await node.stop()
  const file = join(node.data, 'identity.key')
  const good = readFileSync(file)
  for (const bad of [Buffer.from('garbage'), Buffer.alloc(0), good.subarray(0, 60)]) {
    writeFileSync(file, bad)
    expectRefusal(t, await tryUp(node.data, []), 1, 'identity-corrupt')
    t.deepEqual(readFileSync(file), bad)
  }
  const aside = lab.run(undefined, 'mv', [file, `${file}.aside`])
  await aside
  expectRefusal(t, await tryUp(node.data, []), 1, 'identity-missing')
  t.false(readdirSync(node.data).includes('identity.key'))
  writeFileSync(file, good)
  t.is((await node.up(...PORTS)).mesh?.name, 'home')
  await node.stop()
})

test.serial('a configuration with mistakes is refused with the place of the mistake', async (t) => {
  const node = new LabNode(lab, 'configured')
  await node.up(...PORTS)
  await node.stop()
  const file = join(node.data, 'config.toml')
  const cases: [text: string, code: string, place: RegExp][] = [
    ['[ui]\nprot = 4780\n', 'config-unknown-key', /ui\.prot/],
    ['colour = "blue"\n', 'config-unknown-key', /colour/],
    ['name = nas\n', 'config-syntax', /line 1/],
    ['name = "nas"\n[ui\n', 'config-syntax', /line 2/],
    ['[log]\nlevel = "loud"\n', 'config-invalid', /log\.level.*loud/],
    ['name = "Not A Label"\n', 'config-invalid', /name/],
  ]
  for (const [text, code, place] of cases) {
    writeFileSync(file, text)
    const up = await tryUp(node.data, [])
    expectRefusal(t, up, 1, code)
    t.regex(up.stderr, place)
    expectRefusal(t, await node.cli('config', 'validate', '--json'), 1, code)
  }
  writeFileSync(file, 'name = "nas"\n')
  t.is((await node.cli('config', 'validate', '--json')).code, 0)
  t.is((await node.up(...PORTS)).node.name, 'nas')
  await node.stop()
})

test.serial('without a running node every verb says how to start one, with status 3', async (t) => {
  const data = lab.folder('nobody-here')
  const verbs = [
    ['status'],
    ['peers'],
    ['services'],
    ['invite'],
    ['publish', 'wiki', '3000'],
    ['unpublish', 'wiki'],
    ['forward', 'wiki'],
    ['why', 'wiki'],
    ['ping', 'a'],
    ['events'],
    ['ui'],
    ['found'],
    ['join', usedUp],
  ]
  const results = await inTurn(verbs, (verb) => runKith(lab, [...verb, '--data', data, '--json']))
  for (const result of results) {
    expectRefusal(t, result, 3, 'not-running')
    t.regex(result.stderr, /kith up/)
  }
  t.deepEqual(readdirSync(data), [], 'asking leaves nothing behind')
})

test.serial('wrong usage has status 2 and points to the help', async (t) => {
  const cases = [
    ['pubish', 'wiki', '3000'],
    ['status', '--verbose-please'],
    ['publish', 'wiki'],
    ['up', '--ui', 'many'],
    ['up', '--dns', '70000'],
    ['invite', '--ttl', 'soon'],
    ['invite', '--uses', 'some'],
    ['events', '--severity', 'bad'],
    ['forward', 'wiki', '99999'],
    ['ping', 'a', '--count', '-1'],
    ['publish', 'wiki', '3000', '--proto', 'gopher'],
  ]
  const results = await inTurn(cases, (args) => member.cli(...args, '--json'))
  for (const result of results) expectRefusal(t, result, 2, 'usage')
  const bare = await runKith(lab, [])
  t.is(bare.code, 2)
  t.regex(bare.stdout + bare.stderr, /Usage: kith/)
  t.is((await runKith(lab, ['help'])).code, 0)
  t.is((await runKith(lab, ['publish', '--help'])).code, 0)
})

test.serial('a publication with a bad name or target is refused, and so is a bad question', async (t) => {
  await founder.json('publish', 'taken', '3000')
  await until('the name to be known', async () => (await member.cli('services')).stdout.includes('taken'))
  const cases: [args: string[], code: string][] = [
    [['publish', 'node', '3000'], 'name-reserved'],
    [['publish', 'Wiki', '3000'], 'input-invalid'],
    [['publish', '-wiki', '3000'], 'usage'],
    [['publish', 'wi_ki', '3000'], 'input-invalid'],
    [['publish', 'w'.repeat(64), '3000'], 'input-invalid'],
    [['publish', 'taken', '3000'], 'name-taken'],
    [['publish', 'wiki', '70000'], 'target-invalid'],
    [['publish', 'wiki', 'ftp://example.org'], 'target-invalid'],
    [['publish', 'wiki', './no/such/folder'], 'target-invalid'],
    [['publish', 'wiki', '3000', '--allow', 'everybody'], 'input-invalid'],
    [['unpublish', 'nothing'], 'service-unknown'],
    [['forward', 'nothing'], 'service-unknown'],
    [['open', 'nothing'], 'service-unknown'],
    [['why', 'nothing'], 'service-unknown'],
    [['ping', 'nobody'], 'peer-unknown'],
    [['invite'], 'not-authorised'],
  ]
  for (const [args, code] of cases)
    expectRefusal(t, await member.cli(...args, '--json'), code === 'usage' ? 2 : 1, code)
  t.deepEqual(await member.json('services').then((list) => (list as unknown[]).length), 1)
  await founder.cli('unpublish', 'taken')
})

test.serial('a stranger with a stock libp2p gets nothing, and the log says that it came', async (t) => {
  const since = (await events(founder)).at(-1)?.id ?? 0
  const stranger = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { reconnectRetries: 0 },
  })
  try {
    await t.throwsAsync(() => stranger.dial(multiaddr(founder.ready.listen[0] ?? '')))
    t.deepEqual(stranger.getPeers(), [])
  } finally {
    await stranger.stop()
  }
  const event = await until('an event', async () => (await events(founder, since)).find(isRefusedStranger))
  t.truthy(event.reason)
  t.is((await founder.status()).peers.alive, 1)
})

test.serial('a prober gets not one byte, whatever it sends, and the log says that it came', async (t) => {
  const address = founder.ready.listen[0] ?? ''
  const port = Number(/\/tcp\/(\d+)/.exec(address)?.[1])
  const greeting = '\x13/multistream/1.0.0\n'
  const probes: Uint8Array[] = [
    Buffer.from('GET / HTTP/1.1\r\nHost: home.internal\r\n\r\n'),
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    createHash('sha512').update('noise').digest(),
    Buffer.from(`${greeting}\x07/noise\n`),
    Buffer.from(`${greeting}\x03ls\n`), // would list the protocols, and with them the mesh
    Buffer.from(greeting),
  ]
  for (const probe of probes) {
    const since = (await events(founder)).at(-1)?.id ?? 0
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => socket.destroy()) // a reset is an answer without bytes
    let heard = ''
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')))
    socket.end(probe)
    await new Promise((closed) => void socket.once('close', closed))
    t.is(heard, '', `to ${JSON.stringify(Buffer.from(probe).toString('latin1'))}`)
    await until('an event', async () => (await events(founder, since)).some(isRefusedStranger))
  }
  t.is((await founder.status()).peers.alive, 1, 'the mesh goes on')
})

test.serial(
  'a node stops within three seconds of SIGTERM with status 0, and is quiet after that',
  async (t) => {
    const { code, tookMs } = await member.stop()
    t.is(code, 0)
    t.true(tookMs < 3000, `${Math.round(tookMs)} ms`)
    t.is((await member.cli('status')).code, 3)
    await member.up(...PORTS)
  },
)

test.serial('every file of a data directory is readable by its owner only', (t) => {
  for (const node of [founder, member]) {
    const open = [
      node.data,
      ...readdirSync(node.data, { recursive: true }).map((name) => join(node.data, String(name))),
    ]
      .map((path) => ({ path, mode: statSync(path).mode & 0o777 }))
      .filter(({ mode }) => (mode & 0o077) !== 0)
    t.deepEqual(open, [])
  }
})

test.serial('completion, version and configuration are there for scripts', async (t) => {
  for (const [shell, marker] of [
    ['bash', /complete /],
    ['zsh', /compdef/],
    ['fish', /complete -c kith/],
  ] as const) {
    const { code, stdout } = await runKith(lab, ['completion', shell])
    t.is(code, 0)
    t.regex(stdout, marker)
  }
  const version = JSON.parse((await runKith(lab, ['version', '--json'])).stdout) as Record<string, string>
  t.regex(version['version'] ?? '', /^\d+\.\d+\.\d+/)
  t.is(version['node'], process.version)
  const entries = await founder.json<ConfigEntry[]>('config', 'get')
  t.like(
    entries.find(({ key }) => key === 'ui.port'),
    { value: 0, source: 'flag' },
  )
  t.like(
    entries.find(({ key }) => key === 'mdns'),
    { source: 'default' },
  )
  const one = await founder.json<ConfigEntry[]>('config', 'get', 'dns')
  t.deepEqual(
    one.map(({ key }) => key),
    ['dns.port'],
  )
  expectRefusal(t, await founder.cli('config', 'get', 'nothing', '--json'), 2, 'usage')
  t.regex((await founder.cli('ui', '--print')).stdout, /^http:\/\/\S+\/login\?code=\S+\n$/, 'the link alone')
})

test.serial('nothing is coloured when it is piped, with or without NO_COLOR', async (t) => {
  for (const env of [{}, { NO_COLOR: '1' }])
    for (const args of [['status'], ['peers'], ['services'], ['events'], ['help'], ['nonsense']]) {
      const { stdout, stderr } = await runKith(lab, [...args, '--data', founder.data], { env })
      t.notRegex(stdout + stderr, /\u001b/, args.join(' '))
    }
})

function events(node: LabNode, since = 0): Promise<LogEvent[]> {
  return node.client.get<LogEvent[]>(`/events?since=${since}`)
}

function isRefusedStranger(event: LogEvent): boolean {
  return event.kind === 'connection.refused' && event.reason === 'stranger-refused'
}

async function fresh(): Promise<string> {
  return (await founder.json<Invite>('invite')).invite
}

async function expired(): Promise<string> {
  const { invite, expires } = await founder.json<Invite>('invite', '--ttl', '1s')
  await until('the invite to expire', () => Date.now() > expires + 50)
  return invite
}

/** The same invite with one character of the signature at its end replaced by another of the alphabet. */
async function flipped(text: Promise<string>): Promise<string> {
  const invite = await text
  const index = invite.length - 20
  return `${invite.slice(0, index)}${invite[index] === 'A' ? 'B' : 'A'}${invite.slice(index + 1)}`
}

/** Two at a time: each is a process of its own on a small machine. */
async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let i = 0; i < items.length; i += 2)
    results.push(...(await Promise.all(items.slice(i, i + 2).map(work))))
  return results
}
