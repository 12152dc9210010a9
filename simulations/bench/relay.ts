import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Invite, Peer } from '../../node/api/schemas.ts'
import { Lab } from '../lab/lab.ts'
import { LabNode } from '../lab/lab-node.ts'
import { until, type Program } from '../lab/program.ts'
import { canMakeNamespaces } from '../lab/programs.ts'
import { BenchError } from './errors.ts'
import type { BenchOptions, BenchResult } from './options.ts'
import { cpuSeconds } from './process-tree.ts'
import { figure, Recorder, renderFooter, renderTable, type Column } from './report.ts'

/*
 * What a relay costs: the same transfer between two nodes on a cable, and between two that reach each other through a third one
 * only; then two pairs through that one at once.
 */

const ROUNDS = 3
const SECONDS = 3
const FREE = ['--no-ui', '--dns', '0', '--gateway-port', '0', '--no-mdns', '--no-portmap']
/** The relay's one address: an invite has no room for one a cable. */
const RELAY = '10.99.0.1'
/** The relay has a cable to everybody; `direct` ends have one between them too. */
const PAIRS = { direct: ['a', 'b'], relayed: ['c', 'd'], beside: ['e', 'f'] } as const
type Pair = keyof typeof PAIRS

const COLUMNS: readonly Column[] = [
  { title: 'Gbit/s', metric: 'gbps' },
  { title: 'x direct', metric: 'gbps', show: { ratioTo: 'direct' } },
  { title: 'CPU s/GB sender', metric: 'senderCpuSecondsPerGb' },
  { title: 'receiver', metric: 'receiverCpuSecondsPerGb' },
  { title: 'relay', metric: 'relayCpuSecondsPerGb' },
  { title: 'relay / end', metric: 'relayToEnd' },
  { title: 'share / other pair', metric: 'shareToOther' },
]

/** A program that sends zeros to whoever connects, and one that reads for some seconds and prints the bytes. */
const SOURCE = `
const zeros = Buffer.alloc(65536)
require('node:net').createServer((socket) => {
  const send = () => { while (socket.write(zeros)); }
  socket.on('drain', send).on('error', () => socket.destroy())
  send()
}).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('ready'))`
const SINK = `
let bytes = 0
const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1')
socket.on('data', (chunk) => { bytes += chunk.length }).on('error', (error) => { console.error(error.message); process.exit(1) })
setTimeout(() => { console.log(bytes); process.exit(0) }, Number(process.argv[2]) * 1000)`

/** Runs the benchmark. @throws BenchError without root. */
export async function relay(options: BenchOptions): Promise<BenchResult> {
  if (!canMakeNamespaces())
    throw new BenchError('relay: needs root and `ip` (iproute2) on Linux to make network namespaces')
  const lab = new Lab()
  try {
    const ends = await startMesh(lab)
    const recorder = new Recorder('relay', ['direct', 'relayed', 'two pairs'], { gbps: 'higher' }, ['direct'])
    const rounds = options.rounds ?? ROUNDS
    for (let round = 0; round <= rounds; round++) {
      const figures: [stack: string, figures: Record<string, number>][] = [
        ['direct', await measure(lab, ends, 'direct')],
        ['relayed', await measure(lab, ends, 'relayed')],
        ['two pairs', await measureBoth(lab, ends)],
      ]
      for (const [stack, values] of figures) {
        options.progress(`relay: ${round === 0 ? 'warm-up' : `round ${round}`}: ${stack}: ${text(values)}`)
        if (round > 0) recorder.add(stack, values)
      }
    }
    const report = recorder.report(rounds)
    return { report, text: `${renderTable(report, COLUMNS)}\n\n${renderFooter(report)}` }
  } finally {
    await lab.close()
  }
}

interface Ends {
  readonly relay: LabNode
  readonly pairs: Readonly<Record<Pair, { sender: LabNode; receiver: LabNode; port: number }>>
}

async function startMesh(lab: Lab): Promise<Ends> {
  const names = Object.values(PAIRS).flat()
  lab.machines('r', ...names)
  await lab.run('r', 'ip', ['addr', 'add', `${RELAY}/32`, 'dev', 'lo'])
  for (const [i, name] of names.entries()) {
    lab.cable('r', `10.90.${i}.1`, name, `10.90.${i}.2`)
    await lab.run(name, 'ip', ['route', 'add', RELAY, 'via', `10.90.${i}.1`])
  }
  lab.cable('a', '10.91.0.1', 'b', '10.91.0.2')
  const relayNode = new LabNode(lab, 'r', 'r')
  await relayNode.up('--create', 'bench', '--name', 'r', '--listen', `/ip4/${RELAY}/tcp/4701`, ...FREE)
  const { invite } = await relayNode.json<Invite>('invite', '--uses', '9')
  const nodes = new Map<string, LabNode>()
  for (const name of names) {
    const node = new LabNode(lab, name, name)
    nodes.set(name, node)
    await node.up('--join', invite, '--name', name, ...FREE)
  }
  const pairs = {} as Record<Pair, { sender: LabNode; receiver: LabNode; port: number }>
  for (const [i, [pair, [from, to]]] of Object.entries(PAIRS).entries()) {
    const [sender, receiver] = [nodes.get(from), nodes.get(to)]
    if (sender === undefined || receiver === undefined) throw new Error(`the pair ${pair} has no nodes`)
    const source = lab.start(from, process.execPath, ['-e', SOURCE, String(7000 + i)])
    await source.line()
    await sender.json('publish', pair, `tcp://127.0.0.1:${7000 + i}`, '--health', 'none')
    const wanted = pair === 'direct' ? 'direct' : 'relay'
    await until(`${to} to reach ${from}`, async () => (await receiver.peer(from))?.path === wanted, 30_000)
    const forward = await until('the service to be known', () => forwarded(receiver, pair), 30_000)
    pairs[pair as Pair] = { sender, receiver, port: forward }
  }
  return { relay: relayNode, pairs }
}

async function forwarded(receiver: LabNode, service: string): Promise<number | undefined> {
  const known = await receiver.client.get<{ name: string }[]>('/services')
  if (!known.some(({ name }) => name === service)) return undefined
  const port = await freePort()
  const program: Program = receiver.startCli('forward', service, String(port))
  await program.line()
  return port
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

async function measure(lab: Lab, ends: Ends, pair: Pair): Promise<Record<string, number>> {
  const { sender, receiver } = ends.pairs[pair]
  const cpu = (): number[] => [sender, receiver, ends.relay].map((node) => cpuSeconds([node.pid]))
  const before = cpu()
  const bytes = await received(lab, ends, pair)
  const [senderCpu = 0, receiverCpu = 0, relayCpu = 0] = cpu().map((now, i) => now - (before[i] ?? 0))
  const gigabytes = bytes / 1e9
  const isRelayed = pair !== 'direct'
  await checkPath(ends, pair)
  return {
    gbps: (gigabytes * 8) / SECONDS,
    senderCpuSecondsPerGb: senderCpu / gigabytes,
    receiverCpuSecondsPerGb: receiverCpu / gigabytes,
    ...(isRelayed
      ? {
          relayCpuSecondsPerGb: relayCpu / gigabytes,
          relayToEnd: relayCpu / ((senderCpu + receiverCpu) / 2),
        }
      : {}),
  }
}

/** Two pairs through the relay at the same time. */
async function measureBoth(lab: Lab, ends: Ends): Promise<Record<string, number>> {
  const [one, other] = await Promise.all([received(lab, ends, 'relayed'), received(lab, ends, 'beside')])
  return { gbps: ((one + other) / 1e9) * (8 / SECONDS), shareToOther: one / other }
}

async function received(lab: Lab, ends: Ends, pair: Pair): Promise<number> {
  const { receiver, port } = ends.pairs[pair]
  const args = ['-e', SINK, String(port), String(SECONDS)]
  const { code, stdout, stderr } = await lab.run(receiver.machine, process.execPath, args)
  if (code !== 0) throw new Error(`${receiver.name} could not read: ${stderr}`)
  await sleep(200) // what is under way ends
  return Number(stdout)
}

/** A figure of another path than it says would be worth nothing. */
async function checkPath(ends: Ends, pair: Pair): Promise<void> {
  const { sender, receiver } = ends.pairs[pair]
  const peer: Peer | undefined = await receiver.peer(sender.name)
  const wanted = pair === 'direct' ? 'direct' : 'relay'
  if (peer?.path !== wanted) throw new Error(`the path of ${pair} is ${peer?.path ?? 'none'}`)
}

function text(figures: Readonly<Record<string, number>>): string {
  return COLUMNS.filter(({ show, metric }) => show === undefined && figures[metric] !== undefined)
    .map(({ title, metric }) => `${title} ${figure(figures[metric] ?? Number.NaN)}`)
    .join(', ')
}
