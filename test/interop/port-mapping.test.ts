import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Internet } from '../../simulations/lab/internet.ts'
import { startMiniupnpd } from '../../simulations/lab/miniupnpd.ts'
import { Lab, reasonToSkip, until, type Program } from './lab.ts'

/*
 * A host asks its router for a port: Debian's miniupnpd on the lab's router, in every protocol; and what must not be believed.
 */

const skip = reasonToSkip(['nft'], ['miniupnpd'])
if (skip !== undefined) process.stderr.write(`port mapping: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip
const END = join(import.meta.dirname, 'port-mapping-end.ts')
const HOSTILE = join(import.meta.dirname, 'hostile-router.ts')
const PORT = 7070
const CHECK_MS = 1000
/** From the start to a mapping; a search by UPnP is answered after up to a second. */
const MAPPED_MS = 5000
const METHODS = ['pcp', 'nat-pmp', 'upnp'] as const
const VISIT = `const s = require('net').connect(Number(process.argv[2]), process.argv[1])
s.on('data', (d) => (console.log(String(d)), process.exit(0))).on('error', () => process.exit(1))
setTimeout(() => process.exit(2), 1000)`

let lab: Lab
let net: Internet
if (skip === undefined) {
  test.before(async () => {
    lab = new Lab()
    net = await Internet.start(lab, {
      seed: 'ports',
      sites: [
        { name: 'server', kind: 'open' },
        { name: 'home', kind: 'upnp', hosts: 2 },
        { name: 'double', kind: 'upnp-behind-carrier' },
        { name: 'plain', kind: 'port-restricted', hosts: 2 },
      ],
    })
  })
  test.after.always(async () => {
    await net?.close()
    await lab?.close()
  })
}

interface Line {
  readonly kind?: string
  readonly reason?: string
  readonly changed?: string | null
  readonly method?: string
  readonly tookMs: number
  readonly stopped?: boolean
}

const end = (host: string, ...methods: readonly string[]): Program =>
  lab.startScript(host, END, [String(PORT), String(CHECK_MS), ...methods])

/** The first line of the host that fulfils the condition and stands behind `after` others of its kind. */
async function line(what: string, host: Program, fits: (line: Line) => boolean, after = 0): Promise<Line> {
  return until(what, () => {
    const lines = host.stdout().trimEnd().split('\n').filter(Boolean)
    return lines.map((text) => JSON.parse(text) as Line).filter(fits)[after]
  })
}

const isMapped = ({ changed }: Line): boolean => typeof changed === 'string'

/** What somebody on the internet hears at the home's port; the empty string when nothing. */
async function heard(site: string, port = PORT): Promise<string> {
  const args = ['-e', VISIT, net.address(site), String(port)]
  return (await lab.run('server', process.execPath, args)).stdout.trim()
}

async function stopped(t: ExecutionContext, host: Program): Promise<void> {
  t.is(await host.end('SIGTERM'), 0, host.stderr())
  const { tookMs } = await line('the end', host, ({ stopped: isStopped }) => isStopped === true)
  t.true(tookMs < 2500, `stopping took ${tookMs} ms`)
}

for (const method of METHODS)
  story(
    `a router that serves ${method} maps the port, an outsider comes in, and a stop ends it`,
    async (t) => {
      const router = startMiniupnpd(lab, net, 'home', { upnp: method === 'upnp', pmp: method !== 'upnp' })
      await until('the router', () => router.stderr().includes(method === 'upnp' ? 'HTTP listening' : '5351'))
      t.is(await heard('home'), '')
      const host = end(net.host('home'), ...METHODS.filter((each) => each === method || method === 'upnp'))
      const mapped = await line('a mapping', host, isMapped)
      t.like(mapped, { changed: `${net.address('home')}:${PORT}`, method })
      t.log(`${method}: mapped ${mapped.tookMs} ms after the start`)
      t.true(mapped.tookMs < MAPPED_MS, `${mapped.tookMs} ms`)
      t.is(await heard('home'), 'hello')
      await stopped(t, host)
      t.is(await heard('home'), '')
      await router.end('SIGTERM')
    },
  )

story('a router that drops what it does not know is asked by UPnP after a while', async (t) => {
  const input = ['table', 'ip', 'filter', '{', 'chain', 'unknown', '{', 'type filter hook input priority 1;']
  const rules = `${input.join(' ')} udp dport 5351 drop\n }\n}\n`
  await lab.run(net.router('home'), '/usr/sbin/nft', ['-f', '-'], { input: rules })
  const router = startMiniupnpd(lab, net, 'home', { upnp: true, pmp: false })
  await until('the router', () => router.stderr().includes('HTTP listening'))
  const host = end(net.host('home'), ...METHODS)
  const mapped = await line('a mapping', host, isMapped)
  t.is(mapped.method, 'upnp')
  t.log(`mapped ${mapped.tookMs} ms after the start`)
  t.true(mapped.tookMs > 3000 && mapped.tookMs < 2 * MAPPED_MS, `${mapped.tookMs} ms`)
  await stopped(t, host)
  await router.end('SIGTERM')
  await lab.run(net.router('home'), '/usr/sbin/nft', ['delete', 'chain', 'ip', 'filter', 'unknown'])
})

for (const method of METHODS)
  story(`a router that was restarted has the mapping again, by ${method}`, async (t) => {
    const services = { upnp: true, pmp: true }
    const router = startMiniupnpd(lab, net, 'home', services)
    await until('the router', () => router.stderr().includes('5351'))
    const host = end(net.host('home'), method)
    await line('a mapping', host, isMapped)
    await router.end('SIGKILL')
    for (const chain of ['miniupnpd', 'prerouting_miniupnpd'])
      await lab.run(net.router('home'), '/usr/sbin/nft', ['flush', 'chain', 'inet', 'filter', chain])
    t.is(await heard('home'), '')
    const again = startMiniupnpd(lab, net, 'home', services)
    // A renewal that met silence is repeated after ten seconds.
    await until('the port to be open again', async () => (await heard('home')) === 'hello', 25_000)
    await stopped(t, host)
    t.is(await heard('home'), '')
    await again.end('SIGTERM')
  })

for (const method of METHODS)
  story(`two hosts of one home get an outside port each, by ${method}`, async (t) => {
    const router = startMiniupnpd(lab, net, 'home', { upnp: true, pmp: true })
    await until('the router', () => router.stderr().includes('5351'))
    const first = end(net.host('home'), method)
    await line('the first mapping', first, isMapped)
    const second = end(net.host('home', 1), method)
    const { changed } = await line('the second mapping', second, isMapped)
    const port = Number(changed?.split(':')[1])
    t.not(port, PORT)
    t.is(await heard('home', port), 'hello')
    await stopped(t, second)
    t.is(await heard('home', port), '')
    t.is(await heard('home'), 'hello', "the neighbour's mapping stays")
    await stopped(t, first)
    await router.end('SIGTERM')
  })

story('a router behind a carrier has no public address to map', async (t) => {
  const router = startMiniupnpd(lab, net, 'double', { upnp: true, pmp: true })
  await until('the router', () => router.stderr().includes('5351'))
  const host = end(net.host('double'), ...METHODS)
  const { reason } = await line('a reason', host, ({ kind }) => kind === 'port.mapping-failed')
  // This daemon keeps its address of the carrier's network to itself.
  t.is(reason, 'mapping-no-address')
  await stopped(t, host)
  await router.end('SIGTERM')
})

story('a router without any of it is asked once, and then left alone', async (t) => {
  const host = end(net.host('plain'), ...METHODS)
  const { reason } = await line('a reason', host, ({ kind }) => kind === 'port.mapping-failed')
  t.is(reason, 'mapping-none')
  const before = host.stdout()
  await lab.run('plain', 'sleep', ['2'])
  t.is(host.stdout(), before)
  await stopped(t, host)
})

story('what others than the router answer is not believed', async (t) => {
  const neighbour = lab.startScript(net.host('plain', 1), HOSTILE, ['http://192.168.1.3:8080/', '1000'])
  t.is(await neighbour.line(), 'ready')
  const host = end(net.host('plain'), 'upnp')
  const { reason } = await line('a reason', host, ({ kind }) => kind === 'port.mapping-failed')
  t.is(reason, 'mapping-none')
  t.regex(neighbour.stdout(), /searched/)
  t.notRegex(neighbour.stdout(), /asked/)
  await stopped(t, host)
  await neighbour.end('SIGKILL')
})

story('a router that sends us to another host is not followed', async (t) => {
  const victim = lab.startScript(net.host('plain', 1), HOSTILE, ['', '1000'])
  t.is(await victim.line(), 'ready')
  const router = lab.startScript(net.router('plain'), HOSTILE, ['http://192.168.1.3:8080/', '1000'])
  t.is(await router.line(), 'ready')
  const host = end(net.host('plain'), 'upnp')
  const { reason } = await line('a reason', host, ({ kind }) => kind === 'port.mapping-failed')
  t.is(reason, 'mapping-none')
  t.regex(router.stdout(), /searched/)
  t.notRegex(victim.stdout(), /asked/)
  await stopped(t, host)
  for (const each of [victim, router]) await each.end('SIGKILL')
})

story('a description that does not end is not read to its end', async (t) => {
  const router = lab.startScript(net.router('plain'), HOSTILE, ['http://192.168.1.1:8080/', '50000000'])
  t.is(await router.line(), 'ready')
  const host = end(net.host('plain'), 'upnp')
  const { reason } = await line('a reason', host, ({ kind }) => kind === 'port.mapping-failed')
  t.is(reason, 'mapping-malformed')
  t.regex(router.stdout(), /asked/)
  await stopped(t, host)
  await router.end('SIGKILL')
})
