import test from 'ava'
import type { Invite, LogEvent, MemberRow, Revoked } from '../../node/api/schemas.ts'
import { Lab, reasonToSkip, until, LabNode } from './lab.ts'

/*
 * Two houses with two nodes each and one cable between them, which is cut: x1, x2 ── y1, y2. While it is cut x1 revokes y2.
 */

const skip = reasonToSkip([])
if (skip !== undefined) process.stderr.write(`partition: skipped, ${skip}\n`)
const story = skip === undefined ? test.serial : test.serial.skip

const PORTS = ['--no-ui', '--dns', '0', '--gateway-port', '0', '--no-mdns']
/** From the cable's return until the revoked is cut everywhere; a dial that was under way may have to time out first. */
const CUT_WITHIN_MS = 15_000

let lab: Lab
let nodes: Record<'x1' | 'x2' | 'y1' | 'y2', LabNode>

if (skip === undefined) {
  test.before(async (t) => {
    t.timeout(90_000)
    lab = new Lab()
    lab.machines('x', 'y')
    lab.cable('x', '10.77.5.1', 'y', '10.77.5.2')
    nodes = {
      x1: new LabNode(lab, 'x1', 'x'),
      x2: new LabNode(lab, 'x2', 'x'),
      y1: new LabNode(lab, 'y1', 'y'),
      y2: new LabNode(lab, 'y2', 'y'),
    }
    const { x1, ...others } = nodes
    await x1.up('--create', 'home', ...flagsOf(x1))
    for (const node of Object.values(others)) {
      const { invite } = await x1.json<Invite>('invite')
      await node.up('--join', invite, ...flagsOf(node))
    }
    await Promise.all(Object.values(nodes).map((node) => node.untilAlive(3)))
  })
  test.afterEach.always((t) => {
    if (!t.passed)
      for (const node of Object.values(nodes)) t.log(`log of ${node.name}:\n${node.log().slice(-1500)}`)
  })
  test.after.always(async () => {
    await lab?.close()
  })
}

function flagsOf({ name }: LabNode): string[] {
  const [house, number] = [name[0] === 'x' ? 1 : 2, name[1]]
  return ['--name', name, '--listen', `/ip4/10.77.5.${house}/tcp/470${number}`, ...PORTS]
}

async function cable(state: 'up' | 'down'): Promise<void> {
  const { code, stderr } = await lab.run('x', 'ip', ['link', 'set', 'to-y', state])
  if (code !== 0) throw new Error(stderr)
}

const revokedAt = async (node: LabNode, id: string): Promise<boolean> =>
  (await node.client.get<MemberRow[]>('/members')).some(
    (member) => member.id === id && member.state === 'revoked',
  )

story('each house goes on by itself while the cable is cut, and holds the other dead', async (t) => {
  t.timeout(60_000)
  await cable('down')
  const { x1, x2, y1, y2 } = nodes
  const lost = async (node: LabNode): Promise<boolean> => {
    const { alive, dead } = (await node.status()).peers
    return alive === 1 && dead === 2
  }
  const cutAt = performance.now()
  await Promise.all(
    Object.values(nodes).map((node) => until(`${node.name} to notice`, () => lost(node), 40_000)),
  )
  t.log(`the other house is held dead everywhere after ${Math.round(performance.now() - cutAt)} ms`)
  t.is((await x1.peer('x2'))?.path, 'direct')
  t.is((await y1.peer('y2'))?.path, 'direct')
  const { id } = (await y2.status()).node
  t.like(await x1.json<Revoked>('revoke', 'y2', '--reason', 'lost on a train'), { id, added: true })
  await until('x2 to know', () => revokedAt(x2, id))
  t.false(await revokedAt(y1, id), 'it cannot know')
  t.is((await y1.peer('y2'))?.state, 'alive', 'who does not know goes on with it')
})

story(
  'when the cable is back, who was revoked meanwhile is cut by all, and everybody else is whole',
  async (t) => {
    t.timeout(60_000)
    const { x1, x2, y1, y2 } = nodes
    const { id } = (await y2.status()).node
    await cable('up')
    const backAt = performance.now()
    await until('y1 to know', () => revokedAt(y1, id), 40_000)
    const toldMs = performance.now() - backAt
    await until('y1 to cut it', async () => (await y1.peer('y2'))?.path !== 'direct')
    const cutMs = performance.now() - backAt
    await until('y2 to be alone', async () => (await y2.status()).peers.alive === 0)
    await until('y2 to say why', async () =>
      (await y2.status()).warnings.some(({ code }) => code === 'certificate-revoked'),
    )
    t.log(
      `the cable back, y1 knows after ${Math.round(toldMs)} ms and has cut y2 after ${Math.round(cutMs)} ms`,
    )
    t.true(cutMs < CUT_WITHIN_MS)
    t.true(cutMs - toldMs < 5_000)
    await Promise.all(
      [x1, x2, y1].map((node) =>
        until(`${node.name} to be whole`, async () => (await node.status()).peers.alive === 2, 40_000),
      ),
    )
    t.log(`whole again after ${Math.round(performance.now() - backAt)} ms`)
    for (const node of [x1, x2, y1])
      t.true(
        (await node.client.get<LogEvent[]>('/events?kind=member.revoked')).some(({ peer }) => peer === id),
        node.name,
      )
  },
)
