import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { NetcheckReport } from '../../node/api/path-schemas.ts'
import type { Invite, LogEvent, Peer, PingReply, Why } from '../../node/api/schemas.ts'
import { Internet } from '../../simulations/lab/internet.ts'
import { startMiniupnpd } from '../../simulations/lab/miniupnpd.ts'
import { Lab, LabNode, reasonToSkip, until, type Finished } from './lab.ts'
import { startNginx } from './nginx.ts'

/*
 * Real nodes behind real kernel NATs, 25 ms from each other, with two public members: joining, publishing, direct paths where
 * physics allows, relays where it does not, and a download that outlives all that happens to its path.
 *
 * KITH_LAB_FULL=1: the download has a gigabyte.
 */

const MEGABYTE = 1_000_000
const FILE_BYTES = process.env['KITH_LAB_FULL'] === '1' ? 1000 * MEGABYTE : 200 * MEGABYTE
const ONE_WAY_MS = 25
/** Slow enough that something can happen in the middle of a download. */
const BYTES_PER_SECOND = FILE_BYTES / 12
/** A download is under way when so much of it has arrived, and most of it has not. */
const UNDER_WAY_BYTES = FILE_BYTES / 10
/** Long enough for neighbours to be taken for dead, and for TCP to wait long between tries. */
const OUTAGE_MS = 20_000
const JOIN_MAX_MS = 5000
const FIRST_200_MAX_MS = 3000
const TAKEOVER_MAX_MS = 3000
const DOWNLOAD_MAX_MS = 200_000
/** A try that ends without a direct way is followed by another after 30 s at most. */
const RETRIED_MAX_MS = 45_000
const GATEWAY = 4743
const ORIGIN_PORT = 8080

const skip = reasonToSkip(['nft', 'conntrack', 'curl', 'sha256sum'], ['nginx', 'miniupnpd'])
if (skip !== undefined) process.stderr.write(`two NATs: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

let lab: Lab
let net: Internet
let sha256: string
const nodes = new Map<string, LabNode>()
let invite: string

function node(name: string): LabNode {
  const found = nodes.get(name)
  if (found === undefined) throw new Error(`there is no node ${name}`)
  return found
}

/** A node at the site of its name. */
function place(name: string): LabNode {
  const made = new LabNode(lab, name, net.host(name))
  nodes.set(name, made)
  return made
}

if (skip === undefined) {
  test.before(async (t) => {
    t.timeout(120_000)
    lab = new Lab()
    net = await Internet.start(lab, {
      seed: 'two NATs',
      path: { delayMs: ONE_WAY_MS },
      sites: [
        { name: 'r1', kind: 'open' },
        { name: 'r2', kind: 'open' },
        { name: 'a', kind: 'port-restricted' },
        { name: 'b', kind: 'port-restricted' },
        { name: 's', kind: 'symmetric' },
        { name: 'x', kind: 'only-443' },
        { name: 'u', kind: 'udp-blocked' },
        { name: 'p', kind: 'upnp' },
      ],
    })
    const listen = ['--listen', '/ip4/0.0.0.0/tcp/4701', '--listen', '/ip4/0.0.0.0/tcp/443']
    await place('r1').up('--create', 'home', '--name', 'r1', '--no-ui', ...listen)
    invite = (await node('r1').json<Invite>('invite', '--uses', '9')).invite
    sha256 = startNginx(lab, net.host('a'), ORIGIN_PORT, FILE_BYTES)
  })
  test.afterEach.always((t) => {
    if (t.passed) return
    for (const each of nodes.values()) t.log(`log of ${each.name}:\n${each.log().slice(-2500)}`)
  })
  test.after.always(async () => {
    await net?.close()
    await lab?.close()
  })
}

async function joins(t: ExecutionContext, name: string): Promise<void> {
  const started = performance.now()
  await place(name).up('--join', invite, '--name', name, '--no-ui')
  const tookMs = performance.now() - started
  t.log(`${name} joined in ${Math.round(tookMs)} ms`)
  t.true(tookMs < JOIN_MAX_MS)
}

/** The status curl gets at `name` from the gateway of another node. */
async function statusAt(from: string, name: string, path = ''): Promise<string> {
  const url = `http://127.0.0.1:${GATEWAY}/${path}`
  const what = ['-s', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', '-H', `Host: ${name}.home.internal`]
  const { stdout } = await lab.run(net.host(from), 'curl', [...what, url])
  return stdout
}

async function pathOf(from: string, to: string): Promise<Peer | undefined> {
  return node(from).peer(to)
}

story('two machines behind port-restricted NATs join by invite', async (t) => {
  await joins(t, 'a')
  await joins(t, 'b')
  await Promise.all(['r1', 'a', 'b'].map((name) => node(name).untilAlive(2)))
})

story('what one publishes opens on the other', async (t) => {
  const started = performance.now()
  await node('a').json('publish', 'files', `http://127.0.0.1:${ORIGIN_PORT}`)
  await until('the first 200', async () => (await statusAt('b', 'files', 'small')) === '200')
  const tookMs = performance.now() - started
  t.log(`publish to the first 200: ${Math.round(tookMs)} ms`)
  t.true(tookMs < FIRST_200_MAX_MS)
})

story('they meet directly, and say so', async (t) => {
  const { code, stdout } = await node('b').cli('ping', 'a', '--until-direct', '--json')
  t.is(code, 0, stdout)
  const replies = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as PingReply)
  t.is(replies.at(-1)?.path, 'direct')
  t.true((replies.at(-1)?.rttMs ?? 999) < ONE_WAY_MS * 3, 'one way there and back')
  const why = await node('b').json<Why>('why', 'a')
  t.is(why.path, 'direct')
  t.is(why.ways?.via, null)
  t.true(why.ways?.tried.some(({ way, outcome }) => way === 'punch' && outcome === 'connected'))
})

story('a second public member becomes a second relay, and tells what the NATs do', async (t) => {
  const listen = ['--listen', '/ip4/0.0.0.0/tcp/4701', '--listen', '/ip4/0.0.0.0/tcp/443']
  await place('r2').up('--join', invite, '--name', 'r2', '--no-ui', ...listen)
  await Promise.all(['r1', 'r2', 'a', 'b'].map((name) => node(name).untilAlive(3)))
  for (const name of ['a', 'b']) {
    const report = await until(`${name} to hold two relays`, async () => {
      const found = await node(name).client.get<NetcheckReport>('/netcheck')
      return found.relays.filter(({ held }) => held).length === 2 ? found : undefined
    })
    t.true(report.needsRelays)
    const measured = await node(name).json<NetcheckReport>('netcheck')
    t.is(measured.nat.mapping, 'endpoint-independent')
    t.is(measured.nat.filtering, 'address-and-port-dependent')
    t.is(measured.dialable, false)
    t.true(measured.views.every(({ seen }) => seen.startsWith(`${net.address(name)}:`)))
  }
  const relay = await node('r1').json<NetcheckReport>('netcheck')
  t.true(relay.dialable)
  t.false(relay.needsRelays)
  t.is(relay.carries?.reservations, 2)
})

story('behind a symmetric NAT a relay carries the data, and the reason is given', async (t) => {
  await joins(t, 's')
  await until('s to see files', async () => (await statusAt('s', 'files', 'small')) === '200')
  const measured = await until('s to know its NAT', async () => {
    const found = await node('s').json<NetcheckReport>('netcheck')
    return found.nat.mapping === null ? undefined : found
  })
  t.is(measured.nat.mapping, 'address-and-port-dependent')
  const { code, stdout } = await node('s').cli('ping', 'a', '--until-direct', '--json')
  t.is(code, 1, stdout)
  t.true(stdout.includes('"port-unknown"'), stdout)
  t.is((await pathOf('s', 'a'))?.path, 'relay')
  const why = await node('s').json<Why>('why', 'a')
  t.is(why.verdict, 'reachable')
  t.is(why.ways?.notDirect?.code, 'port-unknown')
})

for (const [name, what] of [
  ['x', 'a machine that may dial port 443 only'],
  ['u', 'a machine without UDP'],
] as const) {
  story(`${what} joins, opens a service and serves one`, async (t) => {
    await joins(t, name)
    await until(`${name} to open files`, async () => (await statusAt(name, 'files', 'small')) === '200')
    const site = lab.folder(`site-${name}`)
    lab.file(`site-${name}/index.html`, `hello from ${name}`)
    await node(name).json('publish', `of-${name}`, site)
    await until(`a to open of-${name}`, async () => (await statusAt('a', `of-${name}`)) === '200')
    t.pass()
  })
}

story(
  'a port forwarded by hand is found and announced: then even the symmetric NAT leads there directly',
  async (t) => {
    const router = lab.namespace('a-router')
    const rule =
      'table ip byhand { chain pre { type nat hook prerouting priority -110; iifname "wan" tcp dport 4701 dnat to 192.168.1.2:4701; }; }'
    const forward = await lab.run(undefined, 'ip', ['netns', 'exec', router, '/usr/sbin/nft', rule])
    t.is(forward.code, 0, forward.stderr)
    const report = await node('a').json<NetcheckReport>('netcheck')
    t.true(report.dialable)
    t.false(report.needsRelays)
    await until('s to reach a directly', async () => {
      await node('s').cli('ping', 'a', '--until-direct')
      return (await pathOf('s', 'a'))?.path === 'direct'
    })
    const why = await node('s').json<Why>('why', 'a')
    const found = why.ways?.tried.find(({ way, outcome }) => way === 'public' && outcome === 'connected')
    t.is(found?.endpoint, `${net.address('a')}:4701`)
    const nft = ['netns', 'exec', router, '/usr/sbin/nft']
    const removed = await lab.run(undefined, 'ip', [...nft, 'delete', 'table', 'ip', 'byhand'])
    t.is(removed.code, 0, removed.stderr)
    t.false((await node('a').json<NetcheckReport>('netcheck')).dialable)
  },
)

story('a router with UPnP and NAT-PMP is asked for the port, which is taken back at the end', async (t) => {
  startMiniupnpd(lab, net, 'p', { upnp: true, pmp: true })
  await joins(t, 'p')
  const report = await until('the router to map the port', async () => {
    const found = await node('p').json<NetcheckReport>('netcheck')
    return found.dialable === true ? found : undefined
  })
  t.is(report.portMapping.method, 'pcp')
  t.true(report.portMapping.outside?.startsWith(`${net.address('p')}:`))
  const isDirect = async (): Promise<boolean> => (await pathOf('s', 'p'))?.path === 'direct'
  await until('s to reach p directly', isDirect, RETRIED_MAX_MS)
  const { code, tookMs } = await node('p').stop()
  t.is(code, 0)
  t.log(`stopped in ${Math.round(tookMs)} ms`)
  const [, port = ''] = report.portMapping.outside?.split(':') ?? []
  const refused = await lab.run('r1', 'curl', ['-s', '-m', '2', `http://${net.address('p')}:${port}/`])
  t.true([7, 28].includes(refused.code ?? 0), `curl ended with ${refused.code}`)
})

/** A download: the file it goes to, and its end. */
interface Download {
  readonly path: string
  readonly end: Promise<Finished>
}

/** Begins a download by name at b, and waits until it is under way. */
async function startDownload(t: ExecutionContext): Promise<Download> {
  const path = join(lab.folder('downloads'), 'blob')
  rmSync(path, { force: true })
  const what = ['-sS', '-o', path, '-H', 'Host: files.home.internal', `http://127.0.0.1:${GATEWAY}/blob`]
  const end = lab.run(net.host('b'), 'curl', what, { timeoutMs: DOWNLOAD_MAX_MS })
  const arrivedBytes = await until('some of the download to arrive', () => {
    const { size } = statSync(path)
    return size >= UNDER_WAY_BYTES ? size : undefined
  })
  t.true(arrivedBytes < FILE_BYTES / 2, 'most of it is still to come')
  return { path, end }
}

/** The download ends whole, each byte as it was sent. */
async function arrives(t: ExecutionContext, { path, end }: Download): Promise<void> {
  const { code, stderr, tookMs } = await end
  t.log(`${FILE_BYTES / MEGABYTE} MB in ${(tookMs / 1000).toFixed(1)} s`)
  t.is(code, 0, stderr)
  t.is(statSync(path).size, FILE_BYTES)
  const { stdout } = await lab.run(undefined, 'sha256sum', [path])
  t.is(stdout.slice(0, 64), sha256)
}

/** Lets the path between the sites carry so much, in each direction. */
async function limit(bytesPerSecond: number | null): Promise<void> {
  await net.setAll({ bytesPerSecond })
}

async function eventsOf(name: string, kind: string): Promise<LogEvent[]> {
  return node(name).client.get<LogEvent[]>(`/events?kind=${kind}`)
}

story('a download goes on while its path changes from relay to direct', async (t) => {
  t.timeout(240_000)
  await net.setBetween(['a'], ['b'], { isBlocked: true })
  await until('the relay to take over', async () => (await pathOf('b', 'a'))?.path === 'relay')
  await limit(BYTES_PER_SECOND)
  const download = await startDownload(t)
  await net.setBetween(['a'], ['b'], { isBlocked: false })
  const ping = await node('b').cli('ping', 'a', '--until-direct')
  t.is(ping.code, 0, ping.stdout + ping.stderr)
  t.is((await pathOf('b', 'a'))?.path, 'direct')
  await arrives(t, download)
  await limit(null)
})

story('a download goes on while the NAT in front of the reader is restarted', async (t) => {
  t.timeout(240_000)
  await limit(BYTES_PER_SECOND)
  const download = await startDownload(t)
  net.rebootNat('b')
  await arrives(t, download)
  await limit(null)
})

story('a download goes on after 20 s without any network', async (t) => {
  t.timeout(300_000)
  await limit(BYTES_PER_SECOND)
  const download = await startDownload(t)
  const others = ['r1', 'r2', 'a', 's', 'x', 'u']
  await net.setBetween(['b'], others, { isBlocked: true })
  await new Promise((done) => setTimeout(done, OUTAGE_MS))
  await net.setBetween(['b'], others, { isBlocked: false })
  await arrives(t, download)
  await limit(null)
})

story(
  'a relay that is killed in the middle of a download is replaced: the rest is asked for, new requests wait little',
  async (t) => {
    t.timeout(240_000)
    await net.setBetween(['a'], ['b'], { isBlocked: true })
    const relayed = await until('a relay to take over', async () => {
      const peer = await pathOf('b', 'a')
      return peer?.path === 'relay' ? peer : undefined
    })
    const name = ['r1', 'r2'].find((each) => node(each).ready.node.id === relayed.via)
    if (name === undefined) return t.fail(`the relay is ${relayed.via ?? 'none'}`)
    await limit(BYTES_PER_SECOND)
    const download = await startDownload(t)
    await node(name).kill()
    const killed = performance.now()
    await until('a new request to succeed', async () => (await statusAt('b', 'files', 'small')) === '200')
    const tookMs = performance.now() - killed
    t.log(`a new request succeeded ${Math.round(tookMs)} ms after the relay was killed`)
    t.true(tookMs < TAKEOVER_MAX_MS)
    await arrives(t, download)
    t.true((await eventsOf('b', 'download.resumed')).length > 0, 'by a range request for the rest')
    await limit(null)
    await node(name).up('--no-ui')
    await until('its reservations to be made again', async () => {
      const report = await node(name).client.get<NetcheckReport>('/netcheck')
      return (report.carries?.reservations ?? 0) >= 2
    })
  },
)
