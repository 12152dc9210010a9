import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'

/*
 * The outside programs that tests and demo talk to, from Debian's packages. Plain tools are installed with apt-get. Packages that bring
 * a system service (nginx, openssh-server, fail2ban, serf) are only unpacked into .cache/programs, never installed: nothing can start them,
 * now or at the next boot, but the tests themselves.
 */

/** Packages without a service, by the command each is wanted for. */
const TOOLS: Readonly<Record<string, string>> = {
  chromium: 'chromium',
  age: 'age',
  curl: 'curl',
  dig: 'bind9-dnsutils',
  ssh: 'openssh-client',
  ip: 'iproute2',
  nft: 'nftables',
  conntrack: 'conntrack',
  openssl: 'openssl',
  python3: 'python3',
}
/** Packages unpacked beside the project, with the libraries they need beyond Debian's base. */
const DAEMON_PACKAGES = [
  'nginx',
  'openssh-server',
  'libwrap0',
  'libnsl2',
  'libtirpc3',
  'fail2ban',
  'serf',
  'avahi-daemon',
  'avahi-utils',
  'libavahi-core7',
  'libavahi-common3',
  'libavahi-client3',
  'libdaemon0',
  'dbus-daemon',
  'libdbus-1-3',
  'libapparmor1',
  'libexpat1',
  'libgdbm6',
  'miniupnpd-nftables',
]

const root = join(import.meta.dirname, '..', '..')
const unpacked = join(root, '.cache', 'programs')
/** Holds the names of the packages that were unpacked whole. */
const complete = join(unpacked, '.complete')

/** Path of an unpacked program, such as `nginx` or `serf`, and the library path it needs; undefined when it is not there. */
export function daemon(name: string): { path: string; env: Record<string, string> } | undefined {
  const path = ['sbin', 'bin'].map((folder) => join(unpacked, 'usr', folder, name)).find(existsSync)
  if (path === undefined) return undefined
  const libraries = join(unpacked, 'usr', 'lib')
  const folders = existsSync(libraries)
    ? readdirSync(libraries).filter((folder) => folder.endsWith('-linux-gnu'))
    : []
  return { path, env: { LD_LIBRARY_PATH: folders.map((folder) => join(libraries, folder)).join(':') } }
}

/** How to run the unpacked `fail2ban-regex`; undefined when it is not there. Its Python modules are found in the unpacked tree. */
export function fail2banRegex():
  | { command: string; args: string[]; env: Record<string, string> }
  | undefined {
  const script = join(unpacked, 'usr', 'bin', 'fail2ban-regex')
  if (!existsSync(script) || !hasCommand('python3')) return undefined
  const modules = join(unpacked, 'usr', 'lib', 'python3', 'dist-packages')
  // -B: no caches of compiled modules inside the tree.
  return { command: 'python3', args: ['-B', script], env: { PYTHONPATH: modules } }
}

/** Whether the machine has a command; what npm's packages bring under the same name does not count. */
export function hasCommand(name: string): boolean {
  const directories = (process.env['PATH'] ?? '')
    .split(':')
    .filter((path) => !path.endsWith('node_modules/.bin'))
  return [...directories, '/usr/sbin'].some((directory) => existsSync(join(directory, name)))
}

/** Whether tests may make network namespaces here. */
export function canMakeNamespaces(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && hasCommand('ip')
}

function missing(): { tools: string[]; daemons: boolean } {
  const tools = Object.entries(TOOLS)
    .filter(([command]) => !hasCommand(command))
    .map(([, name]) => name)
  const isComplete = existsSync(complete) && readFileSync(complete, 'utf8') === DAEMON_PACKAGES.join(' ')
  return { tools, daemons: !isComplete }
}

/**
 * Installs what is missing: without asking when `CI=true` or no terminal is attached and apt works as root; on a terminal it
 * asks once; otherwise it prints the line to type and the tests concerned are skipped. With `CI=true` a failure ends the run.
 */
export async function installPrograms(): Promise<void> {
  const { tools, daemons } = missing()
  if (tools.length === 0 && !daemons) return
  const isContinuous = process.env['CI'] === 'true'
  const line = `apt-get install ${[...tools, ...(daemons ? DAEMON_PACKAGES : [])].join(' ')}`
  const isUsable = hasCommand('apt-get') && process.getuid?.() === 0
  if (
    !isUsable ||
    (!isContinuous && process.stdin.isTTY && process.stderr.isTTY && !(await isAgreed(tools, daemons)))
  ) {
    if (isContinuous) throw new Error(`tests need programs that cannot be installed here: ${line}`)
    process.stderr.write(
      `tests: some outside programs are missing; tests that need them are skipped. To have them: ${line}\n`,
    )
    return
  }
  apt(['update', '-qq'])
  if (tools.length > 0) {
    process.stderr.write(`tests: installing ${tools.join(', ')} (tools, no services)\n`)
    apt(['install', '-y', '-qq', '--no-install-recommends', ...tools])
  }
  if (daemons) unpackDaemons()
}

async function isAgreed(tools: readonly string[], daemons: boolean): Promise<boolean> {
  const what = [
    tools.length > 0 ? `install ${tools.join(', ')} with apt-get` : '',
    daemons ? `unpack (not install) ${DAEMON_PACKAGES.join(', ')} into .cache/programs` : '',
  ]
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`tests: ${what.filter((part) => part !== '').join(' and ')}? [Y/n] `)
  terminal.close()
  return !/^n/i.test(answer)
}

function unpackDaemons(): void {
  process.stderr.write(
    `tests: unpacking ${DAEMON_PACKAGES.join(', ')} into .cache/programs (not installed: no service is added or started)\n`,
  )
  const downloads = join(unpacked, 'downloads')
  rmSync(unpacked, { recursive: true, force: true })
  mkdirSync(downloads, { recursive: true })
  run('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', ...DAEMON_PACKAGES], downloads)
  for (const file of readdirSync(downloads)) run('dpkg', ['-x', join(downloads, file), unpacked], downloads)
  rmSync(downloads, { recursive: true })
  writeFileSync(complete, DAEMON_PACKAGES.join(' '))
}

function apt(args: readonly string[]): void {
  run('apt-get', args, root)
}

function run(command: string, args: readonly string[], cwd: string): void {
  const result = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (result.status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed: ${result.stderr}${result.error?.message ?? ''}`)
}

/** What the lab's internet needs and this machine lacks; undefined when it can be made. */
export function missingForLab(): string | undefined {
  if (!canMakeNamespaces()) return 'root and `ip` on Linux, to make network namespaces'
  if (!existsSync('/dev/net/tun')) return 'the device /dev/net/tun'
  return ['nft', 'conntrack', 'curl'].find((command) => !hasCommand(command))
}
