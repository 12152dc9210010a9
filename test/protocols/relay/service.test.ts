import test from 'ava'
import { firstFrame } from '../../../protocols/common/first-frame.ts'
import { peerIdFromKey } from '../../../protocols/common/peer-id.ts'
import type { EventInput } from '../../../protocols/common/ports.ts'
import type { ByteChannel, Channel } from '../../../protocols/mux/channel.ts'
import { connectThrough, holdReservation, readIncoming } from '../../../protocols/relay/client.ts'
import type { RelayCode, RelayError } from '../../../protocols/relay/errors.ts'
import {
  CIRCUITS_PER_PAIR_MAX,
  CONNECT_MS,
  CONNECTS_PER_MINUTE,
  FIRST_FRAME_MS,
  LOAD_INTERVAL_MS,
  RESERVATIONS_MAX,
  RESERVE_MS,
  RESERVES_PER_MINUTE,
} from '../../../protocols/relay/limits.ts'
import { RelayService } from '../../../protocols/relay/service.ts'
import { channelPair } from '../mux/pair.ts'
import { virtualTime, type VirtualTime } from '../virtual-time.ts'

/*
 * A relay and the members around it over real channels in memory; time stands still unless a test moves it.
 */

const KEYS = { a: key(1), b: key(2), c: key(3) }
const ID = { a: peerIdFromKey(KEYS.a), b: peerIdFromKey(KEYS.b), c: peerIdFromKey(KEYS.c) }
const IP = Uint8Array.of(52, 0, 0, 9)

function key(seed: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, () => seed)
}

interface World {
  readonly relay: RelayService
  readonly time: VirtualTime
  readonly events: EventInput[]
  /** Channels the relay opened to targets, at the targets' ends. */
  readonly incoming: Channel[]
  /** A member opens a channel to the relay; its end. */
  open(peer: string, isRelayed?: boolean): Channel
}

function world(options: { isOn?: boolean; isAway?: boolean } = {}): World {
  const time = virtualTime()
  const events: EventInput[] = []
  const incoming: Channel[] = []
  const relay = new RelayService({
    selfId: ID.c,
    isOn: options.isOn ?? true,
    openCircuit() {
      if (options.isAway === true) return Promise.reject(new Error('away'))
      const [near, far] = channelPair()
      incoming.push(far)
      return Promise.resolve(near)
    },
    ipOf: () => IP,
    clock: time.clock,
    timers: time.timers,
    emit: (event) => void events.push(event),
  })
  return {
    relay,
    time,
    events,
    incoming,
    open(peer, isRelayed = false) {
      const [near, far] = channelPair()
      relay.serve(far, peer, isRelayed)
      return near
    },
  }
}

/** All that comes over a channel, and how it ended. */
function listen(channel: ByteChannel): { text: string; end: 'open' | 'ended' | RelayError } {
  const heard: ReturnType<typeof listen> = { text: '', end: 'open' }
  channel.use({
    onData(bytes) {
      heard.text += Buffer.from(bytes).toString()
      channel.consumed(bytes.length)
    },
    onEnd: () => (heard.end = 'ended'),
    onReset: (error) => (heard.end = error as RelayError),
    onDrain: () => undefined,
  })
  return heard
}

async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((done) => setImmediate(done))
}

test('bytes go both ways through a relay, from the first on, and ends arrive', async (t) => {
  const { relay, time, open, incoming } = world()
  const circuit = connectThrough(open(ID.a), KEYS.b, time.timers)
  const atA = listen(circuit)
  circuit.write(Buffer.from('hello'))
  await settle()
  const [channel] = incoming
  if (channel === undefined) return t.fail('nothing came')
  let atB: ReturnType<typeof listen> | undefined
  readIncoming(channel, time.timers, {
    onIncoming(taken) {
      t.is(taken.source, ID.a)
      t.deepEqual(taken.at, IP, 'B learns where the relay sees A')
      atB = listen(taken.channel)
      taken.channel.write(Buffer.from('hi'))
    },
    onFailure: (error) => t.fail(error.message),
  })
  await settle()
  t.is(atB?.text, 'hello')
  t.is(atA.text, 'hi')
  t.deepEqual(circuit.at, IP)
  t.is(relay.load.circuits, 1)
  t.is(relay.load.bytes, 7)
  circuit.end()
  await settle()
  t.is(atB?.end, 'ended')
  t.is(atA.end, 'open', 'the other direction goes on')
  channel.end()
  await settle()
  t.is(atA.end, 'ended')
  t.is(relay.load.circuits, 0)
})

const refusals: readonly [
  name: string,
  options: Parameters<typeof world>[0],
  isRelayed: boolean,
  code: RelayCode,
][] = [
  ['a node that does not relay', { isOn: false }, false, 'relay-off'],
  ['a request that came through another relay', {}, true, 'relay-nested'],
  ['a target nobody can reach', { isAway: true }, false, 'relay-target-away'],
]
for (const [name, options, isRelayed, code] of refusals) {
  test(`${name} is refused with ${code}`, async (t) => {
    const { relay, time, open } = world(options)
    const heard = listen(connectThrough(open(ID.a, isRelayed), KEYS.b, time.timers))
    await settle()
    t.is((heard.end as RelayError).code, code)
    t.is(relay.load.circuits, 0, 'and holds no place')
  })
}

test('a target that gives the connection up before it answered is told apart from one that is away', async (t) => {
  const { time, open, incoming } = world()
  const heard = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  await settle()
  incoming[0]?.reset()
  await settle()
  t.is((heard.end as RelayError).code, 'relay-target-refused')
})

test('a target that ends without a word, and then goes on to misbehave, is refused once and leaves nothing', async (t) => {
  const { relay, time, open, incoming } = world()
  const heard = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  await settle()
  incoming[0]?.end()
  await settle()
  t.is((heard.end as RelayError).code, 'relay-target-refused')
  t.is(relay.load.circuits, 0)
  incoming[0]?.reset()
  await settle()
  time.pass(CONNECT_MS)
  await settle()
  t.is(relay.load.circuits, 0)
})

test('a target that ends without a word is let go', async (t) => {
  const { time, open, incoming } = world()
  listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  await settle()
  const [target] = incoming
  if (target === undefined) return t.fail('nothing came')
  const atB = listen(target)
  target.end()
  await settle()
  t.not(atB.end, 'open')
})

test('a target that says nothing is given up by the relay, however patient the source is', async (t) => {
  const { relay, time, open, incoming } = world()
  const heard = listen(connectThrough(open(ID.a), KEYS.b, virtualTime().timers))
  await settle()
  const [target] = incoming
  if (target === undefined) return t.fail('nothing came')
  const atB = listen(target)
  await settle()
  t.is(heard.end, 'open')
  time.pass(CONNECT_MS)
  await settle()
  t.is((heard.end as RelayError).code, 'relay-timeout')
  t.not(atB.end, 'open')
  t.is(relay.load.circuits, 0)
})

test('once the target has answered time does not count, and its end is no refusal', async (t) => {
  const { relay, time, open, incoming } = world()
  const heard = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  await settle()
  const [target] = incoming
  if (target === undefined) return t.fail('nothing came')
  listen(target)
  target.write(Buffer.from('hi'))
  await settle()
  time.pass(2 * CONNECT_MS)
  await settle()
  t.deepEqual([heard.end, heard.text, relay.load.circuits], ['open', 'hi', 1])
  target.end()
  await settle()
  t.deepEqual([heard.end, heard.text], ['ended', 'hi'])
})

test('a target that says nothing is given up in time, at the relay and where it was asked', async (t) => {
  const { relay, time, open } = world()
  const heard = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  await settle()
  time.pass(CONNECT_MS)
  await settle()
  t.is((heard.end as RelayError).code, 'relay-timeout')
  t.is(relay.load.circuits, 0)
})

test('nobody relays to itself, and the relay is no target', async (t) => {
  const { time, open } = world()
  for (const target of [KEYS.a, KEYS.c]) {
    const heard = listen(connectThrough(open(ID.a), target, time.timers))
    await settle()
    t.is((heard.end as RelayError).code, 'relay-target-away')
  }
})

test('a pair has a quota, which ends of circuits free again, and other pairs are not held up by it', async (t) => {
  const { relay, time, open } = world()
  const circuits = Array.from({ length: CIRCUITS_PER_PAIR_MAX }, () =>
    connectThrough(open(ID.a), KEYS.b, time.timers),
  )
  for (const circuit of circuits) listen(circuit)
  await settle()
  const beyond = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  const reverse = listen(connectThrough(open(ID.b), KEYS.a, time.timers))
  const other = listen(connectThrough(open(ID.a), key(9), time.timers))
  await settle()
  t.is((beyond.end as RelayError).code, 'relay-quota')
  t.is((reverse.end as RelayError).code, 'relay-quota', 'from the other side too')
  t.is(other.end, 'open')
  circuits[0]?.reset()
  await settle()
  const again = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
  await settle()
  t.is(again.end, 'open')
  t.is(relay.load.circuits, CIRCUITS_PER_PAIR_MAX + 1)
})

test('a member that asks without end is refused for the rest of the minute, and reported', async (t) => {
  const { time, open, events } = world({ isAway: true })
  const ask = async (): Promise<string> => {
    const heard = listen(connectThrough(open(ID.a), KEYS.b, time.timers))
    await settle()
    return (heard.end as RelayError).code
  }
  for (let i = 0; i < CONNECTS_PER_MINUTE; i++) {
    const channel = open(ID.a)
    listen(connectThrough(channel, KEYS.b, time.timers))
    channel.reset()
  }
  await settle()
  t.is(await ask(), 'relay-flood')
  t.is(await ask(), 'relay-flood')
  const floods = (): number =>
    events.filter(({ kind, reason }) => kind === 'relay.refused' && reason === 'relay-flood').length
  t.is(floods(), 1, 'one event, not one a request')
  time.pass(60_000)
  t.is(await ask(), 'relay-target-away')
  t.is(floods(), 1)
})

test('a member that reserves and lets go in a loop is refused for the rest of the minute, and reported once', async (t) => {
  const { relay, time, open, events } = world()
  const lost: string[] = []
  const user = {
    reserved: () => undefined,
    load: () => undefined,
    lost: (code: string) => void lost.push(code),
  }
  for (let i = 0; i < RESERVES_PER_MINUTE; i++) holdReservation(open(ID.a), time.timers, user)()
  await settle()
  const count = (kind: string): number => events.filter((event) => event.kind === kind).length
  t.is(count('relay.reserved'), RESERVES_PER_MINUTE)
  for (let i = 0; i < 10; i++) holdReservation(open(ID.a), time.timers, user)
  await settle()
  t.deepEqual([...new Set(lost)], ['relay-flood'])
  t.is(count('relay.reserved'), RESERVES_PER_MINUTE, 'no line more')
  t.is(count('relay.refused'), 1)
  t.is(relay.load.reservations, 0)
  holdReservation(open(ID.b), time.timers, user)
  await settle()
  t.true(relay.holds(ID.b), 'others are not held up')
  time.pass(60_000)
  holdReservation(open(ID.a), time.timers, user)
  await settle()
  t.true(relay.holds(ID.a))
})

test('200 members hold reservations, each once however often it asks; a full relay says so', async (t) => {
  const { relay, time, open } = world()
  const releases: (() => void)[] = []
  const lost: string[] = []
  let reserved = 0
  const hold = (peer: string): void => {
    const user = {
      reserved: () => void reserved++,
      load: () => undefined,
      lost: (code: string) => void lost.push(code),
    }
    releases.push(holdReservation(open(peer), time.timers, user))
  }
  for (let i = 0; i < 200; i++) hold(`member ${i}`)
  hold('member 0')
  await settle()
  t.is(reserved, 201)
  t.is(relay.load.reservations, 200)
  t.true(relay.holds('member 7'))
  for (let i = 200; i < RESERVATIONS_MAX; i++) hold(`member ${i}`)
  hold('one too many')
  await settle()
  t.deepEqual(lost, ['relay-full'])
  releases[7]?.()
  await settle()
  t.false(relay.holds('member 7'))
  t.true(relay.holds('member 0'), 'it held two channels')
  relay.stop()
  await settle()
  t.is(
    lost.filter((code) => code === 'relay-lost').length,
    RESERVATIONS_MAX,
    'a stopping relay lets go of all',
  )
})

test('a relay tells those it holds how busy it is when that changes', async (t) => {
  const { time, open, incoming } = world()
  const loads: number[] = []
  holdReservation(open(ID.b), time.timers, {
    reserved: ({ bytesPerSecond }) => void loads.push(bytesPerSecond),
    load: ({ bytesPerSecond }) => void loads.push(bytesPerSecond),
    lost: (code) => t.fail(code),
  })
  const circuit = connectThrough(open(ID.a), KEYS.b, time.timers)
  listen(circuit)
  circuit.write(new Uint8Array(30_000))
  await settle()
  if (incoming[0] !== undefined) listen(incoming[0])
  await settle()
  time.pass(LOAD_INTERVAL_MS)
  await settle()
  time.pass(LOAD_INTERVAL_MS)
  await settle()
  t.deepEqual(loads, [0, 2000, 0])
})

test('a relay that does not answer loses the reservation in time', async (t) => {
  const time = virtualTime()
  const [near] = channelPair()
  const lost: string[] = []
  holdReservation(near, time.timers, {
    reserved: () => t.fail('nobody answered'),
    load: () => t.fail('nobody answered'),
    lost: (code) => void lost.push(code),
  })
  time.pass(RESERVE_MS)
  await settle()
  t.deepEqual(lost, ['relay-timeout'])
})

test('nonsense in a channel of the relay is cut and reported, on every side', async (t) => {
  const { time, open, events, incoming } = world()
  const channel = open(ID.a)
  const heard = listen(channel)
  channel.write(firstFrame(Uint8Array.of(1, 2, 3)))
  await settle()
  t.not(heard.end, 'open')
  t.true(events.some(({ reason }) => reason === 'relay-malformed'))

  const [near, far] = channelPair()
  const answered = listen(connectThrough(near, KEYS.b, time.timers))
  listen(far)
  far.write(firstFrame(Uint8Array.of(1, 2, 3)))
  await settle()
  t.is((answered.end as RelayError).code, 'relay-malformed')

  const [relaySide, targetSide] = channelPair()
  const failures: Error[] = []
  readIncoming(targetSide, time.timers, {
    onIncoming: () => t.fail('it said nothing sensible'),
    onFailure: (error) => void failures.push(error),
  })
  relaySide.write(new Uint8Array(200))
  await settle()
  t.is(failures.length, 1)
  t.is(incoming.length, 0)
})

test('a reader that does not read holds the sender back: the relay keeps what the windows allow and no more', async (t) => {
  const { relay, time, open, incoming } = world()
  const circuit = connectThrough(open(ID.a), KEYS.b, time.timers)
  listen(circuit)
  let takes = true
  let sent = 0
  await settle()
  incoming[0]?.use({
    onData: () => undefined, // never consumed
    onEnd: () => undefined,
    onReset: () => undefined,
    onDrain: () => undefined,
  })
  while (takes && sent < 10_000_000) {
    takes = circuit.write(new Uint8Array(16_384))
    sent += 16_384
    await settle()
  }
  t.true(sent < 400_000, `${sent} bytes were taken`)
  t.true(relay.load.bytes < 400_000)
})

test('a channel that does not say what it is for is cut in time, and one that did is not', async (t) => {
  const { time, open } = world()
  const silent = listen(open(ID.a))
  const half = open(ID.a)
  const heard = listen(half)
  half.write(Uint8Array.of(0))
  const lost: string[] = []
  holdReservation(open(ID.b), time.timers, {
    reserved: () => undefined,
    load: () => undefined,
    lost: (code) => void lost.push(code),
  })
  await settle()
  time.pass(FIRST_FRAME_MS - 1)
  await settle()
  t.deepEqual([silent.end, heard.end], ['open', 'open'])
  time.pass(1)
  await settle()
  t.not(silent.end, 'open')
  t.not(heard.end, 'open')
  t.deepEqual(lost, [])
})

test('a target that is told nothing by the relay that opened a channel to it gives that channel up in time', async (t) => {
  const time = virtualTime()
  const [near, far] = channelPair()
  listen(near)
  const failures: Error[] = []
  readIncoming(far, time.timers, {
    onIncoming: () => t.fail('nobody said anything'),
    onFailure: (error) => void failures.push(error),
  })
  time.pass(FIRST_FRAME_MS)
  await settle()
  t.deepEqual(
    failures.map((error) => (error as RelayError).code),
    ['relay-timeout'],
  )
})
