import test from 'ava'
import type { ListedMuxer, MuxRegistry } from '../../../protocols/mux/registry.ts'
import { Silence } from '../../../node/transport/silence.ts'
import { virtualTime } from '../../protocols/virtual-time.ts'

/** Connections of one peer whose bytes the test counts up, and what became of them. */
function watching(...vias: (string | null)[]) {
  const time = virtualTime()
  const told: string[] = []
  const make = (id: number, via: string | null): ListedMuxer => {
    const muxer = { receivedBytes: 0, status: 'open' }
    const cut = (): void => {
      told.push(`cut ${id}`)
      listed.splice(listed.indexOf(made), 1)
      silence.removed(made)
    }
    const place = { via, remote: '', local: null, dialled: true, isPunched: false }
    const made = {
      ...place,
      id: String(id),
      peerId: 'peer',
      muxer,
      isSilent: false,
      close: cut,
      cut,
    } as unknown as ListedMuxer
    return made
  }
  const listed: ListedMuxer[] = []
  const muxes = { list: () => [...listed], has: () => listed.some(({ isSilent }) => !isSilent) }
  const silence = new Silence({
    muxes: muxes as unknown as MuxRegistry,
    ask: ({ id }) => told.push(`ask ${id}`),
    silent: ({ id }) => told.push(`silent ${id}`),
    heard: ({ id }) => told.push(`heard ${id}`),
    clock: time.clock,
  })
  const add = (via: string | null): void => {
    const made = make(listed.length + 1, via)
    listed.push(made)
    silence.added(made)
  }
  for (const via of vias) add(via)
  return {
    told,
    add,
    /** Seconds pass; these connections bring something in each. */
    pass(seconds: number, ...lively: number[]) {
      for (let i = 0; i < seconds; i++) {
        for (const { id, muxer } of listed) if (lively.includes(Number(id))) muxer.receivedBytes++
        time.pass(1000)
        silence.look()
      }
      return told.splice(0)
    },
  }
}

test('a connection that brings something is never asked', (t) => {
  t.deepEqual(watching(null).pass(60, 1), [])
})

test('a quiet one is asked after 4 s, and one that answers is left alone', (t) => {
  const world = watching(null)
  t.deepEqual(world.pass(4), ['ask 1'])
  t.deepEqual(world.pass(1, 1), [])
  t.deepEqual(world.pass(3), [])
})

test('the only one is passed over when it does not answer, and never cut: it may be a partition', (t) => {
  const world = watching(null)
  t.deepEqual(world.pass(600), ['ask 1', 'silent 1'])
  t.deepEqual(world.pass(1, 1), ['heard 1'])
})

test('a silent direct one is cut after 15 s where a relay leads to the peer', (t) => {
  const world = watching(null, 'relay')
  world.told.length = 0
  t.deepEqual(world.pass(14, 2), ['silent 1'])
  t.deepEqual(world.pass(2, 2), ['cut 1'])
})

test('a new connection has the older one asked at once, and replaces it when it is dead', (t) => {
  for (const via of [null, 'relay']) {
    const world = watching(via)
    t.deepEqual(world.pass(2, 1), [])
    world.add(via)
    t.deepEqual(world.told.splice(0), ['ask 1'])
    t.deepEqual(world.pass(3, 2), ['silent 1', 'cut 1'])
  }
})

test('an older connection that answers stays beside the new one', (t) => {
  const world = watching(null)
  world.add(null)
  t.deepEqual(world.pass(60, 1, 2), ['ask 1'])
})
