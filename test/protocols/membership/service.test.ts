import { yamux } from '@libp2p/yamux'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import test, { type ExecutionContext } from 'ava'
import { createLibp2p } from 'libp2p'
import { toHex } from '../../../protocols/common/bytes.ts'
import { lengthPrefixed } from '../../../protocols/common/length-prefix.ts'
import type { EventInput, Store, Timers } from '../../../protocols/common/ports.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { createRevocation, RevocationSet } from '../../../protocols/admission/revocation.ts'
import { membershipProtocol, MembershipService } from '../../../protocols/membership/service.ts'
import { seededRandom, testMesh } from './world.ts'

const mesh = testMesh('service', Date.now() - 1_000)
const random = seededRandom(`service ${process.pid}`)

const timers: Timers = {
  every(intervalMs, run) {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
}

function memoryStore(): Store & { map: Map<string, Uint8Array>; synced: string[] } {
  const map = new Map<string, Uint8Array>()
  const synced: string[] = []
  return {
    map,
    synced,
    get: async (key) => map.get(key),
    put: async (key, value, options) => {
      map.set(key, value)
      if (options?.sync === true) synced.push(key)
    },
    delete: async (key) => void map.delete(key),
    async *entries(prefix) {
      for (const key of [...map.keys()].sort())
        if (key.startsWith(prefix)) yield [key, map.get(key) as Uint8Array]
    },
  }
}

interface Node {
  libp2p: Libp2p
  service: MembershipService
  store: ReturnType<typeof memoryStore>
  events: EventInput[]
  revocations: RevocationSet
  id: string
  seed: Uint8Array
}

async function node(
  t: ExecutionContext,
  name: string,
  from: { seed?: Uint8Array; store?: Node['store']; port?: number } = {},
): Promise<Node> {
  const seed = from.seed ?? random.bytes(32)
  const libp2p = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen: [`/ip4/127.0.0.1/tcp/${from.port ?? 0}`] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
  })
  const signer = ed25519Signer(seed)
  const store = from.store ?? memoryStore()
  const events: EventInput[] = []
  const revocations = new RevocationSet({ root: mesh.root })
  const service = new MembershipService({
    network: libp2p,
    root: mesh.root,
    signer,
    credentials: mesh.admit(signer.publicKey, name),
    announcement: {
      addresses: libp2p.getMultiaddrs().map((address) => address.decapsulate('/p2p').toString()),
      relays: [],
      services: [],
    },
    clock: { now: () => Date.now() },
    random,
    timers,
    store,
    emit: (event) => events.push(event),
    authorityReachable: () => true,
    revocations,
  })
  await service.start()
  t.teardown(async () => {
    await service.stop()
    await libp2p.stop()
  })
  return { libp2p, service, store, events, revocations, id: libp2p.peerId.toString(), seed }
}

async function until(done: () => boolean, limitMs = 15_000): Promise<void> {
  const end = Date.now() + limitMs
  while (!done()) {
    if (Date.now() > end) throw new Error(`not done after ${limitMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const alive = (of: Node, ...others: Node[]) =>
  others.every(({ id }) => of.service.member(id)?.state === 'alive')

test.serial(
  'three nodes over TCP learn of each other through one, see changes, a farewell and a restart',
  async (t) => {
    const [a, b, c] = [await node(t, 'a'), await node(t, 'b'), await node(t, 'c')]
    t.deepEqual(a.store.synced, ['membership/incarnation'])
    await b.libp2p.dial(a.libp2p.getMultiaddrs())
    await c.libp2p.dial(a.libp2p.getMultiaddrs())
    await until(() => alive(a, b, c) && alive(b, a, c) && alive(c, a, b))
    t.deepEqual(b.service.wantedNeighbours().sort(), [a.id, c.id].sort())
    t.deepEqual(b.service.neighbours(), [a.id], 'c is known, not linked')

    const changed: string[] = []
    const off = c.service.onChange((ids) => changed.push(...ids))
    b.service.announce({
      services: [
        {
          name: 'wiki',
          proto: 'http',
          port: 80,
          tags: [],
          allow: ['members'],
          crossSite: false,
          healthy: true,
          publishedAt: Date.now(),
        },
      ],
    })
    await until(() => c.service.member(b.id)?.registration?.services[0]?.name === 'wiki')
    t.true(changed.includes(b.id))
    off()
    t.is(c.service.members().filter((member) => member.self).length, 1)
    t.is(toHex(c.service.digest()), toHex(b.service.digest()))
    await until(() => a.service.member(b.id)?.rttMs !== null)
    t.truthy(a.service.member(b.id)?.lastSeen)
    t.is(c.service.member(b.id)?.lastSeen, null, 'only neighbours are seen')

    const big = Array.from(
      { length: 8 },
      (_, i) => `/dns4/${'x'.repeat(50)}.${'y'.repeat(50)}.example/tcp/${i}`,
    )
    const before = b.service.member(b.id)?.registration?.addresses ?? []
    b.service.announce({ addresses: [...big, ...big] })
    await until(() => a.service.member(b.id)?.registration?.addresses[0] === big[0])
    t.deepEqual(a.service.member(b.id)?.registration?.addresses, big, 'as many as a record holds')
    const wide = (name: string) => ({
      name,
      proto: 'http' as const,
      port: 80,
      tags: [],
      allow: Array.from({ length: 8 }, (_, i) => `peer:${'n'.repeat(20)}${i}`),
      crossSite: false,
      healthy: true,
      publishedAt: Date.now(),
    })
    t.throws(() => b.service.announce({ services: ['a', 'b', 'c', 'd', 'e', 'f'].map(wide) }), {
      code: 'registration-too-big',
    })
    b.service.announce({ services: ['a', 'b', 'c', 'd'].map(wide) })
    await until(() => a.service.member(b.id)?.registration?.services.length === 4)
    t.true((a.service.member(b.id)?.registration?.addresses.length ?? 0) >= 2, 'the first addresses stay')
    b.service.announce({ addresses: before })

    await c.service.stop({ leave: true })
    await c.libp2p.stop()
    await until(() => a.service.member(c.id)?.state === 'left' && b.service.member(c.id)?.state === 'left')
    t.is(a.service.member(c.id)?.registration, null)
    t.true(c.store.map.has(`m/${a.id}`), 'what it knew is on its disk')

    const again = await node(t, 'c', { seed: c.seed, store: c.store })
    t.is(again.service.member(a.id)?.state, 'suspect', 'known from disk, not yet heard of')
    await again.libp2p.dial(a.libp2p.getMultiaddrs())
    await until(() => alive(a, again) && alive(b, again) && alive(again, a, b))
    t.deepEqual(
      a.events.filter(({ kind }) => kind === 'member.died'),
      [],
    )
  },
)

test.serial(
  'two nodes that dial each other at once keep one link, and lose it only with the last stream',
  async (t) => {
    const [a, b] = [await node(t, 'a'), await node(t, 'b')]
    await Promise.all([a.libp2p.dial(b.libp2p.getMultiaddrs()), b.libp2p.dial(a.libp2p.getMultiaddrs())])
    await until(() => alive(a, b) && alive(b, a))
    const [spare, kept] = a.libp2p.getConnections()
    if (kept !== undefined) {
      await spare?.close()
      // Only an answer that comes after the spare one is gone shows that the link lives on.
      const seenBefore = a.service.member(b.id)?.lastSeen ?? 0
      await until(() => (a.service.member(b.id)?.lastSeen ?? 0) > seenBefore)
    }
    t.true(alive(a, b) && alive(b, a))
    await Promise.all(a.libp2p.getConnections().map((connection) => connection.close()))
    await until(() => a.service.neighbours().length === 0)
    t.deepEqual(a.service.neighbours(), [])
  },
)

test.serial('a stream that breaks the framing costs its connection', async (t) => {
  const [a, b] = [await node(t, 'a'), await node(t, 'b')]
  const connection = await b.libp2p.dial(a.libp2p.getMultiaddrs())
  await until(() => alive(a, b))
  const stream = await connection.newStream(membershipProtocol(mesh.root.meshId))
  stream.send(lengthPrefixed(new Uint8Array(20_000)))
  await until(() => a.events.some(({ reason, peer }) => reason === 'frame-malformed' && peer === b.id))
  await until(() => a.libp2p.getConnections().length === 0)
  t.is(a.service.neighbours().length, 0)
})

test.serial('a damaged store costs what was damaged, with an event', async (t) => {
  const store = memoryStore()
  store.map.set('m/x', Uint8Array.of(1, 2, 3))
  store.map.set('membership/incarnation', Uint8Array.of(9))
  const { events, service } = await node(t, 'a', { store })
  t.deepEqual(events.map(({ kind }) => kind).sort(), [
    'membership.incarnation-lost',
    'membership.stored-entry-dropped',
  ])
  t.is(service.members().length, 1)
  t.false(store.map.has('m/x'))
})

test.serial('a revocation ends the connection, stays on the disk, and outlives a restart', async (t) => {
  const [a, b, c] = [await node(t, 'ra'), await node(t, 'rb'), await node(t, 'rc')]
  await b.libp2p.dial(a.libp2p.getMultiaddrs())
  await c.libp2p.dial(a.libp2p.getMultiaddrs())
  await until(() => alive(a, b, c) && alive(b, a, c) && alive(c, a, b))
  const told: (Uint8Array | null)[] = []
  b.service.onRevoked(({ serial }) => told.push(serial))
  const bytes = createRevocation({
    meshId: mesh.root.meshId,
    signer: mesh.authoritySigner,
    authorityCertificate: mesh.authority,
    key: ed25519Signer(c.seed).publicKey,
    serial: null,
    reason: 'stolen',
    now: Date.now(),
  })
  a.service.revoke(bytes)
  await until(
    () => b.service.member(c.id) === undefined && a.libp2p.getConnections(c.libp2p.peerId).length === 0,
  )
  t.is(told.length, 1)
  t.is(a.service.member(c.id), undefined)
  const keys = [...b.store.map.keys()].filter((key) => key.startsWith('rev/'))
  t.is(keys.length, 1)
  t.true(b.store.synced.includes(keys[0] as string))
  t.false(b.store.map.has(`m/${c.id}`))
  await b.service.stop()
  b.store.map.set('rev/damaged', Uint8Array.of(1))
  const again = await node(t, 'rb', { seed: random.bytes(32), store: b.store })
  t.is(again.revocations.size, 1)
  t.false(again.store.map.has('rev/damaged'))
  t.true(again.events.some(({ reason }) => reason === 'revocation-malformed'))
})
