import type { Libp2p } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import test, { type ExecutionContext } from 'ava'
import { toHex } from '../../../protocols/common/bytes.ts'
import { lengthPrefixed } from '../../../protocols/common/length-prefix.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import type { EventInput, Signer, Store, Timers } from '../../../protocols/common/ports.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { checkCredentials } from '../../../protocols/admission/certificates.ts'
import { AdmissionError } from '../../../protocols/admission/errors.ts'
import { readInvite } from '../../../protocols/admission/invite.ts'
import { makeJoinRequest, openReply } from '../../../protocols/admission/join.ts'
import {
  createDoor,
  DOOR_JOINS_MAX,
  FORWARD_TIMEOUT_MS,
  type DoorInit,
  type JoinHandler,
} from '../../../node/membership/door.ts'
import { foundMesh, ROOT_KEY_FILE } from '../../../node/membership/founding.ts'
import { Issuer, type InviteInput } from '../../../node/membership/issuer.ts'
import { joinForwardProtocol, JoinForward } from '../../../node/membership/join-forward.ts'
import { joinMesh, type JoinExchange } from '../../../node/membership/joiner.ts'
import { forgetMesh, loadMesh, type StoredMesh } from '../../../node/membership/mesh-store.ts'
import { seededRandom } from '../../protocols/membership/world.ts'
import { plainNode } from './plain-node.ts'

const random = seededRandom('node membership')
const NOW = 1_800_000_000_000

const timers: Timers = {
  every: (intervalMs, run) => {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
}
/** Timers that run out at once, for time-outs nobody wants to wait for. */
const impatient: Timers = { ...timers, after: (_, run) => timers.after(0, run) }

interface TestStore extends Store {
  map: Map<string, Uint8Array>
  /** Every put waits for it, so that a test sees what was on the disk when. */
  gate: Promise<void>
  failing: boolean
}

function memoryStore(): TestStore {
  const map = new Map<string, Uint8Array>()
  const store: TestStore = {
    map,
    gate: Promise.resolve(),
    failing: false,
    get: async (key) => map.get(key),
    async put(key, value) {
      await store.gate
      if (store.failing) throw new Error('disk full')
      map.set(key, value)
    },
    delete: async (key) => void map.delete(key),
    async *entries(prefix) {
      for (const key of [...map.keys()].sort())
        if (key.startsWith(prefix)) yield [key, map.get(key) as Uint8Array]
    },
  }
  return store
}

interface Founder {
  mesh: StoredMesh
  signer: Signer
  store: TestStore
  issuer: Issuer
  secrets: Map<string, Uint8Array>
  clock: { now: () => number; ms: number }
  events: EventInput[]
  door: JoinHandler
}

async function founder(taken: (name: string) => boolean = () => false): Promise<Founder> {
  const signer = ed25519Signer(random.bytes(32))
  const store = memoryStore()
  const secrets = new Map<string, Uint8Array>()
  const clock = { ms: NOW, now: () => clock.ms }
  const events: EventInput[] = []
  const mesh = await foundMesh({
    name: 'home',
    nodeName: 'nas',
    signer,
    makeX509: async ({ domain }) => ({
      root: Buffer.from(`root of ${domain}`),
      intermediate: Buffer.from('intermediate'),
    }),
    secrets: {
      read: async (name) => secrets.get(name),
      write: async (name, secret) => void secrets.set(name, secret),
    },
    store,
    clock,
    random,
  })
  const issuer = await openIssuer({ mesh, signer, store, clock, events }, taken)
  const door = createDoor({ ...doorInit(signer, events), redeem: (request) => issuer.redeem(request) })
  return { mesh, signer, store, issuer, secrets, clock, events, door }
}

function openIssuer(
  { mesh, signer, store, clock, events }: Pick<Founder, 'mesh' | 'signer' | 'store' | 'clock' | 'events'>,
  taken: (name: string) => boolean = () => false,
) {
  return Issuer.open({
    root: mesh.root,
    signer,
    authorityCertificate: mesh.authority as Uint8Array,
    store,
    clock,
    random,
    emit: (event) => events.push(event),
    nameTaken: taken,
    isRevoked: () => false,
    bootstrap: () => [`/ip4/192.0.2.9/tcp/4701/p2p/${peerIdFromKey(signer.publicKey)}`, 'nonsense'],
  })
}

function doorInit(signer: Signer, events: EventInput[]): DoorInit {
  return {
    selfKey: signer.publicKey,
    redeem: null,
    forwardTo: async () => {
      throw new Error('no way there')
    },
    timers,
    emit: (event) => events.push(event),
  }
}

const inviteInput = (of: Founder, change: Partial<InviteInput> = {}): InviteInput => ({
  name: null,
  roles: ['relay'],
  tags: ['web'],
  uses: 1,
  ttlMs: 3_600_000,
  bootstrap: [`/ip4/192.0.2.9/tcp/4701/p2p/${peerIdFromKey(of.signer.publicKey)}`],
  reach: 'lan',
  ...change,
})

function joinWith(
  door: JoinHandler,
  invite: string,
  change: {
    name?: string
    clock?: { now: () => number }
    store?: TestStore
    signer?: Signer
    exchange?: JoinExchange
  } = {},
) {
  const signer = change.signer ?? ed25519Signer(random.bytes(32))
  const exchange: JoinExchange =
    change.exchange ?? ((_, request, _mesh, signal) => door(request, signer.publicKey, signal))
  return joinMesh({
    invite,
    signer,
    name: change.name ?? `n${toHex(signer.publicKey).slice(0, 8)}`,
    exchange,
    store: change.store ?? memoryStore(),
    clock: change.clock ?? { now: () => NOW },
    random,
    timers,
  })
}

const codeOf = async (t: ExecutionContext, join: Promise<unknown>) =>
  (await t.throwsAsync(join, { instanceOf: AdmissionError })).code

test('founding makes the node root, authority and member, with the root key kept first', async (t) => {
  const { mesh, signer, secrets, store } = await founder()
  t.is(mesh.root.document.domain, 'home.internal')
  const checked = checkCredentials({
    root: mesh.root,
    credentials: mesh.credentials,
    peerKey: signer.publicKey,
    now: NOW,
    authorityReachable: true,
  })
  t.true(checked.ok)
  if (!checked.ok) return
  t.deepEqual(checked.member.roles, ['acme', 'admin', 'dns', 'policy', 'relay'])
  t.deepEqual(checked.member.authority.roles, ['acme', 'admit', 'dns', 'policy', 'revoke'])
  t.is(Buffer.from(checked.member.authority.x509Intermediate ?? []).toString(), 'intermediate')
  t.deepEqual(
    ed25519Signer(secrets.get(ROOT_KEY_FILE) as Uint8Array).publicKey,
    mesh.root.document.rootKeys[0],
  )
  t.deepEqual(await loadMesh(store), mesh)
  await forgetMesh(store)
  t.is(await loadMesh(store), null)
  t.is(store.map.size, 0)
})

test('a joiner gets root document, credentials and addresses, and stores them', async (t) => {
  const of = await founder()
  const { text } = await of.issuer.invite(inviteInput(of))
  const store = memoryStore()
  const signer = ed25519Signer(random.bytes(32))
  const { mesh, member } = await joinWith(of.door, text, { store, signer, name: 'laptop' })
  t.is(member.name, 'laptop')
  t.deepEqual(member.roles, ['relay'])
  t.deepEqual(member.tags, ['web'])
  t.deepEqual(
    mesh.bootstrap,
    [`/ip4/192.0.2.9/tcp/4701/p2p/${peerIdFromKey(of.signer.publicKey)}`],
    'only addresses that hold',
  )
  t.deepEqual(await loadMesh(store), mesh)
  t.is(mesh.authority, null)
  t.true(of.events.some(({ kind, fields }) => kind === 'join.admitted' && fields?.['name'] === 'laptop'))
  t.false(JSON.stringify(of.events).includes(text), 'no event carries the invite')
})

test('50 parallel joins with a one-use invite admit exactly one, before and after a restart of the issuer', async (t) => {
  const of = await founder()
  const { text } = await of.issuer.invite(inviteInput(of))
  const all = (door: JoinHandler) =>
    Promise.allSettled(Array.from({ length: 50 }, () => joinWith(door, text)))
  const results = await all(of.door)
  t.is(results.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const result of results)
    if (result.status === 'rejected') t.is((result.reason as AdmissionError).code, 'invite-used-up')
  const again = await openIssuer(of)
  const after = await all(
    createDoor({ ...doorInit(of.signer, []), redeem: (request) => again.redeem(request) }),
  )
  t.true(after.every(({ status }) => status === 'rejected'))
})

test('a lost reply is answered again with the same certificate, also after a restart', async (t) => {
  const of = await founder()
  const { text } = await of.issuer.invite(inviteInput(of))
  const signer = ed25519Signer(random.bytes(32))
  const first = await joinWith(of.door, text, { signer, name: 'laptop' })
  of.clock.ms += 90_000
  const second = await joinWith(of.door, text, { signer, name: 'laptop', clock: of.clock })
  t.deepEqual(second.mesh.credentials, first.mesh.credentials)
  const again = await openIssuer(of)
  const door = createDoor({ ...doorInit(of.signer, []), redeem: (request) => again.redeem(request) })
  t.deepEqual(
    (await joinWith(door, text, { signer, clock: of.clock })).mesh.credentials,
    first.mesh.credentials,
  )
})

test('the use is on the disk before the reply leaves, and a failing disk admits nobody', async (t) => {
  const of = await founder()
  const { text } = await of.issuer.invite(inviteInput(of))
  let open = (): void => undefined
  of.store.gate = new Promise((resolve) => (open = resolve))
  const signer = ed25519Signer(random.bytes(32))
  const invite = readInvite(text, NOW)
  const request = () =>
    makeJoinRequest({ invite, joiner: signer, name: 'laptop', replyPrivateKey: random.bytes(32), now: NOW })
  const [pending, repeat] = [request(), request()]
  const order: string[] = []
  const replies = Promise.all(
    [pending, repeat].map(async ({ bytes }) => {
      const reply = await of.issuer.redeem(bytes)
      order.push(
        `reply with ${[...of.store.map.keys()].filter((key) => key.startsWith('invite/r/')).length} on disk`,
      )
      return reply
    }),
  )
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve)) // whatever could go on has gone on
  t.deepEqual(order, [], 'nothing leaves while the disk works, a repeated request neither')
  open()
  const [reply] = await replies
  t.deepEqual(order, ['reply with 1 on disk', 'reply with 1 on disk'])
  t.is(openReply(pending, reply as Uint8Array).outcome, 'accepted')

  const { text: next } = await of.issuer.invite(inviteInput(of))
  of.store.failing = true
  t.is(await codeOf(t, joinWith(of.door, next)), 'invite-issuer-unreachable')
  of.store.failing = false
  t.is((await joinWith(of.door, next, { name: 'desk' })).member.name, 'desk', 'the use was not lost')
})

test("the issuer's reasons reach the joiner", async (t) => {
  const of = await founder((name) => name === 'nas')
  const invite = async (change: Partial<InviteInput> = {}) =>
    (await of.issuer.invite(inviteInput(of, change))).text
  t.is(await codeOf(t, joinWith(of.door, await invite(), { name: 'nas' })), 'node-name-taken')
  t.is((await joinWith(of.door, await invite({ name: 'tv' }), { name: 'ignored' })).member.name, 'tv')
  const expiring = await invite()
  of.clock.ms += 3_600_001
  t.is(
    await codeOf(t, joinWith(of.door, expiring, { clock: { now: () => NOW + 3_599_000 } })),
    'invite-expired',
  )
  of.clock.ms = NOW
  t.is(await codeOf(t, joinWith((await founder()).door, expiring)), 'invite-issuer-unreachable')
  t.is(await codeOf(t, joinWith(of.door, `${expiring.slice(0, -2)}AA`)), 'invite-tampered')
  t.is(await codeOf(t, of.issuer.invite(inviteInput(of, { uses: 2, name: 'two' }))), 'invite-invalid')
  of.store.map.clear()
  const emptied = await openIssuer(of)
  const door = createDoor({ ...doorInit(of.signer, []), redeem: (request) => emptied.redeem(request) })
  t.is(await codeOf(t, joinWith(door, expiring)), 'invite-unknown')
})

for (const [title, offsetMs] of [
  ['a day slow', -86_400_000],
  ['in 1970', -NOW + 1_000],
] as const) {
  test(`a joiner whose clock is ${title} learns the time from the issuer and is admitted`, async (t) => {
    const of = await founder()
    const { text } = await of.issuer.invite(inviteInput(of))
    const joined = await joinWith(of.door, text, { clock: { now: () => NOW + offsetMs } })
    t.is(joined.clockOffsetMs, -offsetMs)
    t.true(of.events.some(({ reason }) => reason === 'clock-skew'))
  })
}

test('a lying or broken door costs a try, not the join', async (t) => {
  const of = await founder()
  const bad = peerIdFromKey(random.bytes(32))
  const good = peerIdFromKey(of.signer.publicKey)
  const { text } = await of.issuer.invite(
    inviteInput(of, {
      bootstrap: [
        `/ip4/192.0.2.1/tcp/1/p2p/${bad}`,
        `/ip4/192.0.2.2/tcp/1/p2p/${bad}`,
        `/ip4/192.0.2.9/tcp/1/p2p/${good}`,
      ],
    }),
  )
  const signer = ed25519Signer(random.bytes(32))
  const tried: string[] = []
  const exchange: JoinExchange = async (door, request, _, signal) => {
    tried.push(door.address.split('/')[2] ?? '')
    if (tried.length === 1) throw new Error('connection reset')
    if (tried.length === 2) return random.bytes(200)
    return of.door(request, signer.publicKey, signal)
  }
  t.is((await joinWith(of.door, text, { signer, exchange, name: 'x' })).member.name, 'x')
  t.deepEqual(tried, ['192.0.2.1', '192.0.2.2', '192.0.2.9'])
})

test('the door turns away what it cannot carry, with a reason', async (t) => {
  const of = await founder()
  const events: EventInput[] = []
  const stranger = ed25519Signer(random.bytes(32))
  const init = doorInit(stranger, events)
  const { text } = await of.issuer.invite(inviteInput(of))
  const signer = ed25519Signer(random.bytes(32))
  const pending = makeJoinRequest({
    invite: readInvite(text, NOW),
    joiner: signer,
    name: 'x',
    replyPrivateKey: random.bytes(32),
    now: NOW,
  })
  const ask = async (door: JoinHandler, request = pending.bytes, key = signer.publicKey) => {
    const outcome = openReply(pending, await door(request, key, new AbortController().signal))
    return outcome.outcome === 'refused' && outcome.by === 'door' ? outcome.code : outcome.outcome
  }
  t.is(await ask(createDoor(init)), 'invite-issuer-unreachable')
  t.is(
    await ask(
      createDoor({
        ...init,
        timers: impatient,
        forwardTo: (_, _request, signal) =>
          new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason as Error)),
          ),
      }),
    ),
    'invite-issuer-unreachable',
  )
  t.true(FORWARD_TIMEOUT_MS <= 10_000)
  t.is(await ask(createDoor(init), Uint8Array.of(1)), 'join-request-malformed')
  t.is(await ask(createDoor(init), pending.bytes, stranger.publicKey), 'join-wrong-key')
  t.is(await ask(createDoor({ ...init, selfKey: of.signer.publicKey })), 'join-not-issuer')
  let release = (): void => undefined
  const full = createDoor({
    ...init,
    forwardTo: () => new Promise((resolve) => (release = () => resolve(Uint8Array.of(1)))),
  })
  const waiting = Array.from({ length: DOOR_JOINS_MAX }, () =>
    full(pending.bytes, signer.publicKey, new AbortController().signal),
  )
  t.is(await ask(full), 'door-busy')
  release()
  await waiting.at(-1)
  t.true(events.every(({ reason }) => reason !== undefined))
})

test('a door forwards a join to its issuer over the mesh, for members only', async (t) => {
  const of = await founder()
  const [issuerNode, doorNode] = [await plainNode(t, random.bytes(32)), await plainNode(t, random.bytes(32))]
  await doorNode.dial(issuerNode.getMultiaddrs())
  const members = new Set<string>()
  const events: EventInput[] = []
  const forward = (network: Libp2p, redeem: ((request: Uint8Array) => Promise<Uint8Array>) | null) =>
    new JoinForward({
      network,
      meshId: of.mesh.root.meshId,
      openStream: (peer, protocol, signal) =>
        network.dialProtocol(peerIdFromString(peer), protocol, { signal }),
      isMember: (peer) => members.has(peer),
      redeem,
      timers,
      emit: (event) => events.push(event),
    })
  const atIssuer = forward(issuerNode, (request) => of.issuer.redeem(request))
  const atDoor = forward(doorNode, null)
  await atIssuer.start()
  await atDoor.start()
  const issuerId = issuerNode.peerId.toString()
  const door = createDoor({
    ...doorInit(ed25519Signer(random.bytes(32)), events),
    forwardTo: (_, request, signal) => atDoor.forwardTo(issuerId, request, signal),
  })

  const { text } = await of.issuer.invite(inviteInput(of, { uses: 3 }))
  t.is(await codeOf(t, joinWith(door, text)), 'invite-issuer-unreachable', 'a stranger is not served')
  t.true(events.some(({ text }) => text === 'only members forward joins'))
  members.add(doorNode.peerId.toString())
  t.is((await joinWith(door, text, { name: 'far' })).member.name, 'far')
  const both = await Promise.all([joinWith(door, text), joinWith(door, text)])
  t.is(both.length, 2)

  const stream = await doorNode.dialProtocol(
    peerIdFromString(issuerId),
    joinForwardProtocol(of.mesh.root.meshId),
  )
  const ended = new Promise((resolve) => stream.addEventListener('close', resolve))
  stream.send(lengthPrefixed(new Uint8Array(9_000)))
  await ended
  t.true(
    events.some(({ kind, text }) => kind === 'join.forward-refused' && text?.includes('exceeds')),
    'an oversized request is refused',
  )
  await atIssuer.stop()
  await atDoor.stop()
})
