import test from 'ava'
import { CircuitRecord } from '../../../node/transport/circuit-record.ts'
import type { ListedMuxer } from '../../../protocols/mux/registry.ts'

const MINUTE = 60_000

function book() {
  const clock = { time: 0, now: () => clock.time }
  const record = new CircuitRecord(clock)
  let id = 0
  const circuit = (peerId: string, via: string | null): ListedMuxer =>
    ({ id: String(++id), peerId, via, isSilent: false }) as ListedMuxer
  /** One that ends after so long. */
  const lasting = (
    ms: number,
    given: { isSilent?: boolean; isReplaced?: boolean; via?: string | null } = {},
  ) => {
    const listed = circuit('peer', given.via === undefined ? 'relay' : given.via)
    record.made(listed)
    clock.time += ms
    listed.isSilent = given.isSilent ?? false
    record.ended(listed, given.isReplaced ?? false)
  }
  const isDoubtful = (): boolean => record.isDoubtful('peer', 'relay')
  return { clock, record, circuit, lasting, isDoubtful }
}

test('a relay whose circuits end soon is doubtful, each time for longer, until one lasts', (t) => {
  const { clock, lasting, isDoubtful } = book()
  t.false(isDoubtful())
  for (const forMs of [30_000, 60_000, 120_000]) {
    lasting(5000)
    t.true(isDoubtful())
    clock.time += forMs - 1
    t.true(isDoubtful())
    clock.time += 1
    t.false(isDoubtful(), `after ${forMs} ms`)
  }
  for (let i = 0; i < 20; i++) lasting(1000)
  clock.time += 30 * MINUTE
  t.false(isDoubtful(), 'half an hour at most')
  lasting(10)
  lasting(2 * MINUTE)
  t.false(isDoubtful())
  lasting(10)
  clock.time += 30_000
  t.false(isDoubtful(), 'it counts from the beginning')
})

test('a circuit that fell silent did not last, however long it stood; one that was replaced tells nothing', (t) => {
  const silent = book()
  silent.lasting(10 * MINUTE, { isSilent: true, isReplaced: true })
  t.true(silent.isDoubtful())
  for (const given of [{ isReplaced: true }, { via: null }]) {
    const { lasting, isDoubtful } = book()
    lasting(1000, given)
    t.false(isDoubtful())
  }
  const { record, circuit } = book()
  record.ended(circuit('peer', 'relay'), false)
  t.false(record.isDoubtful('peer', 'relay'), 'what was never made does not end')
})

test('it is about one peer behind one relay, and so many pairs at most', (t) => {
  const { record, circuit, lasting, isDoubtful } = book()
  lasting(1)
  t.true(isDoubtful())
  t.false(record.isDoubtful('peer', 'another'))
  t.false(record.isDoubtful('another', 'relay'))
  for (let i = 0; i < 1024; i++) {
    const listed = circuit(`peer-${i}`, 'relay')
    record.made(listed)
    record.ended(listed, false)
  }
  t.false(isDoubtful(), 'the oldest made room')
  t.true(record.isDoubtful('peer-0', 'relay'))
})
