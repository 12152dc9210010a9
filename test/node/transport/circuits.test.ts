import { createHash, randomBytes } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import test, { type ExecutionContext } from 'ava'
import type { Multiaddr } from '@multiformats/multiaddr'
import { toHex } from '../../../protocols/common/bytes.ts'
import { firstFrame } from '../../../protocols/common/first-frame.ts'
import { keyFromPeerId } from '../../../protocols/common/peer-id.ts'
import type { Clock, EventInput, Timers } from '../../../protocols/common/ports.ts'
import type { ByteChannel } from '../../../protocols/mux/channel.ts'
import type { RelayError } from '../../../protocols/relay/errors.ts'
import { RELAYS_TRIED_MAX } from '../../../protocols/relay/limits.ts'
import { incomingFormat } from '../../../protocols/relay/wire.ts'
import { RelayService } from '../../../protocols/relay/service.ts'
import { steadyClock, systemRandom, systemTimers } from '../../../node/system-ports.ts'
import { Circuits } from '../../../node/transport/circuits.ts'
import { Paths } from '../../../node/transport/paths.ts'
import { Reservations } from '../../../node/transport/reservations.ts'
import { virtualTime } from '../../protocols/virtual-time.ts'
import { MESH_ID, node as stockNode, side, until } from '../../protocols/secure-channel/mesh.ts'
import { delayProxy } from './delay-proxy.ts'
import { meshNode, type TestNode } from './mesh.ts'

const ECHO = '/test/echo/1'
const MEGABYTE = 1024 * 1024

/** A node with circuits; it dials relays at their own addresses. */
interface Member {
  readonly node: TestNode
  readonly id: string
  readonly circuits: Circuits
  readonly events: EventInput[]
}

const known = new Map<string, TestNode>()

async function member(t: ExecutionContext, options: { isRelay?: boolean } = {}): Promise<Member> {
  const events: EventInput[] = []
  const node = await meshNode(t, side({ emit: (event) => void events.push(event) }), { withoutDht: true })
  const id = node.peerId.toString()
  known.set(id, node)
  const circuits = new Circuits({
    selfId: id,
    id8: toHex(MESH_ID).slice(0, 8),
    muxes: node.muxes,
    ready: node.ready,
    isRelay: options.isRelay ?? true,
    directTo: (peer) => direct(node, known.get(peer)),
    targetTo: (peer) => direct(node, known.get(peer)),
    clock: steadyClock,
    timers: systemTimers,
    emit: (event) => void events.push(event),
  })
  t.teardown(() => circuits.stop())
  node.muxes.handle(ECHO, echo)
  return { node, id, circuits, events }
}

async function direct(from: TestNode, to: TestNode | undefined): Promise<unknown> {
  const address = to?.getMultiaddrs()[0]
  if (address === undefined) throw new Error('nobody knows where it is')
  return from.dial(address)
}

function echo(channel: ByteChannel): void {
  let owed = 0
  channel.use({
    onData(bytes) {
      if (channel.write(bytes)) channel.consumed(bytes.length)
      else owed += bytes.length
    },
    onEnd: () => channel.end(),
    onReset: () => undefined,
    onDrain() {
      channel.consumed(owed)
      owed = 0
    },
  })
}

/** Sends `bytes` over `channel` to an echo and hashes what comes back. */
function echoed(channel: ByteChannel, bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  return new Promise((resolve, reject) => {
    let at = 0
    const send = (): void => {
      for (let takes = true; takes && at < bytes.length; at += 65_536)
        takes = channel.write(bytes.subarray(at, at + 65_536))
      if (at >= bytes.length) channel.end()
    }
    channel.use({
      onData(data) {
        hash.update(data)
        channel.consumed(data.length)
      },
      onEnd: () => resolve(hash.digest('hex')),
      onReset: reject,
      onDrain: send,
    })
    send()
  })
}

/** The machine's own time, or one that stands still. */
function pathsOf(
  t: ExecutionContext,
  of: Member,
  { clock, timers }: { clock: Clock; timers: Timers } = { clock: steadyClock, timers: systemTimers },
): Paths {
  const paths = new Paths({
    selfId: of.id,
    id8: toHex(MESH_ID).slice(0, 8),
    muxes: of.node.muxes,
    tryDirect: () => Promise.resolve('port-unknown'),
    hasNews: () => false,
    isMovable: () => true,
    clock,
    random: systemRandom,
    timers,
    emit: (event) => void of.events.push(event),
  })
  t.teardown(() => paths.stop())
  return paths
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const signal = (): AbortSignal => AbortSignal.timeout(10_000)

test('two members speak through a third, which carries their bytes and knows neither keys nor streams', async (t) => {
  const [a, relay, b] = [await member(t), await member(t), await member(t)]
  await direct(b.node, relay.node)
  const connection = await a.circuits.dial(b.id, [relay.id], signal())
  t.is(connection.remotePeer.toString(), b.id)
  t.false(connection.direct)
  const bytes = randomBytes(8 * MEGABYTE)
  const hash = await echoed(a.node.muxes.open(b.id, ECHO), bytes)
  t.is(hash, sha256(bytes))
  t.is(relay.circuits.load.circuits, 1)
  t.true(relay.circuits.load.bytes > 16 * MEGABYTE)
  t.deepEqual(
    a.node.muxes.list(b.id).map(({ via }) => via),
    [relay.id],
  )
  t.deepEqual(
    b.node.muxes.list(a.id).map(({ via, dialled }) => [via, dialled]),
    [[relay.id, false]],
  )
  t.deepEqual([...(a.circuits.seenAt(b.id) ?? [])], [127, 0, 0, 1], 'the relay vouches for addresses')
  t.deepEqual([...(b.circuits.seenAt(a.id) ?? [])], [127, 0, 0, 1])
  await connection.close()
  await until(() => relay.circuits.load.circuits === 0, 'the circuit ends')
  t.false(b.node.muxes.has(a.id))
})

test('libp2p streams go through a relay too', async (t) => {
  const [a, relay, b] = [await member(t), await member(t), await member(t)]
  await direct(b.node, relay.node)
  const connection = await a.circuits.dial(b.id, [relay.id], signal())
  t.true((await a.node.services.ping.ping(connection.remotePeer)) >= 0)
})

test('a relay that is not connected to the target dials it', async (t) => {
  const [a, relay, b] = [await member(t), await member(t), await member(t)]
  const connection = await a.circuits.dial(b.id, [relay.id], signal())
  t.is(connection.remotePeer.toString(), b.id)
})

test('of several relays a dead one and one that refuses cost little', async (t) => {
  const [a, refusing, good, b] = [
    await member(t),
    await member(t, { isRelay: false }),
    await member(t),
    await member(t),
  ]
  await direct(b.node, good.node)
  const started = performance.now()
  const connection = await a.circuits.dial(b.id, [refusing.id, good.id], signal())
  t.is(connection.remoteAddr.toString(), `/p2p/${good.id}/p2p-circuit/p2p/${b.id}`)
  t.true(performance.now() - started < 1500)
  const error = await t.throwsAsync<RelayError>(a.circuits.dial(b.id, [refusing.id], signal()))
  t.is(error?.code, 'relay-off')
})

test('of many relays only the first few are tried', async (t) => {
  const [a, good, b] = [await member(t), await member(t), await member(t)]
  const refusing: string[] = []
  while (refusing.length < RELAYS_TRIED_MAX) refusing.push((await member(t, { isRelay: false })).id)
  await direct(b.node, good.node)
  const error = await t.throwsAsync<RelayError>(a.circuits.dial(b.id, [...refusing, good.id], signal()))
  t.is(error?.code, 'relay-off')
  await a.circuits.dial(b.id, [...refusing.slice(1), good.id], signal())
  t.is(a.node.muxes.list(b.id)[0]?.via, good.id)
})

test('a relay cannot pass itself off as the target, nor another member', async (t) => {
  const [a, relay, b] = [await member(t), await member(t), await member(t)]
  const other = await member(t)
  const id8 = toHex(MESH_ID).slice(0, 8)
  const evil = new RelayService({
    selfId: relay.id,
    isOn: true,
    openCircuit: () => Promise.resolve(relay.node.muxes.openDirect(other.id, `/kith/${id8}/circuit/1`)),
    ipOf: () => null,
    clock: steadyClock,
    timers: systemTimers,
    emit: () => undefined,
  })
  t.teardown(() => evil.stop())
  relay.node.muxes.handle(relay.circuits.relayProtocol, (channel, peer) => evil.serve(channel, peer, false))
  await direct(other.node, relay.node)
  await t.throwsAsync(a.circuits.dial(b.id, [relay.id], signal()))
  t.false(a.node.muxes.has(b.id))
  t.false(a.node.muxes.has(other.id))
  t.true(other.events.some(({ kind }) => kind === 'connection.refused'))
})

test('a relay that dies ends what it carried, and another one serves at once', async (t) => {
  const [a, first, second, b] = [await member(t), await member(t), await member(t), await member(t)]
  await Promise.all([direct(b.node, first.node), direct(b.node, second.node)])
  await a.circuits.dial(b.id, [first.id], signal())
  const ended = echoed(a.node.muxes.open(b.id, ECHO), new Uint8Array(0))
  await ended
  const cut = echoed(a.node.muxes.open(b.id, ECHO), randomBytes(32 * MEGABYTE))
  await until(() => first.circuits.load.bytes > MEGABYTE, 'bytes flow')
  await first.node.stop()
  await t.throwsAsync(cut, undefined, 'what was under way fails instead of hanging')
  await until(() => !a.node.muxes.has(b.id), 'the connection is gone')
  await a.circuits.dial(b.id, [first.id, second.id], signal())
  const bytes = randomBytes(MEGABYTE)
  t.is(await echoed(a.node.muxes.open(b.id, ECHO), bytes), sha256(bytes))
})

test('reservations are held, lost with the relay and made again', async (t) => {
  const [a, relay] = [await member(t), await member(t)]
  await direct(a.node, relay.node)
  const changes: string[][] = []
  const reservations = new Reservations({
    muxes: a.node.muxes,
    protocol: a.circuits.relayProtocol,
    candidates: () => a.node.muxes.list().map(({ peerId }) => ({ id: peerId, rttMs: 1 })),
    isNeeded: () => true,
    changed: (relays) => void changes.push([...relays]),
    clock: steadyClock,
    timers: systemTimers,
    emit: (event) => void a.events.push(event),
  })
  t.teardown(() => reservations.stop())
  await until(() => relay.circuits.holds(a.id), 'a reservation')
  await until(() => changes.length === 1, 'it is told')
  for (const connection of relay.node.getConnections()) connection.abort(new Error('the relay restarts'))
  await until(() => changes.length === 2, 'its loss is told')
  await direct(a.node, relay.node)
  await until(() => changes.length === 3, 'it is made again')
  t.deepEqual(changes, [[relay.id], [], [relay.id]])
  t.true(relay.circuits.holds(a.id))
})

test('two members that dial each other at once keep one connection, and cut no stream of the other', async (t) => {
  const [a, b] = [await member(t), await member(t)]
  const time = virtualTime()
  const [pathsOfA, pathsOfB] = [pathsOf(t, a, time), pathsOf(t, b, time)]
  const proxies = await Promise.all(
    [b, a].map(({ node }) => delayProxy(t, node.getMultiaddrs()[0] as Multiaddr, 30)),
  )
  const dial = (from: Member, proxy: (typeof proxies)[number] | undefined): Promise<unknown> =>
    proxy === undefined
      ? Promise.reject(new Error('no proxy'))
      : from.node.dial(proxy.address, { force: true })
  await Promise.all([dial(a, proxies[0]), dial(b, proxies[1])])
  await until(() => pathsOfA.view(b.id).path === 'direct', 'a has a way')
  await until(() => pathsOfB.view(a.id).path === 'direct', 'b has a way')
  const bytes = randomBytes(100_000)
  const talk = async (): Promise<void> => {
    const [there, back] = [a.node.muxes.open(b.id, ECHO), b.node.muxes.open(a.id, ECHO)]
    t.deepEqual(await Promise.all([echoed(there, bytes), echoed(back, bytes)]), [
      sha256(bytes),
      sha256(bytes),
    ])
  }
  await talk()
  const counts = (): number[] => [a.node.muxes.list(b.id).length, b.node.muxes.list(a.id).length]
  await until(() => counts().join(' ') === '2 2', 'both stand')
  time.pass(3500)
  await talk() // which also lets whatever was closed too early end
  t.is(counts().join(' '), '2 2', 'it is kept for 5 s')
  time.pass(2500)
  await until(() => counts().join(' ') === '1 1', 'one is closed when nobody speaks over it')
  await talk()
})

test('what a relay says of a member counts only once that member has proved itself through it', async (t) => {
  const [a, relay, b] = [await member(t), await member(t), await member(t)]
  await Promise.all([direct(relay.node, a.node), direct(b.node, a.node)])
  const channel = relay.node.muxes.openDirect(a.id, `/kith/${toHex(MESH_ID).slice(0, 8)}/circuit/1`)
  const incoming = {
    kind: 6,
    version: 1,
    source: keyFromPeerId(b.id),
    at: Uint8Array.of(52, 0, 0, 9),
  } as const
  channel.write(firstFrame(incomingFormat.encode(incoming)))
  channel.write(randomBytes(64))
  await until(() => a.events.some(({ kind }) => kind === 'connection.refused'), 'no handshake came')
  t.is(a.circuits.seenAt(b.id), undefined)
})

test('new channels move to a direct connection once it has answered; old ones end where they began', async (t) => {
  const [a, relay, b] = [await member(t), await member(t), await member(t)]
  await direct(b.node, relay.node)
  const [atA] = [pathsOf(t, a), pathsOf(t, b)]
  await a.circuits.dial(b.id, [relay.id], signal())
  t.is(atA.view(b.id).path, 'relay')
  const old = a.node.muxes.open(b.id, ECHO)
  const bytes = randomBytes(4 * MEGABYTE)
  old.write(bytes.subarray(0, 1000))
  await a.node.dial(b.node.getMultiaddrs(), { force: true })
  await until(() => atA.view(b.id).path === 'direct', 'the direct connection is used')
  const carried = relay.circuits.load.bytes
  t.is(await echoed(a.node.muxes.open(b.id, ECHO), bytes), sha256(bytes))
  t.true(relay.circuits.load.bytes - carried < 100_000, 'the relay carries none of it')
  t.is(a.node.muxes.list(b.id).length, 2, 'the old channel keeps its connection')
  await echoed(old, new Uint8Array(0))
  await until(() => relay.circuits.load.circuits === 0, 'without channels the relayed connection is closed')
  t.is(a.node.muxes.list(b.id).length, 1)
  for (const connection of a.node.getConnections(b.node.peerId)) connection.abort(new Error('cable cut'))
  await until(() => atA.view(b.id).path === 'none', 'nothing leads there')
  const kinds = a.events.filter(({ kind }) => kind === 'path.changed').map(({ reason }) => reason)
  t.deepEqual(kinds.slice(0, 2), ['path-relay-up', 'path-direct-up'])
})

test('200 members hold reservations at one relay at once; a peer of stock libp2p gets none, nor anything relayed', async (t) => {
  t.timeout(120_000)
  const relay = await member(t)
  const members: Member[] = []
  for (let i = 0; i < 200; i++) members.push(await member(t))
  for (const { node } of members) await direct(node, relay.node)
  for (const { node, events } of members) {
    const reservations = new Reservations({
      muxes: node.muxes,
      protocol: relay.circuits.relayProtocol,
      candidates: () => [{ id: relay.id, rttMs: 1 }],
      isNeeded: () => true,
      changed: () => undefined,
      clock: steadyClock,
      timers: systemTimers,
      emit: (event) => void events.push(event),
    })
    t.teardown(() => reservations.stop())
  }
  await until(() => relay.circuits.load.reservations === 200, '200 reservations')
  const [first, last] = [members[0], members.at(-1)]
  if (first === undefined || last === undefined) return t.fail('there are no members')
  await first.circuits.dial(last.id, [relay.id], signal())
  const bytes = randomBytes(MEGABYTE)
  t.is(await echoed(first.node.muxes.open(last.id, ECHO), bytes), sha256(bytes))

  const open = await meshNode(t, side(), { compat: true })
  const openCircuits = new Circuits({
    selfId: open.peerId.toString(),
    id8: toHex(MESH_ID).slice(0, 8),
    muxes: open.muxes,
    ready: open.ready,
    isRelay: true,
    directTo: () => Promise.reject(new Error('nobody')),
    clock: steadyClock,
    timers: systemTimers,
    emit: () => undefined,
  })
  t.teardown(() => openCircuits.stop())
  const stock = await stockNode(t, side(), [noise()])
  t.teardown(() => stock.stop())
  const [address] = open.getMultiaddrs()
  if (address === undefined) return t.fail('it listens nowhere')
  const connection = await stock.dial(address)
  for (const protocol of [openCircuits.relayProtocol, '/libp2p/circuit/relay/0.2.0/hop'])
    await t.throwsAsync(() => connection.newStream(protocol), undefined, protocol)
  t.is(openCircuits.load.reservations, 0)
})
