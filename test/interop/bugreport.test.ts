import { createPrivateKey } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import type { Bugreport, Invite } from '../../node/api/schemas.ts'
import { Lab, until, LabNode } from './lab.ts'

/*
 * A report of a real node: nothing of anybody in it, and the simulator comes to the same state from it.
 */

const ROOT = join(import.meta.dirname, '..', '..')
const FLAGS = [
  '--listen',
  '/ip4/127.77.0.5/tcp/0',
  '--dns',
  '0',
  '--gateway-port',
  '0',
  '--ui',
  '0',
  '--no-mdns',
]
const NAMES = ['zebrafounder', 'zebraattic', 'zebracellar', 'zebraphone'] as const

interface Written {
  readonly file: string
  readonly sizeBytes: number
  readonly events: number
  readonly redacted: boolean
}

let lab: Lab
let nodes: LabNode[]
let invites: string[]

test.before(async (t) => {
  t.timeout(90_000)
  lab = new Lab()
  nodes = NAMES.map((name) => new LabNode(lab, name))
  const [founder, ...others] = nodes as [LabNode, ...LabNode[]]
  await founder.up('--create', 'zebrahome', '--name', NAMES[0], ...FLAGS)
  invites = []
  for (const [i, node] of others.entries()) {
    const { invite } = await founder.json<Invite>('invite', '--tag', 'zebratag')
    invites.push(invite)
    await node.up('--join', invite, '--name', NAMES[i + 1] as string, ...FLAGS)
  }
  await Promise.all(nodes.map((node) => node.untilAlive(3)))
  await founder.cli(
    'publish',
    'zebrawiki',
    '9',
    '--proto',
    'http',
    '--health',
    'none',
    '--allow',
    'tag:zebratag',
  )
  await (nodes[3] as LabNode).kill()
  const isDead = async (): Promise<boolean> =>
    (await (nodes[1] as LabNode).peer('zebraphone'))?.state === 'dead'
  await until('the killed node to be dead', isDead, 20_000)
})
test.after.always(() => lab?.close())

const simulate = (...args: string[]) =>
  lab.run(undefined, process.execPath, [
    '--disable-warning=ExperimentalWarning',
    join(ROOT, 'simulations', 'main.ts'),
    ...args,
  ])

/** The private parts of the keys a node keeps. */
function secretsOf(node: LabNode): Buffer[] {
  return readdirSync(node.data)
    .filter((file) => file.endsWith('.key'))
    .map((file) => {
      const bytes = readFileSync(join(node.data, file))
      if (bytes.length === 32) return bytes
      const { d } = createPrivateKey(bytes).export({ format: 'jwk' })
      return Buffer.from(d as string, 'base64url')
    })
}

/** A report's text with everything in base64 as it is: a name in it could begin at any of three places. */
function decoded(text: string): string {
  return text.replaceAll(/"([A-Za-z0-9+/]{8,}={0,2})"/g, (_all, blob: string) =>
    Buffer.from(blob, 'base64').toString('latin1'),
  )
}

/** No secret in any spelling, and no part of an invite. */
function assertNoSecrets(t: ExecutionContext, text: string): void {
  const plain = decoded(text)
  const secrets = nodes.flatMap(secretsOf)
  t.true(secrets.length >= 7)
  for (const secret of secrets) {
    t.false(plain.includes(secret.toString('latin1')))
    for (const encoding of ['hex', 'base64url'] as const) t.false(text.includes(secret.toString(encoding)))
    t.false(text.includes(secret.toString('base64').replace(/=+$/, '')))
  }
  for (const invite of invites) t.false(text.includes(invite.slice(-60)))
  t.notRegex(text, /kith:\/\/|PRIVATE KEY/)
}

test.serial('a report tells no name, no address and no secret, and is for its owner alone', async (t) => {
  const survivor = nodes[1] as LabNode
  const file = join(lab.directory, 'report.json.gz')
  const written = await survivor.json<Written>('bugreport', file)
  t.is(written.file, file)
  t.true(written.redacted)
  t.true(written.events > 5)
  t.is(statSync(file).mode & 0o777, 0o600)
  t.is(statSync(file).size, written.sizeBytes)
  const text = gunzipSync(readFileSync(file)).toString('utf8')
  const { status, membership } = JSON.parse(text) as Bugreport
  t.is(status.node.id, survivor.ready.node.id)
  t.is(status.peers.dead, 1)
  t.true((membership as { steps: unknown[] }).steps.length > 50)
  for (const forbidden of [/zebra/i, /127\.77\.0/, new RegExp(lab.directory)])
    for (const [where, content] of Object.entries({ text, decoded: decoded(text) })) {
      const at = content.search(forbidden)
      t.is(at, -1, `${String(forbidden)} in the ${where}: ${at < 0 ? '' : content.slice(at - 80, at + 80)}`)
    }
  assertNoSecrets(t, text)
  const again = await survivor.cli('bugreport', file)
  t.is(again.code, 1)
  t.regex(again.stderr, /report-unwritable/)
})

test.serial('the simulator comes to the same state from it, and says where it does not', async (t) => {
  t.timeout(60_000)
  const file = join(lab.directory, 'report.json.gz')
  const trace = join(lab.directory, 'trace.ndjson')
  const { code, stdout, stderr } = await simulate('--replay', file, '--trace', trace)
  t.is(code, 0, stdout + stderr)
  t.regex(stdout, /\nsame state\n$/)
  t.regex(stdout, /dead/)
  t.is(
    new Set(
      readFileSync(trace, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).kind),
    ).has('frame'),
    true,
  )
  const report = JSON.parse(gunzipSync(readFileSync(file)).toString('utf8')) as {
    membership: { steps: { effects: number }[] }
  }
  const changed = report.membership.steps.findIndex(({ effects }) => effects !== 0)
  ;(report.membership.steps[changed] as { effects: number }).effects = 1
  const other = lab.file('changed.json', JSON.stringify(report))
  const differs = await simulate('--replay', other, '--json')
  t.is(differs.code, 1)
  t.like(JSON.parse(differs.stdout), { same: false, difference: { step: changed, what: 'effects' } })
  const part = await simulate('--replay', file, '--until', '10')
  t.is(part.code, 0)
  t.regex(part.stdout, /as recorded up to step 10\n$/)
  writeFileSync(other, Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.from('nonsense')]))
  t.is((await simulate('--replay', other)).code, 2)
})

test.serial('names stay in when asked for, secrets do not', async (t) => {
  const survivor = nodes[0] as LabNode
  const file = join(lab.directory, 'named.json.gz')
  const { redacted } = await survivor.json<Written>('bugreport', file, '--with-names')
  t.false(redacted)
  const text = gunzipSync(readFileSync(file)).toString('utf8')
  for (const name of [...NAMES, 'zebrahome', '127.77.0.5']) t.true(text.includes(name), name)
  assertNoSecrets(t, text)
  const { code, stdout } = await simulate('--replay', file, '--json')
  t.is(code, 0)
  t.like(JSON.parse(stdout), { same: true, difference: null })
})

test.serial('a node in no mesh writes a report too, from which nothing can be replayed', async (t) => {
  t.timeout(60_000)
  const alone = new LabNode(lab, 'zebraalone')
  await alone.up('--name', 'zebraalone', ...FLAGS)
  const file = join(lab.directory, 'alone.json.gz')
  await alone.json<Written>('bugreport', file)
  const text = gunzipSync(readFileSync(file)).toString('utf8')
  t.like(JSON.parse(text), { status: { state: 'setup', mesh: null }, membership: null })
  t.notRegex(text, /zebra/)
  const { code, stderr } = await simulate('--replay', file)
  t.is(code, 2)
  t.regex(stderr, /in no mesh/)
})
