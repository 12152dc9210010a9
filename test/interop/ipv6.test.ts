import { join } from 'node:path'
import test from 'ava'
import type { NetcheckReport } from '../../node/api/path-schemas.ts'
import type { Invite, PingReply, Why } from '../../node/api/schemas.ts'
import { Internet } from '../../simulations/lab/internet.ts'
import { Lab, LabNode, reasonToSkip, until } from './lab.ts'

/*
 * Homes as many providers make them now: IPv4 behind a NAT that maps each target anew, so that no two of them ever meet over it,
 * and IPv6 behind a firewall that lets in answers only. Real nodes, the kernel's firewall and NAT, 25 ms from each other.
 */

const skip = reasonToSkip(['nft', 'conntrack', 'curl', 'ss'])
if (skip !== undefined) process.stderr.write(`IPv6: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

const GATEWAY = 4743

let lab: Lab
let net: Internet
const nodes = new Map<string, LabNode>()

function node(name: string): LabNode {
  const found = nodes.get(name)
  if (found === undefined) throw new Error(`there is no node ${name}`)
  return found
}

/** The address of the machine in a home; its router has the first. */
function homeOf(site: string): string {
  return net.addressV6(site).replace(/1$/, '2')
}

if (skip === undefined) {
  test.before(async (t) => {
    t.timeout(120_000)
    lab = new Lab()
    net = await Internet.start(lab, {
      seed: 'IPv6',
      path: { delayMs: 25 },
      sites: [
        { name: 'r', kind: 'open', ipv6: true },
        { name: 'a', kind: 'symmetric', ipv6: true },
        { name: 'b', kind: 'symmetric', ipv6: true },
        { name: 'c', kind: 'symmetric' },
      ],
    })
    const place = (name: string): LabNode => {
      const made = new LabNode(lab, name, net.host(name))
      nodes.set(name, made)
      return made
    }
    await place('r').up('--create', 'home', '--name', 'r', '--no-ui')
    const { invite } = await node('r').json<Invite>('invite', '--uses', '9')
    for (const name of ['a', 'b', 'c']) await place(name).up('--join', invite, '--name', name, '--no-ui')
    await Promise.all([...nodes.values()].map((each) => each.untilAlive(3)))
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

story('a firewall lets in nobody who was not asked', async (t) => {
  const knock = `import { connect } from 'node:net'
    const socket = connect({ host: ${JSON.stringify(homeOf('a'))}, port: 4701, timeout: 2000 })
    const end = (what) => { console.log(what); process.exit() }
    socket.on('connect', () => end('let in')).on('error', ({ code }) => end(code)).on('timeout', () => end('dropped'))`
  const { stdout, stderr } = await lab.run('r', process.execPath, ['--input-type=module', '-e', knock])
  t.is(stdout.trim(), 'dropped', stderr)
})

story('where no two NATs meet over IPv4, two firewalls do over IPv6', async (t) => {
  const { code, stdout } = await node('a').cli('ping', 'b', '--until-direct', '--json')
  t.is(code, 0, stdout)
  const replies = stdout.trim().split('\n')
  const last = JSON.parse(replies.at(-1) ?? '') as PingReply
  t.log(`direct at reply ${replies.length}, ${last.rttMs?.toFixed(1)} ms`)
  t.is(last.path, 'direct')
  const { stdout: sockets } = await lab.run('a', 'ss', ['-Htn', 'state', 'established'])
  t.regex(sockets, new RegExp(`\\[${homeOf('b')}\\]:`), 'over IPv6')
  const { ways } = await node('a').json<Why>('why', 'b')
  t.true(ways?.tried.some(({ way, outcome }) => way === 'punch' && outcome === 'connected'))
})

story('who has no IPv6 stays behind the relay, and is told why', async (t) => {
  const reason = await until('c to know that no way leads to a', async () => {
    await node('c').cli('ping', 'a', '--until-direct')
    const { ways } = await node('c').json<Why>('why', 'a')
    return ways?.notDirect?.code === 'both-ports-unknown' ? ways.notDirect : undefined
  })
  t.true(reason.fix.length > 0)
  t.is((await node('c').peer('a'))?.path, 'relay')
})

story('a home that is met over IPv6 is no relay: its firewall keeps others out', async (t) => {
  const { relays, ipv6 } = await node('a').json<NetcheckReport>('netcheck')
  t.deepEqual(
    relays.map(({ name, held }) => [name, held]),
    [['r', true]],
  )
  t.is(ipv6, homeOf('a'))
  t.is((await node('c').json<NetcheckReport>('netcheck')).ipv6, null)
})

story('what one home publishes opens in the other, without the relay too', async (t) => {
  lab.folder('site')
  lab.file('site/index.html', 'hello over IPv6')
  await node('b').json('publish', 'notes', join(lab.directory, 'site'))
  const get = async (): Promise<string> => {
    const asked = ['-s', '-m', '5', '-H', 'Host: notes.home.internal', `http://127.0.0.1:${GATEWAY}/`]
    return (await lab.run('a', 'curl', asked)).stdout
  }
  await until('a to open notes', async () => (await get()) === 'hello over IPv6')
  await node('r').kill()
  for (let i = 0; i < 10; i++) t.is(await get(), 'hello over IPv6')
})
