import { join } from 'node:path'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import test from 'ava'
import { multiaddr } from '@multiformats/multiaddr'
import type {
  Approved,
  AuthorityRow,
  Invite,
  LogEvent,
  MemberRow,
  Revoked,
  RootAct,
  Status,
} from '../../node/api/schemas.ts'
import { joinMesh } from '../../node/membership/joiner.ts'
import { memoryStore } from '../../node/storage/memory-store.ts'
import { systemClock, systemRandom, systemTimers } from '../../node/system-ports.ts'
import { dialExchange } from '../../node/transport/join-dial.ts'
import { ed25519Signer } from '../../protocols/common/signing.ts'
import { hasCommand } from '../programs.ts'
import { kithArguments, Lab, runKith, until, LabNode } from './lab.ts'

/*
 * Who gets in, who is put out, and who may decide: real nodes on loopback, through the real command.
 */

const PORTS = ['--no-ui', '--dns', '0', '--gateway-port', '0', '--no-mdns']
const ANY = ['--listen', '/ip4/127.0.0.1/tcp/0', ...PORTS]
/** Machines that bring one single-use invite at once. */
const RIVALS = 50

const AGE_ON_A_TERMINAL = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0: os.execvp('age', ['age', '--decrypt', sys.argv[1]])
seen = b''
while b'passphrase' not in seen: seen += os.read(fd, 4096)
os.write(fd, sys.argv[2].encode() + b'\\n')
try:
    while True:
        got = os.read(fd, 4096)
        if not got: break
        seen += got
except OSError: pass
print(seen.decode())
`

let lab: Lab
let founder: LabNode
let attic: LabNode
let phone: LabNode

test.before(async (t) => {
  t.timeout(60_000)
  lab = new Lab()
  founder = new LabNode(lab, 'founder')
  attic = new LabNode(lab, 'attic')
  phone = new LabNode(lab, 'phone')
  await founder.up('--create', 'home', '--name', 'founder', ...(await fixed('founder')))
  await attic.up(
    '--join',
    (await founder.json<Invite>('invite')).invite,
    '--name',
    'attic',
    ...(await fixed('attic')),
  )
  await founder.untilAlive(1)
})
test.afterEach.always((t) => {
  if (!t.passed)
    for (const node of [founder, attic, phone]) t.log(`log of ${node.name}:\n${node.log().slice(-1200)}`)
})
test.after.always(async () => {
  await lab?.close()
})

/** Flags with a port of its own, the same at each start: who comes back is found again. */
const listens = new Map<string, number>()
async function fixed(name: string): Promise<string[]> {
  let port = listens.get(name)
  if (port === undefined) {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
    listens.set(name, port)
    server.close()
  }
  return ['--listen', `/ip4/127.0.0.1/tcp/${port}`, ...PORTS]
}

const members = (node: LabNode): Promise<MemberRow[]> => node.client.get<MemberRow[]>('/members')
const memberOf = async (node: LabNode, name: string): Promise<MemberRow | undefined> =>
  (await members(node)).find((member) => member.name === name)
const events = (node: LabNode): Promise<LogEvent[]> => node.client.get<LogEvent[]>('/events')

test.serial(
  `of ${RIVALS} machines that bring one single-use invite at once, exactly one gets in`,
  async (t) => {
    const { invite } = await founder.json<Invite>('invite')
    const join = (i: number): Promise<unknown> => {
      const seed = systemRandom.bytes(32)
      return joinMesh({
        invite,
        signer: ed25519Signer(seed),
        name: `rival-${i}`,
        store: memoryStore(),
        clock: systemClock,
        random: systemRandom,
        timers: systemTimers,
        exchange: (door, request, meshId, signal) =>
          dialExchange(
            multiaddr(door.address),
            { meshId, seed, clock: systemClock, random: systemRandom, emit: () => undefined },
            request,
            signal,
          ),
      })
    }
    const started = performance.now()
    const outcomes = await Promise.allSettled(Array.from({ length: RIVALS }, (_, i) => join(i)))
    t.log(`${RIVALS} joins in ${Math.round(performance.now() - started)} ms`)
    t.is(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    const codes = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : [],
    )
    t.deepEqual(new Set(codes), new Set(['invite-used-up']))
  },
)

test.serial('a machine waits until somebody approves it, and goes on by itself', async (t) => {
  await phone.up('--name', 'phone', ...ANY)
  const { invite } = await founder.json<Invite>('invite', '--approve')
  const joining = phone.cli('join', invite, '--json')
  const waiting = await until('phone to wait', () => memberOf(founder, 'phone'))
  t.like(waiting, { id: (await phone.status()).node.id, state: 'pending' })
  await until('phone to say that it waits', async () =>
    (await phone.status()).warnings.some(({ code }) => code === 'join-pending'),
  )
  t.true((await events(founder)).some(({ kind, peer }) => kind === 'join.pending' && peer === waiting.id))
  const wrong = await founder.cli('approve', 'nobody', '--json')
  t.is(wrong.code, 1)
  t.regex(wrong.stdout, /join-not-pending/)
  t.like(await founder.json<Approved>('approve', 'phone'), { name: 'phone', approved: true })
  const { code, stdout, stderr } = await joining
  t.is(code, 0, stderr)
  t.like(JSON.parse(stdout) as Status, { state: 'up', node: { name: 'phone' } })
  t.regex(stderr, /\[join-pending\]/, 'the command said that it waits')
  await founder.untilAlive(2)
  t.is((await memberOf(founder, 'phone'))?.state, 'alive')
})

test.serial('a machine that is turned away is told so', async (t) => {
  const guest = new LabNode(lab, 'guest')
  await guest.up('--name', 'guest', ...ANY)
  const { invite } = await founder.json<Invite>('invite', '--approve')
  const joining = guest.cli('join', invite, '--json')
  await until('guest to wait', () => memberOf(founder, 'guest'))
  t.like(await founder.json<Approved>('approve', '--deny', 'guest'), { approved: false })
  const { code, stdout } = await joining
  t.is(code, 1)
  t.regex(stdout, /join-denied/)
  t.is((await guest.status()).state, 'setup')
  await guest.stop()
})

test.serial('a start that waits for approval ends when it is stopped', async (t) => {
  const late = new LabNode(lab, 'late')
  const { invite } = await founder.json<Invite>('invite', '--approve')
  const starting = lab.start(
    undefined,
    process.execPath,
    kithArguments(['up', '--data', late.data, '--name', 'late', '--join', invite, ...ANY]),
  )
  await until('it to wait', () => memberOf(founder, 'late'))
  await until('it to say so', () => starting.stderr().includes('join-pending'))
  t.is(await starting.end('SIGTERM'), 0)
  t.notRegex(starting.stderr(), /\n\s+at /, 'no stack')
  const again = late.up('--name', 'late', '--join', invite, ...ANY)
  const { id } = await until('it to wait again', () => memberOf(founder, 'late'))
  await founder.json<Approved>('approve', id)
  t.is((await again).node.name, 'late')
  await late.stop()
})

test.serial('only an authority revokes, and a plain member says who can', async (t) => {
  const { code, stdout } = await attic.cli('revoke', 'phone', '--json')
  t.is(code, 1)
  t.regex(stdout, /"code":"not-authorised".*founder can/)
})

test.serial('an invite for one known machine needs nobody but a member to dial', async (t) => {
  const nas = new LabNode(lab, 'nas')
  await nas.up('--name', 'anything', ...ANY)
  const { id } = (await nas.status()).node
  t.regex((await founder.cli('invite', '--peer', id, '--json')).stdout, /invite-invalid/, 'it needs a name')
  const { invite, uses } = await founder.json<Invite>('invite', '--peer', id, '--name', 'nas')
  t.is(uses, 1)
  const stolen = new LabNode(lab, 'stolen')
  await t.throwsAsync(() => stolen.up('--join', invite, ...ANY), { message: /\[invite-wrong-peer\]/ })
  await founder.stop()
  t.like(await nas.json<Status>('join', invite), { node: { name: 'nas' } })
  await nas.untilAlive(2)
  await attic.untilAlive(2)
  await founder.up(...(await fixed('founder')))
  await founder.untilAlive(3)
  await nas.stop()
})

test.serial('a revoked member is cut, the others see it, and it cannot come back', async (t) => {
  const { id } = (await phone.status()).node
  const started = performance.now()
  t.like(await founder.json<Revoked>('revoke', 'phone', '--reason', 'lost on a train'), {
    id,
    name: 'phone',
    added: true,
  })
  for (const node of [founder, attic]) {
    const row = await until(`${node.name} to know`, async () => {
      const member = (await members(node)).find((each) => each.id === id)
      return member?.state === 'revoked' && member
    })
    t.like(row, { name: 'phone', revoked: { reason: 'lost on a train' } })
    await until(`${node.name} to cut it`, async () => (await node.peer('phone'))?.path !== 'direct')
  }
  t.log(`cut everywhere after ${Math.round(performance.now() - started)} ms`)
  await until('phone to be alone', async () => (await phone.status()).peers.alive === 0)
  await until('phone to say why', async () =>
    (await phone.status()).warnings.some(({ code }) => code === 'certificate-revoked'),
  )
  for (const node of [founder, attic])
    t.true((await events(node)).some(({ kind, peer }) => kind === 'member.revoked' && peer === id))

  await phone.kill()
  await phone.up(...ANY)
  await until('a refused handshake', async () =>
    (await events(founder)).some(
      ({ kind, peer, reason }) =>
        kind === 'handshake.failed' && peer === id && reason === 'certificate-revoked',
    ),
  )
  const { peers, warnings } = await phone.status()
  t.is(peers.alive, 0)
  t.true(
    warnings.some(({ code }) => code === 'certificate-revoked'),
    'it still knows after a restart',
  )
  t.true((await events(phone)).some(({ kind }) => kind === 'handshake.failed'))

  const { invite } = await founder.json<Invite>('invite')
  const again = await phone.cli('join', invite, '--json')
  t.is(again.code, 1, 'its key is known')

  await founder.stop()
  await founder.up(...(await fixed('founder')))
  t.is((await members(founder)).find((each) => each.id === id)?.state, 'revoked', 'after a restart too')
  t.is((await members(attic)).find((each) => each.id === id)?.state, 'revoked')
})

test.serial('an authority that may only revoke does not invite, and says who can', async (t) => {
  t.like(await founder.json<RootAct>('authority', 'add', 'attic', '--role', 'revoke'), { state: 'done' })
  await until('attic to hold it', async () =>
    (await attic.json<AuthorityRow[]>('authority', 'ls')).some(({ name }) => name === 'attic'),
  )
  const refused = await until('attic to be back', async () => {
    const { stdout } = await attic.cli('invite', '--json')
    return stdout.includes('"error"') && stdout
  })
  t.regex(refused, /not-authorised/)
  t.regex(refused, /founder can/)
})

test.serial('a second authority admits while the founder is away', async (t) => {
  t.like(await founder.json<RootAct>('authority', 'add', 'attic'), {
    act: 'add',
    name: 'attic',
    state: 'done',
  })
  await until('attic to be an authority', async () => (await memberOf(attic, 'attic'))?.authority !== null)
  await founder.untilAlive(1)
  await founder.stop()
  const { invite } = await attic.json<Invite>('invite')
  const cabin = new LabNode(lab, 'cabin')
  await cabin.up('--join', invite, '--name', 'cabin', ...ANY)
  await attic.untilAlive(1)
  t.is((await memberOf(attic, 'cabin'))?.certificate?.issuer, (await attic.status()).node.id)
  await founder.up(...(await fixed('founder')))
  await until('the founder to believe it', async () => (await memberOf(founder, 'cabin'))?.state === 'alive')
  const authorities = await founder.json<AuthorityRow[]>('authority', 'ls')
  const names = authorities.map(({ name }) => name)
  t.true(names.length === 2 && names.includes('attic') && names.includes('founder'), names.join())
})

test.serial('with the root key in a drawer, an authority is retired by request and answer', async (t) => {
  const key = lab.file('passphrase', 'correct horse\n')
  const [exported, request, answer] = ['root.pem', 'request', 'answer'].map((name) =>
    join(lab.folder('drawer'), name),
  )
  const warned = async (): Promise<boolean> =>
    (await founder.status()).warnings.some(({ code }) => code === 'root-not-exported')
  t.true(await warned())
  t.is((await founder.cli('root', 'export', exported ?? '', '--passphrase-file', key)).code, 0)
  t.is(statSync(exported ?? '').mode & 0o777, 0o600)
  t.regex(readFileSync(exported ?? '', 'utf8'), /^-----BEGIN AGE ENCRYPTED FILE-----/)
  if (hasCommand('age') && hasCommand('python3')) {
    // age asks a terminal for the passphrase, and nothing else.
    const opened = await lab.run(undefined, 'python3', [
      '-c',
      AGE_ON_A_TERMINAL,
      exported ?? '',
      'correct horse',
    ])
    t.is(opened.stdout.match(/BEGIN PRIVATE KEY/g)?.length, 2, `both keys, by age itself: ${opened.stderr}`)
  }
  t.false(await warned())
  const missing = await founder.cli('authority', 'retire', 'attic', '--json')
  t.regex(missing.stdout, /root-key-missing/)

  t.is((await founder.cli('authority', 'retire', 'attic', '--request', request ?? '')).code, 0)
  const signing = ['root', 'sign', request ?? '', '--out', answer ?? '', '--key', exported ?? '']
  const locked = await runKith(lab, [...signing, '--json'])
  t.regex(locked.stdout, /root-file-unreadable/, 'not without the passphrase')
  const signed = await runKith(lab, [...signing, '--passphrase-file', key])
  t.is(signed.code, 0, signed.stderr)
  t.regex(signed.stdout, /ends the authority of attic/)
  t.like(await founder.json<RootAct>('authority', 'retire', '--signed', answer ?? ''), { state: 'done' })
  await until('attic to be a plain member', async () => (await memberOf(attic, 'attic'))?.authority === null)
  const refused = await until('attic to be back', async () => {
    const { stdout } = await attic.cli('invite', '--json')
    return stdout.includes('not-authorised') && stdout
  })
  t.regex(refused, /founder can/)
  t.is((await memberOf(founder, 'cabin'))?.state, 'alive', 'whom it admitted before stays')
})
