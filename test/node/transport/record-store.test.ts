import test, { type ExecutionContext } from 'ava'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import type { EventInput, Signer } from '../../../protocols/common/ports.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
import { RecordCopies, recordKey } from '../../../protocols/registry/record-copies.ts'
import { entryFormat, type MemberEntry } from '../../../protocols/registry/wire.ts'
import { systemClock, systemRandom, systemTimers } from '../../../node/system-ports.ts'
import { RecordDatastore } from '../../../node/transport/record-datastore.ts'
import { RecordStore } from '../../../node/transport/record-store.ts'
import { side } from '../../protocols/secure-channel/mesh.ts'
import { testMesh } from '../../protocols/membership/world.ts'
import { meshNode, type TestNode } from './mesh.ts'

const NODES = 6
const mesh = testMesh('record store', Date.now())
const member = ed25519Signer(mesh.random.bytes(32))
const memberId = peerIdFromKey(member.publicKey)
const credentials = mesh.admit(member.publicKey, 'wiki')

function entryOf(seq: number, signer: Signer = member, own = credentials): MemberEntry {
  const statement = signRegistration(
    {
      key: signer.publicKey,
      incarnation: 1,
      seq,
      issuedAt: Date.now(),
      leaseSeconds: 86_400,
      addresses: ['/ip4/127.0.0.1/tcp/4701'],
      relays: [],
      services: [],
      bootNonce: new Uint8Array(8),
    },
    mesh.root.meshId,
    signer,
  )
  return { kind: 'registration', statement, credentials: own }
}

interface Peer {
  readonly node: TestNode
  readonly store: RecordStore
  readonly datastore: RecordDatastore
  readonly events: EventInput[]
}

/** A node with a record store and no membership at all; `isHonest` false: it keeps and gives whatever it wants. */
async function peer(t: ExecutionContext, own: () => MemberEntry | undefined, isHonest = true): Promise<Peer> {
  const copies = new RecordCopies({
    root: mesh.root,
    clock: systemClock,
    authorityReachable: () => true,
    known: () => undefined,
  })
  if (!isHonest) copies.validate = () => undefined
  const datastore = new RecordDatastore(systemClock)
  const node = await meshNode(t, side(), { records: { copies, datastore } })
  const events: EventInput[] = []
  const store = new RecordStore({
    network: node,
    datastore,
    copies,
    selfId: memberId,
    ownEntry: own,
    // The first put waits for nothing; the republishing of eight hours is not waited for.
    timers: {
      ...systemTimers,
      after: (delayMs, run) => systemTimers.after(delayMs > 5000 ? delayMs : 0, run),
    },
    random: systemRandom,
    emit: (event) => void events.push(event),
  })
  t.teardown(() => store.stop())
  return { node, store, datastore, events }
}

/** Peers in the routing table, which the library's types leave out. */
function contacts({ node }: Peer): number {
  return (node.services.dht as unknown as { routingTable: { size: number } }).routingTable.size
}

async function until(
  t: ExecutionContext,
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + 15_000
  while (!(await holds())) {
    if (Date.now() > deadline) return t.fail(`not within 15 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('a newcomer that no gossip reaches finds a registration in the DHT, and an old one put back by a liar does not win', async (t) => {
  let seq = 1
  const [publisher, ...others] = await Promise.all(
    Array.from({ length: NODES }, (_, index) => peer(t, () => (index === 0 ? entryOf(seq) : undefined))),
  )
  if (publisher === undefined) return t.fail()
  for (const { node } of others) await node.dial(publisher.node.getMultiaddrs())
  await until(
    t,
    'routing tables',
    () => contacts(publisher) >= NODES - 1 && others.every((other) => contacts(other) >= 1),
  )
  const old = entryOf(1)

  seq = 2
  publisher.store.start()
  await until(
    t,
    'copies at others',
    () => others.filter(({ datastore }) => datastore.records === 1).length >= 3,
  )
  t.log(
    `copies at ${others.filter(({ datastore }) => datastore.records === 1).length} of ${others.length} others`,
  )

  const newcomer = await peer(t, () => undefined)
  await newcomer.node.dial(publisher.node.getMultiaddrs())
  await until(t, 'the newcomer knows somebody', () => contacts(newcomer) >= 1)
  let found: Awaited<ReturnType<RecordStore['find']>>
  await until(t, 'look-up', async () => (found = await newcomer.store.find(memberId)) !== undefined)
  t.like(found?.statement, { kind: 'registration', incarnation: 1, seq: 2 })
  t.is(found?.member.name, 'wiki')

  const liar = await peer(t, () => undefined, false)
  for (const { node } of [publisher, ...others]) await liar.node.dial(node.getMultiaddrs())
  await until(t, 'the liar knows the others', () => contacts(liar) >= NODES - 1)
  let refused = 0
  try {
    const put = liar.node.services.dht.put(recordKey(memberId), entryFormat.encode(old), {
      signal: AbortSignal.timeout(5000),
    })
    for await (const { name } of put) if (name === 'QUERY_ERROR') refused++
  } catch {
    refused++
  }
  t.true(refused > 0, 'the others say no')
  const later = await peer(t, () => undefined)
  await later.node.dial(publisher.node.getMultiaddrs())
  await later.node.dial(liar.node.getMultiaddrs())
  await until(t, 'the newcomer knows the liar and somebody else', () => contacts(later) >= 2)
  await until(t, 'look-up', async () => (found = await later.store.find(memberId)) !== undefined)
  t.is(found?.statement.seq, 2, 'the look-up beside a liar')

  seq = 3
  publisher.store.changed()
  await until(t, 'the newer one', async () => (await later.store.find(memberId))?.statement.seq === 3)
})

test('a node that is alone says once that nobody keeps its copy, or keeps it for itself', async (t) => {
  const alone = await peer(t, () => entryOf(1))
  alone.store.start()
  await until(t, 'own copy', () => alone.datastore.records === 1)
  t.true(alone.events.length <= 1)
  t.is((await alone.store.find(memberId))?.statement.seq, 1)
  t.is(await alone.store.find(peerIdFromKey(mesh.random.bytes(32))), undefined)
})

test('a registration that does not hold any more is told as an event, and nothing else breaks', async (t) => {
  const stranger = testMesh('some other mesh', Date.now())
  const alone = await peer(t, () => entryOf(1, member, stranger.admit(member.publicKey, 'wiki')))
  alone.store.start()
  await until(t, 'the event', () => alone.events.length === 1)
  t.like(alone.events[0], { kind: 'registry.copy-failed', reason: 'copies-unreachable' })
  t.is(alone.datastore.records, 0)
})

test('copies that nobody puts again end', async (t) => {
  const clock = { ms: 0, now: () => clock.ms }
  const datastore = new RecordDatastore(clock)
  const key = (path: string) => ({ toString: () => path }) as Parameters<RecordDatastore['put']>[0]
  await datastore.put(key('/dht/record/A'), Uint8Array.of(1))
  await datastore.put(key('/peers/B'), Uint8Array.of(2))
  clock.ms = 1000
  await datastore.put(key('/dht/record/C'), Uint8Array.of(3))
  clock.ms = 2000
  await datastore.sweep(1500)
  t.is(datastore.records, 1)
  t.false(await datastore.has(key('/dht/record/A')))
  t.true(await datastore.has(key('/dht/record/C')))
  t.true(await datastore.has(key('/peers/B')), 'what is no record stays')
})
