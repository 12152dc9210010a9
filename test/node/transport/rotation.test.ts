import { createHash } from 'node:crypto'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import test, { type ExecutionContext } from 'ava'
import { createLibp2p, type Libp2p } from 'libp2p'
import type { ByteChannel } from '../../../protocols/mux/channel.ts'
import { MuxRegistry } from '../../../protocols/mux/registry.ts'
import { ROTATION_LIMITS, type RotationLimits } from '../../../protocols/rotation/limits.ts'
import { secureChannel } from '../../../protocols/secure-channel/service.ts'
import { reasons, side, until, type Side } from '../../protocols/secure-channel/mesh.ts'
import { meshNode } from './mesh.ts'

const PROTOCOL = '/test/1'
const MIB = 1024 * 1024
const GIGABYTE = 1_000_000_000
/** Keys that last four megabytes. */
const OFTEN: RotationLimits = {
  ...ROTATION_LIMITS,
  soft: { ...ROTATION_LIMITS.soft, bytes: 4 * MIB },
  hard: { ...ROTATION_LIMITS.hard, bytes: 64 * MIB },
  rotsPerMinute: Number.MAX_SAFE_INTEGER,
}

/** Bytes that differ everywhere without being stored: the n-th megabyte begins with n. */
function* megabytes(sizeBytes: number): Generator<Uint8Array> {
  const body = Buffer.alloc(MIB, 'kith')
  for (let left = sizeBytes, n = 0; left > 0; left -= MIB, n++) {
    const piece = Buffer.from(body.subarray(0, Math.min(MIB, left)))
    piece.writeUInt32BE(n)
    yield piece
  }
}

/** Sends `sizeBytes`, and resolves with the hash of all that came when both directions ended. */
function stream(channel: ByteChannel, sizeBytes: number): Promise<string> {
  const source = megabytes(sizeBytes)
  const hash = createHash('sha256')
  const more = (): void => {
    for (;;) {
      const { done, value } = source.next()
      if (done === true || value === undefined) return channel.end()
      if (!channel.write(value)) return
    }
  }
  return new Promise((resolve, reject) => {
    channel.use({
      onData(bytes) {
        hash.update(bytes)
        channel.consumed(bytes.length)
      },
      onEnd: () => resolve(hash.digest('hex')),
      onReset: reject,
      onDrain: more,
    })
    more()
  })
}

function hashOf(sizeBytes: number): string {
  const hash = createHash('sha256')
  for (const piece of megabytes(sizeBytes)) hash.update(piece)
  return hash.digest('hex')
}

const epochOf = (of: Side): number => of.init.sessions.list()[0]?.epoch ?? -1

test('a gigabyte each way at once arrives intact while the keys rotate every four megabytes', async (t) => {
  t.timeout(180_000)
  const [a, b] = [side({ rotation: OFTEN }), side({ rotation: OFTEN })]
  const [alice, bob] = [await meshNode(t, a), await meshNode(t, b)]
  const atBob = Promise.withResolvers<string>()
  bob.muxes.handle(PROTOCOL, (channel) => stream(channel, GIGABYTE).then(atBob.resolve, atBob.reject))
  await alice.dial(bob.getMultiaddrs())
  const atAlice = await stream(alice.muxes.open(bob.peerId.toString(), PROTOCOL), GIGABYTE)
  const expected = hashOf(GIGABYTE)
  t.deepEqual([atAlice, await atBob.promise], [expected, expected])
  const done = a.events.filter(({ kind }) => kind === 'rotation.done').length
  t.log(`rotations during 1 GB each way: ${done}, epoch ${epochOf(a)}`)
  t.true(done > 100, `${done} rotations`)
  t.true(Math.abs(epochOf(a) - epochOf(b)) <= 1)
  const failed = [...a.events, ...b.events].filter(({ kind }) => kind.endsWith('failed'))
  t.deepEqual(failed, [])
})

test('a rotation asked for happens on an idle connection too, on both sides', async (t) => {
  const [a, b] = [side(), side()]
  const [alice, bob] = [await meshNode(t, a), await meshNode(t, b)]
  await alice.dial(bob.getMultiaddrs())
  await until(() => b.init.sessions.list().length === 1, 'the session')
  t.is(b.init.sessions.rotate(alice.peerId.toString()), 1)
  await until(() => epochOf(a) === 1 && epochOf(b) === 1, 'epoch 1 on both sides')
  t.is(a.init.sessions.rotate(), 1)
  t.is(a.init.sessions.rotate(), 0, 'one is under way already')
  await until(() => epochOf(a) === 2 && epochOf(b) === 2, 'epoch 2 on both sides')
  const isActive = ({ init }: Side): boolean => init.sessions.list()[0]?.rotation.state === 'active'
  await until(() => isActive(a) && isActive(b), 'both are done')
  for (const { init } of [a, b]) {
    const [session] = init.sessions.list()
    t.like(session?.rotation, { state: 'active', failures: 0 })
    t.true(
      session?.rotatedAt !== null &&
        session?.rotation.lastRotAt !== null &&
        session?.rotation.lastAckAt !== null,
    )
  }
  t.true(a.events.some(({ kind, peer }) => kind === 'rotation.done' && peer === bob.peerId.toString()))
  t.is(a.init.sessions.rotate('12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'), 0)
})

/** A libp2p node whose connections may go through stock circuit relays. */
async function circuitNode(
  t: ExecutionContext,
  of: Side,
  { isRelay = false, listen = ['/ip4/127.0.0.1/tcp/0'] }: { isRelay?: boolean; listen?: string[] },
) {
  const muxes = new MuxRegistry()
  const node: Libp2p = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', of.seed),
    addresses: { listen },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [secureChannel({ ...of.init, muxes }) as never],
    streamMuxers: [yamux({ maxEarlyStreams: 200 })],
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ...(isRelay ? { relay: circuitRelayServer({ reservations: { applyDefaultLimit: false } }) } : {}),
    },
  })
  t.teardown(() => node.stop())
  return { node, muxes }
}

test('a connection through a stock circuit relay carries data and rotates its keys', async (t) => {
  const sides = [side({ rotation: OFTEN }), side(), side({ rotation: OFTEN })] as const
  const [a, r, b] = sides
  const [alice, relay] = await Promise.all([circuitNode(t, a, {}), circuitNode(t, r, { isRelay: true })])
  const [relayAddress] = relay.node.getMultiaddrs()
  if (relayAddress === undefined) throw new Error('no address')
  const bob = await circuitNode(t, b, { listen: [relayAddress.encapsulate('/p2p-circuit').toString()] })
  await until(
    () => bob.node.getMultiaddrs().some((address) => address.toString().includes('/p2p-circuit')),
    'the reservation',
  )
  const connection = await alice.node.dial(
    relayAddress.encapsulate(`/p2p-circuit/p2p/${bob.node.peerId.toString()}`),
  )
  t.true(connection.remoteAddr.toString().includes('/p2p-circuit'))
  const atBob = Promise.withResolvers<string>()
  bob.muxes.handle(PROTOCOL, (channel) => stream(channel, 32 * MIB).then(atBob.resolve, atBob.reject))
  const bobId = bob.node.peerId.toString()
  const atAlice = await stream(alice.muxes.open(bobId, PROTOCOL), 32 * MIB)
  const expected = hashOf(32 * MIB)
  t.deepEqual([atAlice, await atBob.promise], [expected, expected])
  const session = a.init.sessions.forPeer(bobId)[0]
  t.log(`rotations during 32 MiB each way through a relay: ${session?.epoch}`)
  t.true((session?.epoch ?? 0) >= 3)
  t.true(b.init.sessions.forPeer(alice.node.peerId.toString())[0]?.rotatedAt !== null)
  t.deepEqual([reasons(a).filter((r) => r !== ''), reasons(b).filter((r) => r !== '')], [[], []])
})
