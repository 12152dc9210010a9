import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Forward, Invite, LogEvent, Service, Why } from '../../node/api/schemas.ts'
import { daemon } from '../programs.ts'
import { Lab, reasonToSkip, until, LabNode, type Program } from './lab.ts'
import { startNginx } from './nginx.ts'

/*
 * The product's main story with real programs: two machines (network namespaces) and a cable, nginx, curl, dig, WebSocket,
 * server-sent events and OpenSSH between them, then crashes.
 */

const FILE_BYTES = 100_000_000
const SSH_BYTES = 20_000_000
const RSS_MAX_BYTES = 250 * 1024 * 1024
const SLOW_READ_SECONDS = 15
const NGINX_PORT = 8080
const SSH_PORT = 2022
const WHOLE_AGAIN_MAX_MS = 10_000
/** Node's defaults; each machine has them for itself. */
const [GATEWAY, DNS] = [4743, 4753]

const skip = reasonToSkip(['curl', 'dig', 'ssh'], ['nginx', 'sshd'])
if (skip !== undefined) process.stderr.write(`two machines: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

let lab: Lab
let a: LabNode
let b: LabNode
let origin: Program
let sha256: string
let ports: { http: number; hashing: number; finishing: number }

if (skip === undefined) {
  test.before(async (t) => {
    t.timeout(60_000)
    lab = new Lab()
    lab.machines('a', 'b')
    lab.cable('a', '10.77.1.1', 'b', '10.77.1.2')
    a = new LabNode(lab, 'a', 'a')
    b = new LabNode(lab, 'b', 'b')
    await a.up('--create', 'home', '--name', 'a')
    const { invite } = await a.json<Invite>('invite')
    await b.up('--join', invite, '--name', 'b')
    await Promise.all([a.untilAlive(1), b.untilAlive(1)])
    origin = lab.startScript('a', join(import.meta.dirname, 'origin.ts'))
    ports = JSON.parse(await origin.line())
    sha256 = startNginx(lab, 'a', NGINX_PORT, FILE_BYTES)
    await a.json('publish', 'files', `http://127.0.0.1:${NGINX_PORT}`)
    await a.json('publish', 'web', String(ports.http))
    await a.json('publish', 'sums', `tcp://127.0.0.1:${ports.hashing}`)
    await a.json('publish', 'last', `tcp://127.0.0.1:${ports.finishing}`, '--health', 'none')
    await until('b to see the services', async () => (await services(b)).length === 4)
  })
  test.afterEach.always((t) => {
    if (t.passed) return
    for (const node of [a, b]) t.log(`log of ${node.name}:\n${node.log().slice(-1200)}`)
  })
  test.after.always(async () => {
    await lab?.close()
  })
}

for (const readers of [1, 5]) {
  story(
    `memory stays bounded while ${readers} slow reader${readers > 1 ? 's pull' : ' pulls'} the 100 MB`,
    async (t) => {
      const { localUrl } = await service(b, 'files')
      const before = [a, b].map((node) => node.residentBytes())
      for (const node of [a, b]) node.resetPeak()
      const url = `${localUrl}/blob`
      const slow = ['-sS', '-o', '/dev/null', '--limit-rate', '100k', '-m', String(SLOW_READ_SECONDS), url]
      const ends = await Promise.all(Array.from({ length: readers }, () => lab.run('b', 'curl', slow)))
      t.true(
        ends.every(({ code }) => code === 28),
        'each was still reading when its time was up',
      )
      const peaks = [a, b].map((node) => node.peakBytes())
      const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024)
      t.log(
        `peak RSS with ${readers}: provider ${megabytes(peaks[0] ?? 0)} MiB, consumer ${megabytes(peaks[1] ?? 0)} MiB; before ${before.map(megabytes).join(' and ')} MiB`,
      )
      for (const peak of peaks) t.true(peak < RSS_MAX_BYTES, `${megabytes(peak)} MiB`)
    },
  )
}

story(
  'a 100 MB file on nginx arrives whole, by its real name and by the one that opens with nothing set up',
  async (t) => {
    const { url, address, port, localUrl } = await service(b, 'files')
    t.is(url, `http://files.home.internal:${GATEWAY}`)
    t.regex(address ?? '', /^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./)
    t.is((await dig('files.home.internal', 'A')).answers.at(-1)?.at(-1) ?? null, address)
    const byName = await download(`--resolve files.home.internal:${port}:${address} ${url}/blob`)
    t.is(byName.sha256, sha256)
    const byLocalUrl = await download(`${localUrl}/blob`)
    t.is(byLocalUrl.sha256, sha256)
    const rate = (tookMs: number): string => `${Math.round(FILE_BYTES / 1000 / tookMs)} MB/s`
    t.log(`by name ${rate(byName.tookMs)}, by localhost name ${rate(byLocalUrl.tookMs)}`)
  },
)

story('dig gets names of services and nodes, over UDP and TCP, and a clear no for the rest', async (t) => {
  const { address } = await service(b, 'web')
  for (const transport of ['+notcp', '+tcp']) {
    const cases: [name: string, type: string, status: string, answer: RegExp | undefined][] = [
      ['web.home.internal', 'A', 'NOERROR', new RegExp(`^${address}$`)],
      ['web.a.node.home.internal', 'A', 'NOERROR', /^127\./],
      ['a.node.home.internal', 'A', 'NOERROR', /^10\.77\.1\.1$/],
      ['b.node.home.internal', 'A', 'NOERROR', /^10\.77\.1\.2$/],
      ['_http._tcp.web.home.internal', 'SRV', 'NOERROR', new RegExp(` ${GATEWAY} web\\.home\\.internal\\.$`)],
      ['nothing.home.internal', 'A', 'NXDOMAIN', undefined],
      ['nobody.node.home.internal', 'A', 'NXDOMAIN', undefined],
      ['example.org', 'A', 'REFUSED', undefined],
    ]
    for (const [name, type, status, answer] of cases) {
      const got = await dig(name, type, transport)
      t.is(got.status, status, `${name} ${type} ${transport}`)
      if (answer === undefined) t.deepEqual(got.answers, [])
      else t.regex(got.answers.at(-1)?.slice(4).join(' ') ?? '', answer, `${name} ${type} ${transport}`)
    }
  }
  const mixed = await dig('wEb.hOmE.InTeRnAl', 'A')
  t.is(mixed.answers[0]?.[0], 'wEb.hOmE.InTeRnAl.', 'letter case is kept (0x20)')
})

story('WebSocket messages come back as they were sent, and its close code too', async (t) => {
  const echo = await visit<{ echoed: number; code: number; reason: string }>('websocket', 'web')
  t.deepEqual(echo, { echoed: 4, code: 4321, reason: 'done' })
})

story('server-sent events arrive one by one, when they are sent', async (t) => {
  const events = await visit<{ sentAt: number; at: number }[]>('events', 'web')
  t.is(events.length, 5)
  for (const { sentAt, at } of events) t.true(at - sentAt < 400, `an event came ${at - sentAt} ms late`)
  t.true((events.at(-1)?.at ?? 0) - (events[0]?.at ?? 0) > 600)
})

story('an OpenSSH session through a forward runs a command and carries 20 MB both ways', async (t) => {
  const key = await startSshd()
  await a.json('publish', 'ssh', `tcp://127.0.0.1:${SSH_PORT}`)
  await until('b to see ssh', () => service(b, 'ssh'))
  const forward = b.startCli('forward', 'ssh', '0')
  const { address, port } = JSON.parse(await forward.line()) as Forward
  const ssh = (command: string): string =>
    `ssh -F /dev/null -i ${key} -p ${port} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@${address} '${command}'`
  const shell = (line: string): ReturnType<Lab['run']> => lab.run('b', 'sh', ['-c', line])
  const hello = await shell(ssh('echo hello from $(id -un); exit 7'))
  t.deepEqual([hello.code, hello.stdout, hello.stderr], [7, 'hello from root\n', ''])

  const cargo = randomBytes(SSH_BYTES)
  const file = lab.file('cargo', cargo)
  const copied = await shell(`${ssh('cat')} < ${file} | sha256sum`)
  t.is(copied.stdout.slice(0, 64), createHash('sha256').update(cargo).digest('hex'), copied.stderr)
  t.log(`ssh: ${SSH_BYTES / 1e6} MB there and back in ${(copied.tookMs / 1000).toFixed(1)} s`)
  t.is(await forward.end('SIGTERM'), 0)
  t.not((await shell(`curl -s telnet://${address}:${port} < /dev/null`)).code, 0, 'the forward is gone')
})

story('200 requests at once through the gateway all succeed', async (t) => {
  t.deepEqual(await visit('parallel-http', 'web', 200), { 200: 200 })
})

story('200 connections at once to a TCP service all carry their bytes', async (t) => {
  t.deepEqual(await visit('parallel-tcp', 'sums', 200), { right: 200 })
})

story('either side of a connection may finish first and still be heard', async (t) => {
  const forward = b.startCli('forward', 'last', '0')
  const place = { ...(JSON.parse(await forward.line()) as Forward), host: '', count: 0 }
  const { heard } = await visitPlace<{ heard: string }>('server-finishes', place)
  t.is(heard, 'first and last word')
  t.deepEqual(JSON.parse(await origin.line()), { received: 'said after the end' })
  await forward.end('SIGTERM')
  t.deepEqual(await visit('client-finishes', 'sums'), { isRight: true })
})

story('a service that is open to somebody else is denied, with the reason', async (t) => {
  await a.json('publish', 'diary', String(ports.http), '--allow', 'peer:other')
  const { localUrl } = await until('b to see diary', () => service(b, 'diary'))
  await expectProblem(t, localUrl, 403, 'not-allowed')
  const why = await b.json<Why>('why', 'diary')
  t.is(why.verdict, 'denied')
  t.is(why.reasons[0]?.code, 'not-allowed')
  await a.json('publish', 'diary', String(ports.http), '--allow', 'peer:b')
  await until('the new policy', async () => (await curl(localUrl)).status === 200)
  await a.cli('unpublish', 'diary')
})

story('a program that does not run shows as such, not as a broken mesh', async (t) => {
  await a.json('publish', 'gone', '9')
  const { localUrl } = await until('b to see gone', () => service(b, 'gone'))
  await expectProblem(t, localUrl, 502, 'target-refused')
  const why = await b.json<Why>('why', 'gone')
  t.deepEqual([why.verdict, why.path, why.reasons[0]?.code], ['unreachable', 'direct', 'target-refused'])
  await a.cli('unpublish', 'gone')
})

story(
  'when the provider is killed its services say why, and after its restart all is whole by itself',
  async (t) => {
    await a.kill()
    const { localUrl } = await service(b, 'web')
    const lost = await curl(localUrl)
    t.is(lost.status, 502)
    t.regex(lost.body, /peer-dead|peer-unreachable|stream-failed/)
    await until('b to notice', async () => {
      const why = await b.client.get<Why>('/why/web')
      return (
        why.verdict === 'unreachable' &&
        ['peer-dead', 'peer-unreachable'].includes(why.reasons[0]?.code ?? '')
      )
    })
    await expectWholeAgain(t, 'the provider', () => a.up())
  },
)

story('the consumer too comes back by itself', async (t) => {
  await b.kill()
  await expectWholeAgain(t, 'the consumer', () => b.up())
})

story('both killed at once find each other again', async (t) => {
  await Promise.all([a.kill(), b.kill()])
  await expectWholeAgain(t, 'both', () => Promise.all([a.up(), b.up()]))
})

story(
  'a stopped provider is told from a crashed one only by what the log says; its services come back with it',
  async (t) => {
    const { code, tookMs } = await a.stop()
    t.is(code, 0)
    t.true(tookMs < 3000, `stopping took ${tookMs} ms`)
    const { reasons, verdict } = await until('b to notice', async () => {
      const why = await b.client.get<Why>('/why/web')
      return why.verdict === 'reachable' ? undefined : why
    })
    t.is(verdict, 'unreachable')
    t.regex(reasons[0]?.code ?? '', /^peer-(dead|unreachable)$/)
    await expectWholeAgain(t, 'a stopped provider', () => a.up())
  },
)

/**
 * Starts Debian's sshd on machine a with keys and users of its own; the path of the key that opens it. What it insists on
 * (a user `sshd`, /run/sshd) is mounted over the real places in the mount namespace `ip netns exec` makes, seen by it alone.
 */
async function startSshd(): Promise<string> {
  const sshd = daemon('sshd')
  if (sshd === undefined) throw new Error('sshd is not unpacked; `npm test` does it')
  const folder = lab.folder('ssh')
  for (const name of ['host', 'user'])
    await lab.run(undefined, 'ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)])
  lab.file('ssh/authorized_keys', readFileSync(join(folder, 'user.pub')))
  const passwd = lab.file(
    'ssh/passwd',
    'root:x:0:0:root:/tmp:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n',
    0o644,
  )
  const shadow = lab.file('ssh/shadow', 'root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n')
  const config = lab.file(
    'ssh/sshd_config',
    `Port ${SSH_PORT}
ListenAddress 127.0.0.1
HostKey ${folder}/host
AuthorizedKeysFile ${folder}/authorized_keys
UsePAM no
StrictModes no
PasswordAuthentication no
PidFile none
`,
  )
  const mounts = `mount --bind ${passwd} /etc/passwd && mount --bind ${shadow} /etc/shadow && mount -t tmpfs none /run && mkdir -p -m 0755 /run/sshd`
  lab.start('a', 'sh', ['-c', `${mounts} && exec ${sshd.path} -D -e -f ${config}`], { env: sshd.env })
  await until('sshd to listen', async () => {
    const probe = await lab.run('a', 'sh', ['-c', `ssh-keyscan -T 2 -p ${SSH_PORT} 127.0.0.1`])
    return probe.stdout.includes('ssh-ed25519')
  })
  return join(folder, 'user')
}

function services(node: LabNode): Promise<Service[]> {
  return node.client.get<Service[]>('/services')
}

async function service(node: LabNode, name: string): Promise<Service & { localUrl: string }> {
  const found = (await services(node)).find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`${node.name} knows no service "${name}"`)
  return found as Service & { localUrl: string }
}

/** Fetches on machine b and hashes what arrives. */
async function download(curlArguments: string): Promise<{ sha256: string; tookMs: number }> {
  const { stdout, stderr, tookMs } = await lab.run('b', 'sh', ['-c', `curl -sS ${curlArguments} | sha256sum`])
  return { sha256: stdout.slice(0, 64) || stderr, tookMs }
}

async function curl(url: string, ...more: readonly string[]): Promise<{ status: number; body: string }> {
  const { stdout, stderr } = await lab.run('b', 'curl', [
    '-sS',
    '-m',
    '10',
    '-w',
    '\n%{http_code}',
    ...more,
    url,
  ])
  const at = stdout.lastIndexOf('\n')
  return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) + stderr }
}

/** The gateway's own answer, as a page and as JSON. */
async function expectProblem(t: ExecutionContext, url: string, status: number, code: string): Promise<void> {
  const page = await curl(url, '-H', 'Accept: text/html')
  t.is(page.status, status)
  t.regex(page.body, /<html/i)
  t.true(page.body.includes(code), page.body)
  const json = await curl(url)
  t.is(json.status, status)
  t.is((JSON.parse(json.body) as { error: { code: string } }).error.code, code)
}

/** Asks the local DNS of machine b; answers as fields: name, TTL, class, type, data…. */
async function dig(
  name: string,
  type: string,
  transport = '+notcp',
): Promise<{ status: string; answers: string[][] }> {
  const flags = ['+noall', '+comments', '+answer', '+time=2', '+tries=1', transport]
  const { stdout } = await lab.run('b', 'dig', ['@127.0.0.1', '-p', String(DNS), name, type, ...flags])
  const answers = stdout.split('\n').filter((line) => line !== '' && !line.startsWith(';'))
  return {
    status: /status: (\w+)/.exec(stdout)?.[1] ?? stdout,
    answers: answers.map((line) => line.split(/\s+/)),
  }
}

async function visit<T>(verb: string, name: string, count = 0): Promise<T> {
  const { address, port, fqdn } = await service(b, name)
  return visitPlace<T>(verb, { address: address ?? '', port: port ?? 0, host: fqdn, count })
}

async function visitPlace<T>(
  verb: string,
  { address, port, host, count }: { address: string; port: number; host: string; count: number },
): Promise<T> {
  const { code, stdout, stderr } = await lab.runScript('b', join(import.meta.dirname, 'visitor.ts'), [
    verb,
    JSON.stringify({ address, port, host, count }),
  ])
  if (code !== 0) throw new Error(`${verb}: exit ${code}: ${stderr}`)
  return JSON.parse(stdout) as T
}

/** After a crash: alive on both sides, the services published before answer, and no event id is missing; within 10 s. */
async function expectWholeAgain(
  t: ExecutionContext,
  who: string,
  restart: () => Promise<unknown>,
): Promise<void> {
  const started = performance.now()
  await restart()
  const readyMs = performance.now() - started
  await Promise.all([a.untilAlive(1), b.untilAlive(1)])
  await until('a direct connection on both sides', async () => {
    const [seenByA, seenByB] = await Promise.all([a.peer('b'), b.peer('a')])
    return seenByA?.path === 'direct' && seenByB?.path === 'direct'
  })
  const aliveMs = performance.now() - started
  const { localUrl } = await until('web to be known', () => service(b, 'web'))
  await until('web to answer', async () => (await curl(localUrl)).status === 200)
  const wholeMs = performance.now() - started
  t.log(
    `${who}: ready in ${Math.round(readyMs)} ms, alive on both sides ${Math.round(aliveMs)} ms, answers ${Math.round(wholeMs)} ms`,
  )
  t.true(wholeMs < WHOLE_AGAIN_MAX_MS)
  for (const node of [a, b]) {
    const names = (await services(node)).map(({ name }) => name).sort()
    t.deepEqual(names, ['files', 'last', 'ssh', 'sums', 'web'], node.name)
    const ids = (await node.client.get<LogEvent[]>('/events')).map(({ id }) => id)
    t.deepEqual(
      ids,
      Array.from(ids, (_, i) => (ids[0] ?? 0) + i),
      `${node.name}: event ids have no gaps`,
    )
  }
}
