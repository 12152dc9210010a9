import type { Invite, PingReply } from '../../node/api/schemas.ts'
import { Internet } from '../lab/internet.ts'
import { LabNode } from '../lab/lab-node.ts'
import { Lab } from '../lab/lab.ts'
import { until } from '../lab/program.ts'

const ONE_WAY_MS = 25
const GATEWAY = 4743
const QUIET = ['--no-ui', '--no-mdns', '--no-portmap']

/** Does something and says how long it took. */
export type Step = <T>(title: string, act: () => Promise<T>) => Promise<T>

/**
 * Two machines behind two NATs, 25 ms from each other, in network namespaces (root): the kernel translates, the nodes are real.
 * @throws Error when a step does not come about.
 */
export async function demoBehindNats(step: Step): Promise<void> {
  const lab = new Lab()
  let net: Internet | undefined
  try {
    net = await Internet.start(lab, {
      seed: 'demo',
      path: { delayMs: ONE_WAY_MS },
      sites: [
        { name: 'server', kind: 'open' },
        { name: 'home', kind: 'port-restricted' },
        { name: 'hotel', kind: 'cgnat' },
      ],
    })
    const [server, home, hotel] = ['server', 'home', 'hotel'].map((name) => {
      const machine = net?.host(name) ?? name
      return new LabNode(lab, name, machine)
    }) as [LabNode, LabNode, LabNode]
    await server.up('--create', 'demo', '--name', 'server', ...QUIET)
    const { invite } = await server.json<Invite>('invite', '--uses', '2')
    await step('"home", behind a router, joins', () => home.up('--join', invite, '--name', 'home', ...QUIET))
    await step('"hotel", behind two routers, joins', () =>
      hotel.up('--join', invite, '--name', 'hotel', ...QUIET),
    )
    const site = lab.folder('site')
    lab.file('site/index.html', 'hello from behind two routers')
    const page = await step('home publishes "far", hotel opens it', async () => {
      await home.json('publish', 'far', site)
      return until('the page', () => fetched(lab, hotel))
    })
    console.log(`         "${page}"`)
    const reply = await step('the two meet directly', () => directReply(hotel))
    console.log(
      `         ${reply.rttMs?.toFixed(1)} ms round trip; one way is ${ONE_WAY_MS} ms, through the server it would be twice as far`,
    )
  } finally {
    await net?.close()
    await lab.close()
  }
}

async function fetched(lab: Lab, from: LabNode): Promise<string | undefined> {
  const url = `http://127.0.0.1:${GATEWAY}/`
  const args = ['-sf', '-m', '3', '-H', 'Host: far.demo.internal', url]
  const { code, stdout } = await lab.run(from.machine, 'curl', args)
  return code === 0 ? stdout : undefined
}

async function directReply(node: LabNode): Promise<PingReply> {
  const { code, stdout } = await node.cli('ping', 'home', '--until-direct', '--json')
  const last = stdout.trim().split('\n').at(-1) ?? ''
  if (code !== 0) throw new Error(`no direct way: ${last}`)
  return JSON.parse(last) as PingReply
}
