import { join } from 'node:path'
import test from 'ava'
import packet from 'dns-packet'
import { keyFromPeerId } from '../../protocols/common/peer-id.ts'
import type { Invite, LogEvent } from '../../node/api/schemas.ts'
import { daemon } from '../programs.ts'
import { Lab, reasonToSkip, until, LabNode, type Program } from './lab.ts'

/*
 * Members find each other on one network by multicast DNS alone: machines on a switch, real nodes, Debian's avahi beside them,
 * and somebody who only listens. Addresses are changed while nodes are down, so that nothing they remember holds.
 */

const FLAGS = ['--no-ui', '--dns', '0', '--gateway-port', '0']
/** All of the mesh whole again by LAN discovery alone. */
const FOUND_MAX_MS = 10_000
/** Longer than any of it takes, and no longer than needed to see that nothing happens. */
const NOTHING_MS = 12_000

const skip = reasonToSkip(['python3'], ['avahi-daemon', 'avahi-browse', 'dbus-daemon'])
const story = skip === undefined ? test.serial : test.serial.skip

let lab: Lab
let a: LabNode
let b: LabNode
let capture: Program

test.before(async (t) => {
  t.timeout(90_000)
  if (skip !== undefined) return
  lab = new Lab()
  lab.machines('switch', 'a', 'b', 'c')
  await ip('switch', 'link', 'add', 'br0', 'type', 'bridge')
  await ip('switch', 'link', 'set', 'br0', 'up')
  for (const [index, name] of ['a', 'b', 'c'].entries()) {
    lab.cable(name, `10.77.1.${index + 1}`, 'switch', `10.99.${index}.1`)
    await ip('switch', 'addr', 'flush', 'dev', `to-${name}`)
    await ip('switch', 'link', 'set', `to-${name}`, 'master', 'br0')
  }
  // Every frame that passes the switch, as hexadecimal lines: what somebody with a cable in it sees.
  capture = lab.start('switch', 'python3', ['-u', '-c', CAPTURE])
  a = new LabNode(lab, 'garden-shed', 'a')
  b = new LabNode(lab, 'b', 'b')
  await a.up('--create', 'secretname', '--name', 'garden-shed', ...FLAGS)
  await b.up('--join', (await a.json<Invite>('invite')).invite, '--name', 'b', ...FLAGS)
  await Promise.all([a.untilAlive(1), b.untilAlive(1)])
})
test.afterEach.always((t) => {
  if (!t.passed && skip === undefined)
    for (const node of [a, b]) t.log(`log of ${node.name}:\n${node.log().slice(-1500)}`)
})
test.after.always(async () => {
  await lab?.close()
})

story(
  'two nodes whose addresses all changed find each other by LAN discovery alone, and not without',
  async (t) => {
    t.timeout(90_000)
    await Promise.all([a.stop(), b.stop()])
    await move('a', '10.78.5.11')
    await move('b', '10.78.5.12')
    await Promise.all([a.up(...FLAGS, '--no-mdns'), b.up(...FLAGS, '--no-mdns')])
    await new Promise((resolve) => void setTimeout(resolve, NOTHING_MS))
    for (const node of [a, b])
      t.is((await node.peer(node === a ? 'b' : 'garden-shed'))?.path, 'none', node.name)
    await Promise.all([a.stop(), b.stop()])
    const started = performance.now()
    await Promise.all([a.up(...FLAGS), b.up(...FLAGS)])
    const ready = performance.now()
    await whole()
    t.log(
      `found ${Math.round(performance.now() - ready)} ms after both were ready, ${Math.round(performance.now() - started)} ms after their start`,
    )
    t.true(performance.now() - ready < FOUND_MAX_MS)
    const found = [...(await lanEvents(a)), ...(await lanEvents(b))]
    t.true(
      found.some(({ text }) => text?.includes('10.78.5.1')),
      JSON.stringify(found),
    )
  },
)

story('a node that moves while it runs announces where it is', async (t) => {
  t.timeout(60_000)
  await move('a', '10.79.5.11')
  await move('b', '10.79.5.12')
  // The old connection's ends do not exist any more; the machines notice by their probes.
  const started = performance.now()
  await until(
    'an answer over a new connection',
    async () => (await a.cli('ping', 'b', '--count', '1')).code === 0,
    40_000,
  )
  await whole()
  const tookMs = performance.now() - started
  t.log(`whole ${Math.round(tookMs)} ms after both moved`)
  t.true(tookMs < 30_000)
})

story('an invite whose addresses hold no more still leads in, on the same network', async (t) => {
  t.timeout(60_000)
  const { invite } = await a.json<Invite>('invite')
  await Promise.all([a.stop(), b.stop()]) // b would be a door whose address still holds
  await move('a', '10.79.5.21')
  await move('c', '10.79.5.13')
  await a.up(...FLAGS)
  const c = new LabNode(lab, 'c', 'c')
  const shown = new LabNode(lab, 'd', 'c')
  await t.throwsAsync(shown.up('--join', invite, ...FLAGS, '--no-mdns'), {
    message: /invite-issuer-unreachable/,
  })
  const ready = await c.up('--join', invite, '--name', 'c', ...FLAGS)
  t.is(ready.mesh?.name, 'secretname')
  await c.untilAlive(1)
  await c.stop()
  await b.up(...FLAGS)
  await whole()
})

story(
  'avahi on the same machine and on another reads the service as well-formed, and shares the port',
  async (t) => {
    t.timeout(60_000)
    for (const machine of ['a', 'c']) {
      const environment = startAvahi(machine)
      const lines = await until(
        `avahi on ${machine} to resolve the service`,
        async () => {
          const { path = '', env = {} } = daemon('avahi-browse') ?? {}
          const browse = await lab.run(machine, path, ['-rptk', '_kith._tcp'], {
            env: { ...env, ...environment },
            timeoutMs: 8000,
          })
          const resolved = browse.stdout.split('\n').filter((line) => line.startsWith('='))
          const rows = resolved.map((line) => line.split(';'))
          return rows.some((row) => row[7] === '10.79.5.21') && rows.some((row) => row[7] === '10.79.5.12')
            ? rows
            : undefined
        },
        30_000,
      )
      for (const row of lines) {
        const [, , , name, type, domain, host, , port, text] = row
        t.regex(name ?? '', /^[0-9a-f]{32}$/)
        t.deepEqual(
          [type, domain, host, port, text ?? ''],
          ['_kith._tcp', 'local', `${name}.local`, '4701', ''],
        )
      }
    }
    // With avahi beside it the node still hears: it finds b again after a restart.
    await a.stop()
    await a.up(...FLAGS)
    await whole()
  },
)

story('a one-shot question is answered to the one who asked, as an ordinary resolver wants it', async (t) => {
  const { stdout, stderr } = await lab.run('c', 'python3', ['-c', ONE_SHOT], { timeoutMs: 20_000 })
  const answers = stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => packet.decode(Buffer.from(line, 'hex')))
  t.is(answers.length, 2, stderr)
  for (const { id, questions, answers: [pointer] = [], additionals } of answers) {
    t.is(id, 0x4b49)
    t.like(questions?.[0], { name: '_kith._tcp.local', type: 'PTR' })
    t.like(pointer, { name: '_kith._tcp.local', type: 'PTR', ttl: 10, flush: false })
    const tag = (pointer as { data: string }).data.slice(0, 32)
    t.like(additionals?.[0], {
      name: `${tag}._kith._tcp.local`,
      type: 'SRV',
      ttl: 10,
      data: { port: 4701, target: `${tag}.local` },
    })
    t.deepEqual(
      additionals?.map(({ type }) => type),
      ['SRV', 'TXT', 'A'],
    )
  }
})

story('a tag nobody has leads to no dial', async (t) => {
  const { stdout, stderr } = await lab.run('c', 'python3', ['-c', FORGE, '10.79.5.13'], { timeoutMs: 20_000 })
  t.deepEqual(JSON.parse(stdout || '{}'), { sent: 40, connections: 0 }, stderr)
  t.is((await b.status()).state, 'up')
})

story('what passed the switch names no node, no mesh and no peer', async (t) => {
  const frames = capture
    .stdout()
    .split('\n')
    .filter((line) => isMulticast(line))
  t.true(frames.length > 10, `${frames.length} multicast frames`)
  const ours = frames.filter((line) => line.includes(Buffer.from('_kith').toString('hex')))
  t.true(ours.length > 10, `${ours.length} of ours in ${frames.length}`)
  const secrets = [a, b].flatMap(({ ready }) => {
    const { mesh, node } = ready
    const key = keyFromPeerId(node.id)
    const id = Buffer.from(mesh?.id ?? '', 'hex')
    const texts = ['secretname', 'garden-shed', node.id, mesh?.id ?? '', (mesh?.id ?? '').slice(0, 8)]
    const bytes = [key, key.subarray(0, 8), id, id.subarray(0, 8)]
    return [...texts, ...bytes].map((secret) => Buffer.from(secret))
  })
  const all = ours.join('\n').toLowerCase()
  for (const secret of secrets) t.false(all.includes(secret.toString('hex')), secret.toString('latin1'))
  t.log(`${ours.length} packets of LAN discovery, ${secrets.length} secrets looked for`)
})

async function whole(): Promise<void> {
  await until(
    'a connection in both views',
    async () => {
      const [seenByA, seenByB] = await Promise.all([a.peer('b'), b.peer('garden-shed')])
      return [seenByA, seenByB].every((peer) => peer?.path === 'direct' && peer.state === 'alive')
    },
    40_000,
  )
}

async function lanEvents(node: LabNode): Promise<LogEvent[]> {
  return (await node.client.get<LogEvent[]>('/events')).filter(({ kind }) => kind === 'lan.found')
}

/** Gives a machine another address, in another network, with a way out that leads nowhere: old addresses swallow packets. */
async function move(machine: string, address: string): Promise<void> {
  await ip(machine, 'addr', 'flush', 'dev', 'to-switch', 'scope', 'global')
  await ip(machine, 'addr', 'add', `${address}/24`, 'dev', 'to-switch')
  await ip(machine, 'route', 'replace', 'default', 'dev', 'to-switch')
}

async function ip(machine: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await lab.run(machine, 'ip', args)
  if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
}

/** A frame to a multicast address and UDP port 5353, in hexadecimal. */
function isMulticast(frame: string): boolean {
  return /^(01005e|3333)/.test(frame) && frame.includes('14e914e9')
}

/** Starts avahi with a message bus of its own on a machine; what its clients need in their environment. */
function startAvahi(machine: string): Record<string, string> {
  const bus = daemon('dbus-daemon')
  const avahi = daemon('avahi-daemon')
  if (bus === undefined || avahi === undefined) throw new Error('avahi is not unpacked; `npm test` does it')
  const folder = lab.folder(`avahi-${machine}`)
  const address = `unix:path=${join(folder, 'bus')}`
  const busConfig = lab.file(
    `avahi-${machine}/bus.conf`,
    `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>${address}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/></policy></busconfig>
`,
    0o644,
  )
  const config = lab.file(
    `avahi-${machine}/avahi.conf`,
    `[server]\nhost-name=other-${machine}\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\npublish-workstation=no\n[rlimits]\n`,
    0o644,
  )
  const environment = { DBUS_SYSTEM_BUS_ADDRESS: address }
  lab.start(machine, bus.path, ['--config-file', busConfig, '--nofork', '--nopidfile'], { env: bus.env })
  // avahi insists on a user of its own; the files are mounted over the real ones for this process alone.
  const passwd = lab.file(
    `avahi-${machine}/passwd`,
    'root:x:0:0:root:/tmp:/bin/sh\navahi:x:105:105::/run:/bin/false\n',
    0o644,
  )
  const group = lab.file(`avahi-${machine}/group`, 'root:x:0:\navahi:x:105:\n', 0o644)
  const mounts = `mount --bind ${passwd} /etc/passwd && mount --bind ${group} /etc/group && mount -t tmpfs none /run && mkdir -p /run/avahi-daemon`
  const command = `${mounts} && while [ ! -S ${folder}/bus ]; do sleep 0.1; done; exec ${avahi.path} -f ${config} --no-drop-root --no-chroot --no-rlimits`
  lab.start(machine, 'sh', ['-c', command], { env: { ...avahi.env, ...environment } })
  return environment
}

const CAPTURE = `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("br0", 0))
while True:
    print(s.recv(9000).hex(), flush=True)
`

/** Says, under tags nobody has, that a member is here, and counts who comes. */
const FORGE = `
import json, os, select, socket, struct, sys, time
own = sys.argv[1]
listener = socket.socket(); listener.bind((own, 0)); listener.listen(50)
port = listener.getsockname()[1]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
out.bind(("224.0.0.251", 5353))
out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
def name(*labels): return b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\\0"
def record(owner, kind, data): return owner + struct.pack(">HHIH", kind, 1, 120, len(data)) + data
sent = connections = 0
for _ in range(40):
    tag = os.urandom(16).hex()
    service = ("_kith", "_tcp", "local")
    body = record(name(*service), 12, name(tag, *service))
    body += record(name(tag, *service), 33, struct.pack(">HHH", 0, 0, port) + name(tag, "local"))
    body += record(name(tag, "local"), 1, socket.inet_aton(own))
    out.sendto(struct.pack(">HHHHHH", 0, 0x8400, 0, 3, 0, 0) + body, ("224.0.0.251", 5353))
    sent += 1
    if select.select([listener], [], [], 0.1)[0]: listener.accept(); connections += 1
print(json.dumps({"sent": sent, "connections": connections}))
`

/** Asks as a program that is no multicast querier does, from a port of its own; prints what comes back. */
const ONE_SHOT = `
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
name = b"".join(bytes([len(l)]) + l for l in (b"_kith", b"_tcp", b"local")) + b"\\0"
s.sendto(struct.pack(">HHHHHH", 0x4b49, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", 12, 1), ("224.0.0.251", 5353))
for _ in range(2):
    print(s.recv(1500).hex())
`
