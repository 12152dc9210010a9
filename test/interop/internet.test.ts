import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { NatBehaviour } from '../../protocols/traversal/nat.ts'
import type { Delays } from '../../simulations/lab/delay-tester.ts'
import { Internet } from '../../simulations/lab/internet.ts'
import { NAT_KINDS, type NatKind } from '../../simulations/lab/nat-kinds.ts'
import type { Found } from '../../simulations/lab/nat-tester.ts'
import { Lab, reasonToSkip, type Program } from './lab.ts'

/*
 * The lab tests itself: every kind of NAT, done by the kernel, before a tester that finds out what it does (RFC 5780), and the
 * internet between the sites before clocks and counters.
 */

const skip = reasonToSkip(['nft', 'conntrack'])
if (skip !== undefined) process.stderr.write(`internet: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip
const LAB = join(import.meta.dirname, '..', '..', 'simulations', 'lab')
const NAT_TESTER = join(LAB, 'nat-tester.ts')
const DELAY_TESTER = join(LAB, 'delay-tester.ts')

const portRestricted: NatBehaviour = NAT_KINDS['port-restricted'].tcp
const cgnat: NatKind = {
  about: 'A port-restricted home behind a port-restricted carrier.',
  udp: portRestricted,
  tcp: portRestricted,
  rules: () => '',
}
const KINDS: Readonly<Record<string, NatKind>> = { ...NAT_KINDS, cgnat }

let lab: Lab
let net: Internet
let servers: string[] = []
let echo: Program
if (skip === undefined) {
  test.before(async () => {
    lab = new Lab()
    const kinds = Object.keys(KINDS) as (keyof typeof NAT_KINDS | 'cgnat')[]
    const sites = [
      { name: 'server', kind: 'open' as const },
      ...kinds.map((kind) => ({ name: kind, kind, hosts: kind === 'port-restricted' ? 2 : 1 })),
    ]
    net = await Internet.start(lab, { seed: 'itself', sites })
    servers = [net.address('server'), net.address('server').replace(/1$/, '2')]
    await lab.run('server', 'ip', ['addr', 'add', `${servers[1]}/32`, 'dev', 'wan'])
    echo = lab.startScript('server', DELAY_TESTER, ['serve'])
    await echo.line()
  })
  test.after.always(async () => {
    await net?.close()
    await lab?.close()
  })
}

for (const [name, kind] of Object.entries(KINDS)) {
  story(`${name}: ${kind.about}`, async (t) => {
    const server = lab.startScript('server', NAT_TESTER, ['serve', ...servers])
    t.is(await server.line(), 'ready')
    const probed = await lab.runScript(net.host(name), NAT_TESTER, ['probe', ...servers])
    t.is(probed.code, 0, probed.stderr)
    const found = JSON.parse(probed.stdout) as Found
    const tcp = name === 'only-443' ? null : kind.tcp // the tester's own ports are others
    t.deepEqual(found, { udp: kind.udp, tcp, web: true })
    await server.end('SIGKILL')
  })
}

async function measure(t: ExecutionContext, count: number): Promise<Delays> {
  const { stdout, stderr } = await lab.runScript(net.host('port-restricted'), DELAY_TESTER, [
    'probe',
    net.address('server'),
    String(count),
  ])
  t.is(stderr, '')
  return JSON.parse(stdout) as Delays
}

story('a path takes as long as it is told to, within 3 ms at the median', async (t) => {
  for (const delayMs of [0, 5, 50]) {
    await net.setBetween(['port-restricted'], ['server'], { delayMs })
    const { received, p50Ms, p95Ms } = await measure(t, 50)
    t.log(`${delayMs} ms each way: p50 ${p50Ms.toFixed(2)} ms, p95 ${p95Ms.toFixed(2)} ms`)
    t.is(received, 50)
    t.true(p50Ms >= 2 * delayMs && p50Ms < 2 * delayMs + 3, `${delayMs} ms each way took ${p50Ms} ms`)
  }
})

story('a path one way only can be cut, and heals', async (t) => {
  const before = await net.counts('port-restricted', 'server')
  await net.setPath('server', 'port-restricted', { isBlocked: true })
  t.is((await measure(t, 5)).received, 0)
  const after = await net.counts('port-restricted', 'server')
  t.is(after.delivered - before.delivered, 5, 'the other way was open')
  await net.setPath('server', 'port-restricted', { isBlocked: false })
  t.is((await measure(t, 5)).received, 5)
})

story('a router that is rebooted has forgotten its mappings', async (t) => {
  await measure(t, 1)
  const list = ['-L', '-p', 'udp', '--dport', '7']
  const edge = net.edge('port-restricted')
  t.regex((await lab.run(edge, 'conntrack', list)).stdout, /dport=7 /)
  net.rebootNat('port-restricted')
  t.is((await lab.run(edge, 'conntrack', list)).stdout, '')
})

story('two machines of one home reach each other beside the router', async (t) => {
  const other = lab.startScript(net.host('port-restricted', 1), DELAY_TESTER, ['serve'])
  await other.line()
  const { stdout } = await lab.runScript(net.host('port-restricted'), DELAY_TESTER, [
    'probe',
    '192.168.1.3',
    '5',
  ])
  t.is((JSON.parse(stdout) as Delays).received, 5)
  await other.end('SIGKILL')
})

story('a lab that closes ends what its programs have started, too', async (t) => {
  const own = new Lab()
  own.machines('m')
  const shell = own.start('m', 'sh', ['-c', 'sleep 777 & echo $!; wait'])
  const sleeper = `/proc/${await shell.line()}/cmdline`
  t.regex(readFileSync(sleeper, 'latin1'), /^sleep/)
  await own.close() // would wait for ever: the sleeper holds the shell's output open
  // What nobody has buried yet has no command line.
  t.is(existsSync(sleeper) ? readFileSync(sleeper, 'latin1') : '', '')
})
