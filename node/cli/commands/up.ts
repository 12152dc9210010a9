import { join } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { readInviteArgument } from '../invite-argument.ts'
import type { Ready } from '../../compose.ts'
import { loadConfig, type FlatConfig } from '../../config/load.ts'
import { contextOf, type Context } from '../context.ts'
import { hasDisplay } from '../browser.ts'

interface UpOptions {
  name?: string
  create?: string
  join?: string
  listen: string[]
  bootstrap: string[]
  role: string[]
  relay: boolean
  door?: true
  ui: number | boolean
  dns?: number
  gatewayPort?: number
  gateway?: string
  privileged?: true
  mdns: boolean
  portmap: boolean
}

/** The mesh `npm start` founds when there is none and no other wish. */
const DEFAULT_MESH = 'home'

/** `up`, and `start`: the same with a mesh of its own as the default (what `npm start` runs). */
export function addUpCommand(program: Command): void {
  describe(program.command('up').description('run the node in the foreground until ^C')).action(
    async (options: UpOptions, command: Command) => {
      await up(contextOf(command), options, undefined)
    },
  )
  describe(program.command('start', { hidden: true })).action(
    async (options: UpOptions, command: Command) => {
      await up(contextOf(command), options, DEFAULT_MESH)
    },
  )
}

function describe(command: Command): Command {
  return command
    .option('--name <node>', "this node's name (default: the host name)")
    .option('--create <mesh>', 'found this mesh if the node is in none')
    .option('--join <invite>', 'join with an invite (link, file or -) if the node is in no mesh')
    .option('--listen <multiaddr>', 'where the mesh listens (repeatable)', collect, [])
    .option('--bootstrap <multiaddr>', 'a peer to dial while none is connected (repeatable)', collect, [])
    .option('--role <role>', 'take up only these of the granted roles (repeatable)', collect, [])
    .option('--no-relay', 'do not relay for other members')
    .option('--door', 'only let others in and relay: no dashboard, DNS or gateway')
    .option('--ui <port>', 'port of the dashboard', port)
    .option('--no-ui', 'no dashboard')
    .option('--dns <port>', 'port of the local DNS answers', port)
    .option('--gateway-port <port>', 'port of the gateway', port)
    .option('--gateway <addr>', 'address of the gateway; beyond loopback it serves the LAN')
    .option('--privileged', 'also listen on 53, 80 and 443')
    .option('--no-mdns', 'no LAN discovery')
    .option('--no-portmap', 'do not ask the router for the mesh port')
}

async function up(
  { data, out, signal }: Context,
  options: UpOptions,
  defaultMesh: string | undefined,
): Promise<void> {
  const loaded = loadConfig({
    file: join(data, 'config.toml'),
    environment: process.env,
    flags: flagsOf(options),
  })
  process.umask(0o077) // whatever the database or a library creates is the owner's alone
  const { startNode } = await import('../../compose.ts') // libp2p and all: the other verbs do without
  const starting = startNode({
    data,
    loaded,
    isTerminal: process.stderr.isTTY === true,
    signal,
    ...(options.create === undefined ? {} : { create: options.create }),
    ...(options.join === undefined ? {} : { join: await readInviteArgument(options.join) }),
    ...(defaultMesh === undefined ? {} : { createIfNone: defaultMesh }),
  })
  let node: Awaited<typeof starting>
  try {
    node = await starting
  } catch (error) {
    if (error === signal.reason) return // stopped while its join waited for approval
    throw error
  }
  const ready = node.ready()
  out.show(ready, () => readyText(ready, hasDisplay()))
  if (!signal.aborted)
    await new Promise((stop) => void signal.addEventListener('abort', stop, { once: true }))
  await node.stop()
}

function readyText(ready: Ready, isShown: boolean): string {
  const lines = [
    `Kith is up: ${ready.node.name} ${ready.mesh === null ? 'is in no mesh yet; the dashboard helps you found or join one' : `in the mesh "${ready.mesh.name}" (${ready.mesh.domain})`}`,
    ...ready.listen.map((address) => `  mesh       ${address}`),
    ...(ready.gateway === null
      ? []
      : [`  gateway    http://NAME.${ready.gateway.label}.localhost:${ready.gateway.port}`]),
    ...(ready.dns === null ? [] : [`  dns        127.0.0.1:${ready.dns.port}`]),
  ]
  if (ready.ui !== null) {
    lines.push(
      `  dashboard  ${ready.ui.url}`,
      '             (a login link, good once and for 10 minutes; `kith ui` makes another)',
    )
    if (!isShown && ready.ui.sshHint !== null)
      lines.push(`             no display here; from your desktop: ${ready.ui.sshHint}`)
  }
  return lines.join('\n')
}

/** Only what was given: a flag left out must not hide a value of the file. */
function flagsOf(options: UpOptions): FlatConfig {
  const flags: FlatConfig = {}
  const set = (key: string, value: unknown): void => {
    if (value !== undefined) flags[key] = value
  }
  set('name', options.name)
  if (options.listen.length > 0) flags['listen'] = options.listen
  if (options.bootstrap.length > 0) flags['bootstrap'] = options.bootstrap
  if (options.role.length > 0) flags['roles'] = options.role
  if (!options.relay) flags['relay'] = false
  if (!options.mdns) flags['mdns'] = false
  if (!options.portmap) flags['portmap'] = false
  if (options.ui === false) flags['ui.enabled'] = false
  else if (typeof options.ui === 'number') flags['ui.port'] = options.ui
  set('door', options.door)
  set('dns.port', options.dns)
  set('gateway.port', options.gatewayPort)
  set('gateway.address', options.gateway)
  set('privileged', options.privileged)
  return flags
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw new InvalidArgumentError('expected a port from 0 to 65535')
  return value
}
