import test, { type ExecutionContext } from 'ava'
import { toHex } from '../../../protocols/common/bytes.ts'
import { SessionRegistry } from '../../../protocols/secure-channel/sessions.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import { steadyClock, systemTimers } from '../../../node/system-ports.ts'
import { Circuits } from '../../../node/transport/circuits.ts'
import { createConnections, type Connections } from '../../../node/transport/connections.ts'
import { MESH_ID, side, until } from '../../protocols/secure-channel/mesh.ts'
import { meshNode, type TestNode } from './mesh.ts'

interface Member {
  readonly node: TestNode
  readonly id: string
  readonly circuits: Circuits
  readonly connections: Connections
  readonly sessions: SessionRegistry
  readonly events: EventInput[]
  /** Relays it may use, the best first. */
  relays: string[]
}

const signal = (): AbortSignal => AbortSignal.timeout(10_000)

/** Knows no address of anybody: others are reached through `relays`. */
async function member(t: ExecutionContext, isRelay = true): Promise<Member> {
  const events: EventInput[] = []
  const emit = (event: EventInput): void => void events.push(event)
  const sessions = new SessionRegistry()
  const node = await meshNode(t, side({ emit, sessions }), { withoutDht: true })
  const circuits = new Circuits({
    selfId: node.peerId.toString(),
    id8: toHex(MESH_ID).slice(0, 8),
    muxes: node.muxes,
    ready: node.ready,
    isRelay,
    directTo: () => Promise.reject(new Error('nobody knows where it is')),
    clock: steadyClock,
    timers: systemTimers,
    emit,
  })
  t.teardown(() => circuits.stop())
  const connections = createConnections({
    network: node,
    muxes: node.muxes,
    circuits,
    known: () => [],
    lookUp: () => Promise.resolve([]),
    relaysTo: () => one.relays,
  })
  const one: Member = {
    node,
    id: node.peerId.toString(),
    circuits,
    connections,
    sessions,
    events,
    relays: [],
  }
  return one
}

async function joined(a: Member, b: Member): Promise<void> {
  await a.node.dial(b.node.getMultiaddrs()[0]!)
  await until(() => b.node.muxes.has(a.id), 'both sides have it')
}

test('hundreds of requests to a peer nobody has spoken to yet are one circuit', async (t) => {
  const [a, relay, b, c] = [await member(t), await member(t), await member(t), await member(t)]
  for (const one of [a, b, c]) await joined(one, relay)
  a.relays = [relay.id]
  const made = await Promise.all(Array.from({ length: 300 }, () => a.connections.to(b.id, signal())))
  t.is(new Set(made.map(({ id }) => id)).size, 1)
  t.deepEqual(
    a.node.muxes.list(b.id).map(({ via }) => via),
    [relay.id],
  )
  t.is(relay.circuits.load.circuits, 1)
  t.is((await a.connections.to(c.id, signal())).remotePeer.toString(), c.id, 'nor is it a flood')
  t.deepEqual(
    [a, relay, b].flatMap(({ events }) => events.filter(({ kind }) => /failed|refused/.test(kind))),
    [],
  )
})

test('a relay that refuses is the reason, not the handshake that never began', async (t) => {
  const [a, relay, b] = [await member(t), await member(t, false), await member(t)]
  for (const one of [a, b]) await joined(one, relay)
  a.relays = [relay.id]
  await t.throwsAsync(a.connections.to(b.id, signal()), { code: 'relay-off', message: /--no-relay/ })
  t.like(a.sessions.lastFailure(b.id), { code: 'relay-off' })
  t.deepEqual(
    a.events.filter(({ kind }) => kind === 'handshake.failed'),
    [],
  )
})

test('a relay that lets the handshake pass and then drops is passed over while it is doubtful', async (t) => {
  const [a, liar, honest, b] = [await member(t), await member(t), await member(t), await member(t)]
  for (const relay of [liar, honest]) for (const one of [a, b]) await joined(one, relay)
  // Only this one: on a busy machine the next would be tried beside it.
  a.relays = [liar.id]
  await a.connections.to(b.id, signal())
  t.is(a.connections.viaTo(b.id), liar.id)
  t.false(a.circuits.isDoubtful(b.id, liar.id))
  await until(() => b.node.muxes.has(a.id), 'both sides have it')
  liar.circuits.stop()
  await until(() => !a.node.muxes.has(b.id), 'the circuit is dropped')
  t.true(a.circuits.isDoubtful(b.id, liar.id))
  t.false(a.circuits.isDoubtful(b.id, honest.id))
  t.false(a.circuits.isDoubtful(honest.id, liar.id))
  await until(() => !b.node.muxes.has(a.id), 'the other side sees it too')
  t.true(b.circuits.isDoubtful(a.id, liar.id))
})
