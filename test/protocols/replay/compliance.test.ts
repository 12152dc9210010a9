import test from 'ava'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import type { Signer } from '../../../protocols/common/ports.ts'
import { ed25519Signer, sha256 } from '../../../protocols/common/signing.ts'
import { createMembership, saveEntries, step, type Effect } from '../../../protocols/membership/machine.ts'
import { frameFormat, KIND, packRecords } from '../../../protocols/membership/wire.ts'
import { signRegistration } from '../../../protocols/registry/entry.ts'
import { LEASE_SECONDS, SKEW_MS } from '../../../protocols/registry/limits.ts'
import type { MemberEntry } from '../../../protocols/registry/wire.ts'
import { AuthorWindow, type AuthorLimits } from '../../../protocols/replay/author-window.ts'
import { AUTHOR_WINDOW_BITS, CLOCK_SKEW_MS, WINDOW_BITS } from '../../../protocols/replay/limits.ts'
import { FirstMessageGuard } from '../../../protocols/replay/machine.ts'
import { ReplayWindow } from '../../../protocols/replay/window.ts'
import { replayCompliance, type ReplayUser } from '../../compliance/replay.ts'
import { seededRandom, testMesh } from '../membership/world.ts'

const SENDERS_MAX = 4

function guardUser(disk: Uint8Array | undefined, now: number): ReplayUser {
  const guard = FirstMessageGuard.restore(disk, now, {
    seenMax: 64,
    seenPerPeerMax: 64,
    floorsMax: SENDERS_MAX,
  })
  let bytes = disk
  const save = (at: number, clean = false): void => {
    const snapshot = guard.snapshot(at, clean)
    bytes = snapshot.bytes
    snapshot.written()
  }
  save(now)
  return {
    offer: ({ sender, serial, timeMs }, at) =>
      guard.admit({ peer: `p${sender}`, ephemeral: `${sender}/${serial}`, timeMs }, at).ok,
    save,
    restart(how, at) {
      if (how === 'stop') save(at, true)
      return guardUser(bytes, at)
    },
    get size() {
      return guard.sizes.seen + guard.sizes.floors
    },
  }
}

replayCompliance(test, {
  name: 'message 1',
  open: (now) => guardUser(undefined, now),
  window: { pastMs: CLOCK_SKEW_MS, futureMs: CLOCK_SKEW_MS },
  oldAfterSerials: null,
  sendersMax: SENDERS_MAX,
  sizeMax: 64 + SENDERS_MAX,
  isCrashSafe: true,
})

const CONTROL: AuthorLimits = { authorsMax: SENDERS_MAX, pastMs: 600_000, futureMs: CLOCK_SKEW_MS }

function authorUser(disk: Uint8Array | undefined, now: number, limits: AuthorLimits): ReplayUser {
  const window = AuthorWindow.restore(disk, now, limits)
  let bytes = disk
  const save = (at: number, clean = false): void => {
    const snapshot = window.snapshot(at, clean)
    bytes = snapshot.bytes
    snapshot.written()
  }
  save(now)
  return {
    offer({ sender, serial, timeMs }, at) {
      const message = { author: `a${sender}`, incarnation: 1, seq: serial, timeMs }
      return window.check(message, at).ok && window.commit(message, at).ok
    },
    save,
    restart(how, at) {
      if (how === 'stop') save(at, true)
      return authorUser(bytes, at, limits)
    },
    get size() {
      return window.size
    },
  }
}

for (const windowBits of [AUTHOR_WINDOW_BITS, 0]) {
  replayCompliance(test, {
    name: windowBits === 0 ? 'control messages, newest only' : 'control messages',
    open: (now) => authorUser(undefined, now, { ...CONTROL, windowBits }),
    window: CONTROL,
    oldAfterSerials: windowBits === 0 ? 1 : windowBits - 32,
    sendersMax: SENDERS_MAX,
    sizeMax: SENDERS_MAX,
    isCrashSafe: true,
  })
}

function datagramUser(window: ReplayWindow): ReplayUser {
  return {
    offer: ({ sender, serial }) => sender === 0 && window.check(serial) === 'fresh' && window.commit(serial),
    save: () => undefined,
    restart: () => datagramUser(ReplayWindow.restore(window.snapshot())),
    size: 1,
  }
}

replayCompliance(test, {
  name: 'datagrams',
  open: () => datagramUser(new ReplayWindow()),
  window: null,
  oldAfterSerials: WINDOW_BITS - 32,
  sendersMax: 1,
  sizeMax: 1,
  isCrashSafe: false,
})

const MESH = testMesh('replay', 1_800_000_000_000 - 3_600_000)
const SIGNERS = [1, 2, 3, 4].map((i) => ed25519Signer(sha256(Uint8Array.of(i))))
const CREDENTIALS = SIGNERS.map((signer, i) => MESH.admit(signer.publicKey, `n${i}`))
const [SELF, NEIGHBOUR] = [3, 2].map((i) => SIGNERS[i] as Signer) as [Signer, Signer]

/** A member whose neighbour passes on registrations of the other members, as it would in a mesh. `newest`: the last serial taken of each. */
function registryUser(disk: Map<string, MemberEntry>, newest: Map<string, number>, now: number): ReplayUser {
  const neighbour = peerIdFromKey(NEIGHBOUR.publicKey)
  const announcement = { addresses: [], relays: [], services: [] }
  const state = createMembership(
    {
      root: MESH.root,
      signer: SELF,
      credentials: CREDENTIALS[3] as Uint8Array,
      random: seededRandom('replay'),
      incarnation: now,
      announcement,
      stored: [...disk.values()],
      authorityReachable: () => true,
    },
    now,
  )
  const perform = (effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.type === 'store-entry') disk.set(effect.id, effect.entry)
      else if (effect.type === 'delete-entry') disk.delete(effect.id)
    }
  }
  const save = (at: number): void => {
    const out: Effect[] = []
    saveEntries({ state, now: at, out })
    perform(out)
  }
  perform(step(state, { type: 'link-up', peer: neighbour, initiator: true }, now))
  const frame = (
    sender: number,
    incarnation: number,
    seq: number,
    issuedAt: number,
    hello: boolean,
  ): Uint8Array => {
    const signer = SIGNERS[sender] as Signer
    const registration = {
      key: signer.publicKey,
      incarnation,
      seq,
      issuedAt,
      leaseSeconds: LEASE_SECONDS,
      ...announcement,
      bootNonce: new Uint8Array(8),
    }
    const statement = signRegistration(registration, MESH.root.meshId, signer)
    const credentials = CREDENTIALS[sender] as Uint8Array
    const [records] = packRecords([{ kind: 'registration', statement, credentials, down: false }], [])
    if (records === undefined) throw new Error('no frame')
    const greeting = {
      version: 1,
      clock: now,
      digest: new Uint8Array(8),
      held: 0,
      heldIncarnation: 0,
      heldSeq: 0,
    } as const
    return frameFormat.encode(
      hello ? { kind: KIND.hello, ...greeting, ...records } : { kind: KIND.records, ...records },
    )
  }
  perform(step(state, { type: 'frame', peer: neighbour, bytes: frame(2, now, 0, now, true) }, now))
  return {
    offer({ sender, serial, timeMs }, at) {
      const id = peerIdFromKey((SIGNERS[sender % 2] as Signer).publicKey)
      state.lastSweepAt = 0 // the minute between sweeps is not what is tested
      perform(step(state, { type: 'tick' }, at))
      const versionOf = (): number | undefined => state.table.get(id)?.verified.statement.seq
      const bytes = frame(sender % 2, 1, serial, timeMs, false)
      perform(step(state, { type: 'frame', peer: neighbour, bytes }, at))
      // The table is a state: to be told again what it knew is no news. To go back would be.
      if (versionOf() !== serial || newest.get(id) === serial) return false
      newest.set(id, serial)
      return true
    },
    save,
    restart(how, at) {
      if (how === 'stop') save(at)
      return registryUser(disk, newest, at)
    },
    get size() {
      return state.table.size + state.ended.size + state.archive.size
    },
  }
}

replayCompliance(test, {
  name: 'registrations',
  open: (now) => registryUser(new Map(), new Map(), now),
  window: { pastMs: LEASE_SECONDS * 1000 + SKEW_MS, futureMs: SKEW_MS },
  oldAfterSerials: 1,
  sendersMax: null,
  sizeMax: 12,
  isCrashSafe: false,
})
