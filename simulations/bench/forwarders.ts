import { join } from 'node:path'
import type { Invite, Service } from '../../node/api/schemas.ts'
import type { Ready } from '../../node/compose.ts'
import { createClient } from '../../node/cli/client.ts'
import { RUNTIME_FLAGS } from '../../node/launcher.cjs'
import { daemon } from '../lab/programs.ts'
import type { Lab } from '../lab/lab.ts'
import { until, type Program } from '../lab/program.ts'
import { ADDRESSES, nodeArguments, type Place } from './machines.ts'

/* The ways from the near machine to the services of the far one that are compared. */

/** The services on the far machine, and the ports they listen on there. */
export const SERVICE_PORTS = { bulk: 5201, web: 8080, echo: 7777 } as const
/** A service's name. */
export type ServiceName = keyof typeof SERVICE_PORTS

/** One way, set up and ready. */
export interface Forwarder {
  readonly name: string
  /** Where a client on the near machine connects. */
  readonly target: (service: ServiceName) => { readonly host: string; readonly port: number }
  /** Its processes, by what they are; their children are found by the kernel's account. */
  readonly processes: Readonly<Record<string, readonly number[]>>
}

/** How a way is set up. */
export type SetUp = (machines: Lab, options: SetUpOptions) => Promise<Forwarder>

/** What differs from run to run. */
export interface SetUpOptions {
  /** Environment of our own nodes: how the profiler is loaded into them. */
  readonly kithEnv: Readonly<Record<string, string>>
}

const SSH_PORT = 2222
/** For a way to be ready. */
const START_MS = 30_000
const SYSTEM_SSHD = '/usr/sbin/sshd'
const root = join(import.meta.dirname, '..', '..')
const services = Object.entries(SERVICE_PORTS) as [ServiceName, number][]

/** Set-ups by name, in the order in which they are measured. */
export const FORWARDERS: Readonly<Record<string, SetUp>> = {
  raw: async () => ({
    name: 'raw',
    target: (service) => ({ host: ADDRESSES.far, port: SERVICE_PORTS[service] }),
    processes: {},
  }),
  ssh: setUpSsh,
  relay: setUpRelay,
  libp2p: setUpLibp2p,
  kith: setUpKith,
}

/** Local ports of one way: an offset to the services' own. */
function localPorts(offset: number): { target: Forwarder['target']; pairs: string[] } {
  return {
    target: (service) => ({ host: '127.0.0.1', port: SERVICE_PORTS[service] + offset }),
    pairs: services.map(([, port]) => `${port + offset}:${port}`),
  }
}

/** OpenSSH: one connection, a channel per TCP connection. */
async function setUpSsh(machines: Lab): Promise<Forwarder> {
  const { target, pairs } = localPorts(1000)
  const folder = machines.folder('ssh')
  for (const key of ['host', 'user']) {
    const made = await machines.run('far', 'ssh-keygen', [
      '-q',
      '-t',
      'ed25519',
      '-N',
      '',
      '-f',
      join(folder, key),
    ])
    if (made.code !== 0) throw new Error(`ssh-keygen: ${made.stderr}`)
  }
  const config = machines.file(
    'ssh/sshd_config',
    `Port ${SSH_PORT}
ListenAddress ${ADDRESSES.far}
HostKey ${folder}/host
AuthorizedKeysFile ${folder}/user.pub
PermitRootLogin yes
UsePAM no
StrictModes no
PasswordAuthentication no
PidFile none
MaxSessions 100
`,
  )
  const far = machines.start('far', 'sh', ['-c', sshdScript(machines, config)], {
    env: daemon('sshd')?.env ?? {},
  })
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
  const command = ['-F', 'none', '-N', '-p', String(SSH_PORT), '-i', join(folder, 'user')]
  await until(
    'sshd',
    async () => {
      const probe = await machines.run('near', 'ssh-keyscan', [
        '-T',
        '2',
        '-p',
        String(SSH_PORT),
        ADDRESSES.far,
      ])
      if (!far.isRunning()) throw new Error(`sshd ended: ${far.stderr()}`)
      return probe.stdout.includes('ed25519')
    },
    START_MS,
  )
  const near = machines.start('near', 'ssh', [
    ...command,
    ...options.flatMap((option) => ['-o', option]),
    ...pairs.flatMap((pair) => ['-L', `127.0.0.1:${pair.replace(':', ':127.0.0.1:')}`]),
    `root@${ADDRESSES.far}`,
  ])
  return { name: 'ssh', target, processes: { near: [near.pid], far: [far.pid] } }
}

/**
 * sshd insists on a user `sshd`, an account it may log in to, and /run/sshd. They are mounted over the real places in the mount
 * namespace that `ip netns exec` makes, seen by it alone.
 */
function sshdScript(machines: Lab, config: string): string {
  const passwd = machines.file(
    'ssh/passwd',
    'root:x:0:0:root:/tmp:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n',
    0o644,
  )
  const shadow = machines.file('ssh/shadow', 'root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n')
  return `mount --bind ${passwd} /etc/passwd && mount --bind ${shadow} /etc/shadow && mount -t tmpfs none /run && mkdir -p -m 0755 /run/sshd && exec ${daemon('sshd')?.path ?? SYSTEM_SSHD} -D -e -f ${config}`
}

/** Two Node programs that pipe sockets, no protocol and no encryption between them. */
async function setUpRelay(machines: Lab): Promise<Forwarder> {
  const { target, pairs } = localPorts(2000)
  const start = (place: Place): number =>
    machines.start(
      place,
      process.execPath,
      nodeArguments('relay-forward.ts', RUNTIME_FLAGS, [place, ADDRESSES.far, pairs.join(',')]),
    ).pid
  return { name: 'relay', target, processes: { far: [start('far')], near: [start('near')] } }
}

/** libp2p as it comes. */
async function setUpLibp2p(machines: Lab): Promise<Forwarder> {
  const { target, pairs } = localPorts(3000)
  const start = (place: Place, peer: string): Program =>
    machines.start(
      place,
      process.execPath,
      nodeArguments('libp2p-forward.ts', RUNTIME_FLAGS, [place, peer, pairs.join(',')]),
    )
  const far = start('far', ADDRESSES.far)
  const near = start('near', await far.line())
  return { name: 'libp2p', target, processes: { near: [near.pid], far: [far.pid] } }
}

/** Two nodes as a user runs them: one founds a mesh and publishes, the other joins and forwards. */
async function setUpKith(machines: Lab, { kithEnv }: SetUpOptions): Promise<Forwarder> {
  const { target } = localPorts(4000)
  const kith = join(root, 'kith')
  const dataOf = (place: Place): string => join(machines.directory, `kith-${place}`)
  const env = (place: Place): Record<string, string> => ({ KITH_DATA: dataOf(place), KITH_LOG_LEVEL: 'warn' })
  const up = async (place: Place, ...flags: string[]): Promise<number> => {
    const listen = `/ip4/${ADDRESSES[place]}/tcp/4701`
    const free = ['--no-ui', '--dns', '0', '--gateway-port', '0', '--json']
    const node = machines.start(place, kith, ['up', '--name', place, '--listen', listen, ...free, ...flags], {
      env: { ...env(place), ...kithEnv },
    })
    const line = await node.line()
    if ((JSON.parse(line) as Partial<Ready>).ready !== true)
      throw new Error(`kith up: ${line}${node.stderr()}`)
    return node.pid
  }
  const ask = async (place: Place, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await machines.run(place, kith, [...args, '--json'], { env: env(place) })
    if (code !== 0) throw new Error(`kith ${args.join(' ')}: exit ${code}: ${stderr}${stdout}`)
    return stdout
  }
  const far = await up('far', '--create', 'bench')
  for (const [name, port] of services) await ask('far', 'publish', name, String(port), '--proto', 'tcp')
  const { invite } = JSON.parse(await ask('far', 'invite')) as Invite
  const near = await up('near', '--join', invite)
  const client = createClient(dataOf('near'))
  await until(
    'the services by name',
    async () => (await client.get<Service[]>('/services')).length === services.length,
    START_MS,
  )
  const forwards = services.map(([name]) =>
    machines.start('near', kith, ['forward', name, String(target(name).port)], { env: env('near') }),
  )
  await Promise.all(forwards.map((program) => program.line()))
  return {
    name: 'kith',
    target,
    processes: { near: [near], far: [far], command: forwards.map(({ pid }) => pid) },
  }
}
