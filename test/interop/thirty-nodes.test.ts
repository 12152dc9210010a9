import { readFileSync } from 'node:fs'
import test from 'ava'
import type { Invite, LogEvent } from '../../node/api/schemas.ts'
import { daemon } from '../programs.ts'
import { Lab, reasonToSkip, until, LabNode, type Program } from './lab.ts'

/*
 * Thirty real nodes on one machine, and thirty agents of HashiCorp serf on another, with its profile for local networks: how long
 * until everybody knows everybody, and how long a kill -9 stays unnoticed.
 */

const skip = reasonToSkip([], ['serf'])
if (skip !== undefined) process.stderr.write(`thirty nodes: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

const NODES = 30
/** Two cores start so many at once without any of them waiting for its turn too long. */
const AT_ONCE = 4
const KNOWN_WITHIN_MS = 15_000
const PORTS = ['--dns', '0', '--gateway-port', '0', '--no-ui', '--no-mdns']

let lab: Lab

if (skip === undefined) {
  test.before(async () => {
    lab = new Lab()
    lab.machines('kith', 'serf')
    for (let i = 0; i < NODES; i++)
      for (const machine of ['kith', 'serf']) {
        const given = await lab.run(machine, 'ip', ['addr', 'add', `${addressOf(i)}/32`, 'dev', 'lo'])
        if (given.code !== 0) throw new Error(given.stderr)
      }
  })
  test.after.always(async () => {
    await lab?.close()
  })
}

const addressOf = (i: number): string => `10.88.0.${i + 1}`
const residentBytes = (pid: number): number =>
  Number(/Pss:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) * 1024

story(
  `${NODES} nodes know each other soon after the last one started, and a kill -9 before serf does`,
  async (t) => {
    t.timeout(240_000)
    const nodes = await startNodes()
    const lastStartedAt = performance.now()
    await Promise.all(nodes.map((node) => node.untilAlive(NODES - 1, 60_000)))
    const knownMs = performance.now() - lastStartedAt
    t.log(`${NODES} nodes: everybody known ${Math.round(knownMs)} ms after the last was ready`)
    t.true(knownMs < KNOWN_WITHIN_MS)
    const pssBytes = nodes.reduce((sum, { pid }) => sum + residentBytes(pid), 0)
    t.log(`memory of a node: ${Math.round(pssBytes / NODES / 1e6)} MB (PSS)`)

    const killedMs: number[] = []
    for (const index of [NODES - 1, 7]) {
      const [victim] = nodes.splice(index, 1)
      if (victim === undefined) throw new Error('nobody to kill')
      killedMs.push(await seenDead(nodes, victim))
    }
    t.log(`${NODES} nodes: a kill -9 known everywhere after ${killedMs.map(Math.round).join(' and ')} ms`)
    for (const node of nodes) {
      const { alive, dead } = (await node.status()).peers
      t.deepEqual({ alive, dead }, { alive: nodes.length - 1, dead: 2 }, node.name)
    }
    await Promise.all(nodes.map((node) => node.kill()))

    const serfMs = await killInSerf()
    t.log(`serf, ${NODES} agents: ${Math.round(serfMs)} ms`)
    t.true(Math.max(...killedMs) <= serfMs)
  },
)

/** The founder alone, then the others by one invite. Resolves when the last is ready. */
async function startNodes(): Promise<LabNode[]> {
  const nodes = Array.from({ length: NODES }, (_, i) => new LabNode(lab, `n${i}`, 'kith'))
  const flags = (i: number): string[] => [
    '--name',
    `n${i}`,
    '--listen',
    `/ip4/${addressOf(i)}/tcp/4701`,
    ...PORTS,
  ]
  const [founder, ...others] = nodes
  if (founder === undefined) throw new Error('no nodes')
  await founder.up('--create', 'home', ...flags(0))
  const { invite } = await founder.json<Invite>('invite', '--uses', String(NODES - 1))
  const waiting = others.map((node, i) => ({ node, flags: flags(i + 1) }))
  const startSome = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      await next.node.up('--join', invite, ...next.flags)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, startSome))
  return nodes
}

/** Kills a node; how long until the last of the others held it dead, by their own logs, in ms. */
async function seenDead(others: readonly LabNode[], victim: LabNode): Promise<number> {
  const { id } = (await victim.status()).node
  const killedAt = Date.now()
  await victim.kill()
  const noticed = await Promise.all(
    others.map((node) =>
      until(`${node.name} to notice`, async () => {
        const events = await node.client.get<LogEvent[]>('/events?kind=member.died')
        return events.find(({ peer }) => peer === id)?.at
      }),
    ),
  )
  return Math.max(...noticed) - killedAt
}

/** The same with serf: forms, loses one agent by kill -9; ms until the last of the others says it failed. */
async function killInSerf(): Promise<number> {
  const serf = daemon('serf')
  if (serf === undefined) throw new Error('serf was not unpacked')
  const agents: Program[] = Array.from({ length: NODES }, (_, i) =>
    lab.start('serf', serf.path, [
      'agent',
      `-node=n${i}`,
      '-profile=lan',
      '-retry-interval=1s',
      `-bind=${addressOf(i)}:7946`,
      `-rpc-addr=${addressOf(i)}:7373`,
      ...(i === 0 ? [] : [`-retry-join=${addressOf(0)}:7946`]),
    ]),
  )
  await until(
    'serf to form',
    () => agents.every((agent) => agents.every((_, i) => says(agent, `EventMemberJoin: n${i} `))),
    120_000,
  )
  const [victim] = agents.splice(NODES - 1, 1)
  const killedAt = performance.now()
  victim?.child.kill('SIGKILL')
  const failed = `EventMemberFailed: n${NODES - 1} `
  await until('serf to notice', () => agents.every((agent) => says(agent, failed)), 120_000)
  const tookMs = performance.now() - killedAt
  await Promise.all(agents.map((agent) => agent.end('SIGKILL')))
  return tookMs
}

const says = (agent: Program, text: string): boolean => agent.stdout().includes(text)
