import { cpSync, readFileSync, readlinkSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import test from 'ava'
import type { Invite, Service, Status } from '../../node/api/schemas.ts'
import { joinMesh } from '../../node/membership/joiner.ts'
import { memoryStore } from '../../node/storage/memory-store.ts'
import { systemClock, systemRandom, systemTimers } from '../../node/system-ports.ts'
import { dialExchange } from '../../node/transport/join-dial.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import { hasCommand } from '../programs.ts'
import { Lab, until, LabNode } from './lab.ts'

/*
 * `kith up --door`: a member that lets others in and does nothing else; and the files that deploy one.
 */

const root = join(import.meta.dirname, '..', '..')
const folder = join(root, 'bootstrap', 'door')
const ANY = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']
const QUIET = [...ANY, '--no-ui', '--dns', '0', '--gateway-port', '0']

let lab: Lab
let founder: LabNode
let door: LabNode

test.before(async (t) => {
  t.timeout(60_000)
  lab = new Lab()
  founder = new LabNode(lab, 'founder')
  door = new LabNode(lab, 'door')
  await founder.up('--create', 'home', '--name', 'founder', ...QUIET)
})
test.afterEach.always((t) => {
  if (!t.passed) for (const node of [founder, door]) t.log(`log of ${node.name}:\n${node.log().slice(-1000)}`)
})
test.after.always(async () => {
  await lab?.close()
})

test.serial('what a node published before it became a door is neither announced nor lost', async (t) => {
  t.timeout(60_000)
  await door.up('--join', (await founder.json<Invite>('invite')).invite, '--name', 'door', ...QUIET)
  await founder.untilAlive(1)
  await door.json('publish', 'cellar', '8080')
  const names = async (): Promise<string[]> =>
    (await founder.client.get<Service[]>('/services')).map(({ name }) => name)
  await until('the founder to see it', async () => (await names()).includes('cellar'))
  await door.stop()
  await door.up('--door', ...ANY)
  await until('the service to be gone', async () => !(await names()).includes('cellar'))
  const refused = await door.cli('publish', 'other', '8081', '--json')
  t.is((JSON.parse(refused.stdout) as { error: { code: string } }).error.code, 'door-only')
  t.is((await door.cli('forward', 'cellar')).code, 1)
  await door.stop()
  await door.up(...QUIET)
  await until('the service to be back', async () => (await names()).includes('cellar'))
  await door.json('unpublish', 'cellar')
  await door.stop()
  await door.up('--door', ...ANY)
})

test.serial('a door listens for the mesh and on its command socket, and on nothing else', async (t) => {
  t.like(door.ready, { ready: true, ui: null, dns: null, gateway: null })
  const status = await door.json<Status>('status')
  t.like(status, { door: true, ui: null, dns: null, gateway: null, state: 'up' })
  t.false((await founder.status()).door)
  t.regex((await door.cli('status')).stdout, /^door {5}only lets others in/m)
  const ports = status.listen.map((address) => Number(/\/tcp\/(\d+)/.exec(address)?.[1]))
  t.deepEqual(listening(door.pid), { tcp: ports, udp: [] })
  const ui = await door.cli('ui', '--print', '--json')
  t.is((JSON.parse(ui.stdout) as { error: { code: string } }).error.code, 'ui-off')
})

test.serial(
  'a machine that reaches nobody but the door joins through it, and becomes a member with it',
  async (t) => {
    t.timeout(60_000)
    const { invite } = await founder.json<Invite>('invite')
    const seed = systemRandom.bytes(32)
    const asked: string[] = []
    const joined = await joinMesh({
      invite,
      signer: ed25519Signer(seed),
      name: 'stranded',
      store: memoryStore(),
      clock: systemClock,
      random: systemRandom,
      timers: systemTimers,
      exchange(at, request, meshId, signal) {
        asked.push(at.peer)
        if (at.peer !== door.ready.node.id) throw new Error('no route')
        const self = { meshId, seed, clock: systemClock, random: systemRandom, emit: () => undefined }
        return dialExchange(multiaddr(at.address), self, request, signal)
      },
    })
    t.is(joined.member.name, 'stranded')
    t.deepEqual(new Set(asked), new Set([founder.ready.node.id, door.ready.node.id]))
    // An invite of one peer needs nobody but some member to reach: with the founder away, that is the door.
    const newcomer = new LabNode(lab, 'newcomer')
    const { id } = (await newcomer.up('--name', 'newcomer', ...QUIET)).node
    const bound = await founder.json<Invite>('invite', '--peer', id, '--name', 'newcomer')
    await founder.stop()
    await newcomer.json('join', bound.invite)
    await until(
      'the newcomer and the door to meet',
      async () => (await newcomer.peer('door'))?.path === 'direct',
    )
    await founder.up(...QUIET)
    await founder.untilAlive(2)
  },
)

test('the unit file is sound and closes nearly everything', async (t) => {
  const unit = readFileSync(join(folder, 'kith-door.service'), 'utf8')
  t.regex(unit, /^ExecStart=\/opt\/kith\/kith up --door --data \/var\/lib\/kith$/m)
  if (!hasCommand('systemd-analyze')) return t.log('no systemd-analyze here: read, not verified')
  // Verified with a program that is here: whether /opt/kith is there is the reader's machine's business.
  const path = lab.file('kith-door.service', unit.replaceAll('/opt/kith/kith', join(root, 'kith')), 0o644)
  const verified = await lab.run(undefined, 'systemd-analyze', [
    'verify',
    '--man=no',
    '--recursive-errors=no',
    path,
  ])
  t.is(
    verified.stderr
      .split('\n')
      .filter((line) => line.includes('kith-door'))
      .join('\n'),
    '',
  )
  t.is(verified.code, 0, verified.stderr)
  const security = await lab.run(undefined, 'systemd-analyze', [
    'security',
    '--offline=true',
    '--no-pager',
    path,
  ])
  const exposure = Number(/exposure level for .*: ([\d.]+)/.exec(security.stdout)?.[1])
  t.log(`systemd-analyze security: exposure ${exposure} of 10`)
  t.true(exposure <= 2, security.stdout)
})

test('what the container image holds is enough for a door', async (t) => {
  t.timeout(60_000)
  const dockerfile = readFileSync(join(folder, 'Dockerfile'), 'utf8')
  const [, copied = ''] = /cp -r --parents ([^&]+)\/door/.exec(dockerfile.replaceAll(/\\\n\s*/g, ' ')) ?? []
  const image = lab.folder('image')
  for (const path of copied.trim().split(/\s+/))
    cpSync(join(root, path), join(image, path), { recursive: true })
  const list = (instruction: string): string[] =>
    JSON.parse(new RegExp(`^${instruction} (\\[.*\\])$`, 'm').exec(dockerfile)?.[1] ?? '[]') as string[]
  const [node, ...flags] = list('ENTRYPOINT').map((part) => part.replace('/kith', image))
  t.is(node, 'node')
  const env = { KITH_DATA: lab.folder('image-data'), KITH_LISTEN: '/ip4/127.0.0.1/tcp/0', KITH_NAME: 'boxed' }
  const running = lab.start(
    undefined,
    process.execPath,
    [...flags, ...list('CMD'), '--json', '--create', 'boxed'],
    { env, cwd: image },
  )
  const ready = JSON.parse(await running.line()) as { ready: boolean; ui: unknown; node: { name: string } }
  t.like(ready, { ready: true, ui: null, node: { name: 'boxed' } })
  const status = await lab.run(undefined, process.execPath, [...flags, 'status', '--json'], {
    env,
    cwd: image,
  })
  t.true((JSON.parse(status.stdout) as Status).door, status.stderr)
  t.is(await running.end('SIGTERM'), 0)
})

/** Ports a process listens on, by the kernel's tables. */
function listening(pid: number): { tcp: number[]; udp: number[] } {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? '']
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // closed meanwhile
        throw error
      }
    }),
  )
  const ports = (table: string, state: string): number[] =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => own.has(fields[9] ?? '') && fields[3] === state)
      .map((fields) => Number.parseInt(fields[1]?.split(':').at(-1) ?? '', 16))
  return {
    tcp: [...ports('tcp', '0A'), ...ports('tcp6', '0A')],
    udp: [...ports('udp', '07'), ...ports('udp6', '07')],
  }
}
