import { join } from 'node:path'
import test from 'ava'
import { NAT_KINDS, type NatKind } from '../../simulations/lab/nat-kinds.ts'
import type { Found } from '../../simulations/lab/nat-tester.ts'
import { Lab, reasonToSkip } from './lab.ts'

/*
 * Every kind of NAT of the lab, done by the kernel, before a tester that finds out what it does (RFC 5780): h ── r ── n, where n has
 * two addresses on the lab's internet.
 */

const skip = reasonToSkip(['nft'])
if (skip !== undefined) process.stderr.write(`NAT kinds: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip
/** By its path: a package of npm's has a command of this name too. */
const NFT = '/usr/sbin/nft'
const TESTER = join('..', '..', 'simulations', 'lab', 'nat-tester.ts')
const SERVERS = ['11.0.0.1', '11.0.0.2']
const WAN_ADDRESS = '11.0.0.10'

let lab: Lab
if (skip === undefined) {
  test.before(() => {
    lab = new Lab()
  })
  test.after.always(async () => {
    await lab?.close()
  })
}

for (const [index, [name, kind]] of Object.entries<NatKind>(NAT_KINDS).entries()) {
  story(`${name}: ${kind.about}`, async (t) => {
    const [h, r, n] = [`h${index}`, `r${index}`, `n${index}`] as const
    lab.machines(h, r, n)
    lab.cable(n, SERVERS[0] ?? '', r, WAN_ADDRESS)
    lab.cable(h, '192.168.7.2', r, '192.168.7.1')
    const run = async (machine: string, command: string, ...args: string[]): Promise<void> => {
      const { code, stderr } = await lab.run(machine, command, args)
      t.is(code, 0, `${command} ${args.join(' ')}: ${stderr}`)
    }
    await run(n, 'ip', 'addr', 'add', `${SERVERS[1]}/24`, 'dev', `to-${r}`)
    // Only the kind that does not translate needs it.
    await run(n, 'ip', 'route', 'add', '192.168.7.0/24', 'via', WAN_ADDRESS)
    await run(h, 'ip', 'route', 'add', 'default', 'via', '192.168.7.1')
    await run(r, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    const place = { wan: `to-${n}`, wanAddress: WAN_ADDRESS, lan: `to-${h}`, lanNetwork: '192.168.7.0/24' }
    const loaded = await lab.run(r, NFT, ['-f', '-'], { input: kind.rules(place) })
    t.is(loaded.code, 0, loaded.stderr)
    const server = lab.startScript(n, TESTER, ['serve', ...SERVERS])
    t.is(await server.line(), 'ready')
    const probed = await lab.runScript(h, TESTER, ['probe', ...SERVERS])
    t.is(probed.code, 0, probed.stderr)
    const found = JSON.parse(probed.stdout) as Found
    const tcp = name === 'only-443' ? null : kind.tcp // the tester's own ports are others
    t.deepEqual(found, { udp: kind.udp, tcp, web: true })
    await server.end('SIGKILL')
  })
}
