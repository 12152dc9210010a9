import test from 'ava'
import type { Invite, Service, Why } from '../../node/api/schemas.ts'
import { Lab, reasonToSkip, until, LabNode } from './lab.ts'

/*
 * A newcomer that cannot reach the node that made its invite: a ── b ── c, and no route between a and c. Member b is the door.
 */

const skip = reasonToSkip(['curl'])
if (skip !== undefined) process.stderr.write(`three nodes: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

/** Newcomers with one single-use invite. */
const RIVALS = 6
const FREE_PORTS = ['--listen', '/ip4/0.0.0.0/tcp/0', '--dns', '0', '--gateway-port', '0', '--no-ui']

let lab: Lab
let a: LabNode
let b: LabNode
let c: LabNode
let invite: Invite

if (skip === undefined) {
  test.before(async (t) => {
    t.timeout(60_000)
    lab = new Lab()
    lab.machines('a', 'b', 'c')
    lab.cable('a', '10.77.1.1', 'b', '10.77.1.2')
    lab.cable('b', '10.77.2.1', 'c', '10.77.2.2')
    a = new LabNode(lab, 'a', 'a')
    b = new LabNode(lab, 'b', 'b')
    c = new LabNode(lab, 'c', 'c')
    await a.up('--create', 'home', '--name', 'a', '--no-ui')
    await b.up('--join', (await a.json<Invite>('invite')).invite, '--name', 'b', '--no-ui')
    await Promise.all([a.untilAlive(1), b.untilAlive(1)])
    invite = await a.json<Invite>('invite', '--name', 'c')
  })
  test.afterEach.always((t) => {
    if (t.passed) return
    for (const node of [a, b, c]) t.log(`log of ${node.name}:\n${node.log().slice(-800)}`)
  })
  test.after.always(async () => {
    await lab?.close()
  })
}

story(
  'while the node that made the invite is away, the door says so, and the invite stays good',
  async (t) => {
    await a.kill()
    const refused = await t.throwsAsync(() => c.up('--join', invite.invite, '--no-ui'))
    t.regex(refused?.message ?? '', /\[invite-issuer-unreachable\]/)
    await a.up('--no-ui')
    await Promise.all([a.untilAlive(1), b.untilAlive(1)])
  },
)

story('a newcomer joins through a member that can neither read nor grant what it carries', async (t) => {
  const ready = await c.up('--join', invite.invite, '--no-ui')
  t.is(ready.node.name, 'c')
  t.is(ready.mesh?.domain, 'home.internal')
  await Promise.all([a, b, c].map((node) => node.untilAlive(2)))
  t.is((await b.peer('c'))?.path, 'direct')
  const far = await until('c and a to speak through b', async () => {
    const peer = await a.peer('c')
    return peer?.path === 'relay' ? peer : undefined
  })
  t.is(far.via, (await b.status()).node.id)
})

story('services of a neighbour open, and those beyond it through it, unless it does not relay', async (t) => {
  const site = lab.folder('site')
  lab.file('site/index.html', 'hello from the middle')
  await b.json('publish', 'middle', site)
  await a.json('publish', 'far', site)
  const find = async (name: string): Promise<Service | undefined> =>
    (await c.client.get<Service[]>('/services')).find((service) => service.name === name)
  const middle = await until('c to see middle', () => find('middle'))
  const { stdout } = await lab.run('c', 'curl', ['-sS', middle.localUrl ?? ''])
  t.is(stdout, 'hello from the middle')
  const far = await until('c to see far', () => find('far'))
  const opened = await lab.run('c', 'curl', ['-sS', far.localUrl ?? ''])
  t.is(opened.stdout, 'hello from the middle')
  t.is((await c.json<Why>('why', 'far')).path, 'relay')

  await b.stop()
  await b.up('--no-ui', '--no-relay')
  await Promise.all([a.untilAlive(2), c.untilAlive(2)])
  const why = await until('c to find no way', async () => {
    const answer = await c.json<Why>('why', 'far')
    return answer.verdict === 'unreachable' ? answer : undefined
  })
  t.is(why.reasons[0]?.code, 'peer-unreachable')
  await b.stop()
  await b.up('--no-ui')
  await Promise.all([a.untilAlive(2), c.untilAlive(2)])
})

story(`of ${RIVALS} machines that bring one single-use invite at once, exactly one gets in`, async (t) => {
  const single = await a.json<Invite>('invite')
  const rivals = Array.from({ length: RIVALS }, (_, i) => new LabNode(lab, `rival${i}`, 'c'))
  const outcomes = await Promise.allSettled(
    rivals.map((rival) => rival.up('--join', single.invite, '--name', rival.name, ...FREE_PORTS)),
  )
  const admitted = outcomes.filter(({ status }) => status === 'fulfilled')
  t.is(admitted.length, 1)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') t.regex((outcome.reason as Error).message, /\[invite-used-up\]/)
  await until('a to know the one that got in', async () => (await a.status()).peers.known === 3)
  for (const [i, { status }] of outcomes.entries()) if (status === 'fulfilled') await rivals[i]?.stop()
  await until('the mesh to see it leave', async () => (await a.status()).peers.alive === 2)
})

story('after the whole mesh lost power, all three find each other', async (t) => {
  await Promise.all([a, b, c].map((node) => node.kill()))
  const started = performance.now()
  await Promise.all([a, b, c].map((node) => node.up('--no-ui')))
  await Promise.all([a, b, c].map((node) => node.untilAlive(2)))
  const tookMs = performance.now() - started
  t.log(`whole again after ${Math.round(tookMs)} ms`)
  t.true(tookMs < 10_000)
})
