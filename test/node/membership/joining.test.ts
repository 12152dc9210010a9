import test from 'ava'
import type { Store, Timers } from '../../../protocols/common/ports.ts'
import { ed25519Signer } from '../../../protocols/common/signing.ts'
import { readInvite } from '../../../protocols/admission/invite.ts'
import { makeJoinRequest, openReply } from '../../../protocols/admission/join.ts'
import { ChannelError } from '../../../protocols/secure-channel/errors.ts'
import { Issuer } from '../../../node/membership/issuer.ts'
import { joinMesh } from '../../../node/membership/joiner.ts'
import { testMesh } from '../../protocols/membership/world.ts'
import { memoryStore } from '../../../node/storage/memory-store.ts'

const NOW = 1_800_000_000_000
const clock = { now: () => NOW }
const timers: Timers = { every: () => () => undefined, after: () => () => undefined }
const DOOR = '/ip4/127.0.0.1/tcp/1/p2p/12D3KooWC9doSgYAAiba2yhK52usqTXJ9E3poPHeee4ibuhkGYut'

async function makeIssuer(store: Store) {
  const mesh = testMesh('joining', NOW)
  const issuer = await Issuer.open({
    root: mesh.root,
    signer: mesh.authoritySigner,
    authorityCertificate: mesh.authority,
    store,
    clock,
    random: mesh.random,
    emit: () => undefined,
    nameTaken: () => false,
    bootstrap: () => [],
    isRevoked: () => false,
  })
  const invite = (uses: number) =>
    issuer.invite({ name: null, roles: [], tags: [], uses, ttlMs: 60_000, bootstrap: [DOOR], reach: 'lan' })
  return { mesh, issuer, invite }
}

test('a write that fails amid parallel joins costs that join, and no use is given twice', async (t) => {
  const base = memoryStore()
  const failures = [true]
  const store: Store = {
    ...base,
    put: (key, value, options) =>
      key.startsWith('invite/r/') && failures.pop() === true
        ? Promise.reject(new Error('disk full'))
        : base.put(key, value, options),
  }
  const { mesh, issuer, invite } = await makeIssuer(store)
  const { text } = await invite(2)
  const ask = async (name: string): Promise<string> => {
    const pending = makeJoinRequest({
      invite: readInvite(text, NOW),
      joiner: ed25519Signer(mesh.random.bytes(32)),
      name,
      replyPrivateKey: mesh.random.bytes(32),
      now: NOW,
    })
    const outcome = openReply(pending, await issuer.redeem(pending.bytes))
    return outcome.outcome === 'accepted' ? 'accepted' : outcome.code
  }
  const first = await Promise.allSettled(['a', 'b', 'c'].map(ask))
  t.deepEqual(
    first.map((result) => (result.status === 'fulfilled' ? result.value : 'failed')),
    ['failed', 'accepted', 'accepted'],
  )
  t.is(await ask('d'), 'invite-used-up')
  const keys = []
  for await (const [key] of base.entries('invite/r/')) keys.push(key)
  t.is(keys.length, 2)
})

test('a joiner whose clock is wrong is told so, and not that the issuer cannot be reached', async (t) => {
  const { mesh, invite } = await makeIssuer(memoryStore())
  const { text } = await invite(1)
  const joining = joinMesh({
    invite: text,
    signer: ed25519Signer(mesh.random.bytes(32)),
    name: 'late',
    store: memoryStore(),
    clock,
    random: mesh.random,
    timers,
    exchange: () => Promise.reject(new ChannelError('clock-skew', 'The clocks differ by 600 s')),
  })
  await t.throwsAsync(joining, { code: 'clock-skew', message: /600 s/ })
})

test('a joiner waits until it is approved, asks again by itself, and stops when it is denied', async (t) => {
  const store = memoryStore()
  const { mesh, issuer } = await makeIssuer(store)
  const { text } = await issuer.invite({
    name: null,
    roles: [],
    tags: [],
    uses: 2,
    ttlMs: 60_000,
    bootstrap: [DOOR],
    reach: 'lan',
    approve: true,
  })
  const pauses: (() => void)[] = []
  const join = (name: string, signal?: AbortSignal) => {
    const signer = ed25519Signer(mesh.random.bytes(32))
    const waits: string[] = []
    let asked = 0
    const joined = joinMesh({
      invite: text,
      signer,
      name,
      store: memoryStore(),
      clock,
      random: mesh.random,
      // The timeouts of exchanges are cancelled; what is left runs a pause.
      timers: {
        every: () => () => undefined,
        after: (_ms, run) => {
          pauses.push(run)
          return () => void pauses.splice(pauses.indexOf(run), 1)
        },
      },
      exchange: (_door, request) => {
        asked++
        return asked === 2 ? Promise.reject(new Error('door away')) : issuer.redeem(request)
      },
      waiting: (why) => waits.push(why),
      ...(signal === undefined ? {} : { signal }),
    })
    joined.catch(() => undefined)
    return { joined, waits, key: signer.publicKey }
  }
  const turn = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => void setImmediate(resolve))
    pauses.splice(0).forEach((run) => run())
  }
  const good = join('good')
  await turn()
  await turn() // the door is away: it waits on
  t.deepEqual(
    issuer.pending().map(({ name }) => name),
    ['good'],
  )
  t.is(await issuer.approve(good.key), 'good')
  await turn()
  t.is((await good.joined).member.name, 'good')
  t.is(good.waits.length, 1)
  await t.throwsAsync(issuer.approve(good.key), { code: 'join-not-pending' })

  const bad = join('bad')
  await turn()
  t.is(await issuer.deny(bad.key), 'bad')
  await turn()
  await turn()
  await t.throwsAsync(bad.joined, { code: 'join-denied' })

  const stopping = new AbortController()
  const stopped = join('stopped', stopping.signal)
  for (let i = 0; i < 20; i++) await new Promise((resolve) => void setImmediate(resolve))
  stopping.abort(new Error('stopping'))
  await t.throwsAsync(stopped.joined, { message: 'stopping' })
})

test('a door that swallows all it is sent holds a join up for half a second, and one use is taken', async (t) => {
  const { mesh, issuer } = await makeIssuer(memoryStore())
  const silent = [1, 2].map((port) => DOOR.replace('tcp/1', `tcp/${port}`))
  const doors = [...silent, DOOR.replace('tcp/1', 'tcp/3'), DOOR.replace('tcp/1', 'tcp/4')]
  const invited = await issuer.invite({
    name: null,
    roles: [],
    tags: [],
    uses: 2,
    ttlMs: 60_000,
    bootstrap: doors,
    reach: 'lan',
  })
  const asked: string[] = []
  const givenUp: string[] = []
  const join = (name: string, signer = ed25519Signer(mesh.random.bytes(32))) =>
    joinMesh({
      invite: invited.text,
      signer,
      name,
      store: memoryStore(),
      clock,
      random: mesh.random,
      timers,
      exchange: (door, request, _mesh, signal) => {
        asked.push(door.address)
        if (!silent.some((each) => door.address.startsWith(each))) return issuer.redeem(request)
        return new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            givenUp.push(door.address)
            reject(signal.reason as Error)
          }),
        )
      },
    })
  const started = performance.now()
  await join('first')
  t.true(performance.now() - started < 4000)
  t.is(asked.length, 3, 'the fourth was not needed')
  t.is(givenUp.length, 2)
  await join('second')
  await t.throwsAsync(join('third'), { code: 'invite-used-up' })
})
