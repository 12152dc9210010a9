import test from 'ava'
import type { RunningMesh } from '../../../node/compose-mesh.ts'
import { createControl } from '../../../node/control.ts'
import type { ControlledNode } from '../../../node/controlled-node.ts'
import { openEventLog } from '../../../node/log/event-log.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'
import { SessionRegistry, type SessionInfo } from '../../../protocols/secure-channel/sessions.ts'

const IDS = [
  '12D3KooWGRUVhTuVYp7fCnCKSPBJFhLWDMJZwvCNnZxcXhQhUQ6e',
  '12D3KooWQYzCq3dT9rTzkJ7VbpzwVnT8DmqhhvH8yUmJrVnGJXkA',
  '12D3KooWAcmMfGxTSUvdq9rHNZxUmEJ6sVtQ9C5UVTXnd1XnpNBk',
] as const

/** A node that knows three others, over a real registry of sessions. */
async function node() {
  const sessions = new SessionRegistry()
  const names = ['attic', 'laptop', 'backup']
  const members = IDS.map((id, i) => ({
    id,
    name: names[i],
    state: 'alive',
    roles: [],
    tags: [],
    self: false,
    rttMs: 1,
    lastSeen: 5,
  }))
  const mesh = {
    membership: { members: () => members },
    sessions,
    viaTo: () => null,
    pathTo: () => 'direct',
    proved: () => undefined,
    mesh: { root: { document: { domain: 'home.internal' } } },
  } as unknown as RunningMesh
  const events = await openEventLog(memoryStore(), { now: () => 0 }, () => undefined)
  const control = createControl({
    mesh: () => mesh,
    events,
    emit: (event) => events.append(event),
  } as ControlledNode)
  return { sessions, control, events }
}

/** A session that rotates when asked, unless one is under way. */
function session(peerId: string, info: Partial<SessionInfo> = {}) {
  const read = (): SessionInfo => ({
    peerId,
    suite: 'aesgcm',
    epoch: 3,
    establishedAt: Date.now() - 60_000,
    rotatedAt: Date.now() - 20_000,
    rxBytes: 1,
    txBytes: 2,
    initiator: true,
    rotation: { state: 'active', lastRotAt: 7, lastAckAt: 8, failures: 2 },
    ...info,
  })
  const asked: string[] = []
  const rotate = (): boolean => {
    asked.push(peerId)
    return read().rotation.state === 'active'
  }
  return { read, rotate, asked }
}

test('peers show epoch, key age and rotation of their newest session, and nothing without one', async (t) => {
  const { sessions, control } = await node()
  sessions.add(session(IDS[0], { epoch: 9, rotatedAt: 1 }))
  sessions.add(session(IDS[0]))
  sessions.add(session(IDS[1], { epoch: 0, rotatedAt: null }))
  const [attic, laptop, backup] = control.peers()
  t.like(attic, {
    epoch: 3,
    rotation: { state: 'active', lastRotAt: 7, lastAckAt: 8, failures: 2 },
    rxBytes: 2,
  })
  t.true(attic!.keyAgeMs! >= 20_000 && attic!.keyAgeMs! < 50_000)
  t.true(laptop!.keyAgeMs! >= 60_000, 'without a rotation the keys are as old as the session')
  t.like(backup, { epoch: null, rotatedAt: null, keyAgeMs: null, rotation: null })
  sessions.add(session(IDS[2], { rotatedAt: Date.now() + 60_000 }))
  t.is(control.peers()[2]!.keyAgeMs, 0, 'never negative, though the clock was set back')
})

test('a rotation is started with one peer by name or id, or with all that have a session', async (t) => {
  const { sessions, control } = await node()
  const [attic, laptop] = [
    session(IDS[0]),
    session(IDS[1], { rotation: { state: 'handshaking', lastRotAt: 1, lastAckAt: null, failures: 0 } }),
  ]
  sessions.add(attic)
  sessions.add(laptop)
  t.deepEqual(control.rotate({ peer: 'attic' }), {
    peers: [{ id: IDS[0], name: 'attic', epoch: 3, started: true }],
  })
  t.deepEqual(control.rotate({ peer: IDS[1] }).peers, [
    { id: IDS[1], name: 'laptop', epoch: 3, started: false },
  ])
  t.is(attic.asked.length, 1)
  t.deepEqual(
    control.rotate({}).peers.map(({ name, started }) => [name, started]),
    [
      ['attic', true],
      ['laptop', false],
    ],
  )
  t.is(attic.asked.length, 2)
  t.throws(() => control.rotate({ peer: 'backup' }), { code: 'no-session' })
  t.throws(() => control.rotate({ peer: 'nobody' }), { code: 'peer-unknown' })
})

test('events are asked for by the name of a member, its id, or the id of a stranger', async (t) => {
  const { control, events } = await node()
  const stranger = '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8'
  for (const peer of [IDS[0], stranger]) events.append({ kind: 'handshake.failed', severity: 'notice', peer })
  const found = async (peer: string): Promise<number[]> =>
    (await control.events({ peer })).map(({ id }) => id)
  t.deepEqual(await found('attic'), [1])
  t.deepEqual(await found(IDS[0]), [1])
  t.deepEqual(await found(stranger), [2])
  await t.throwsAsync(async () => control.events({ peer: 'nobody' }), { code: 'peer-unknown' })
})
