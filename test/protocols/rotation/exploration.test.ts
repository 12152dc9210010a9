import test from 'ava'
import { describeBatch, runMany } from '../../../simulations/channel/batch.ts'
import { explore, type Bounds } from './explore.ts'

/*
 * The proof of the rules: every interleaving within stated bounds, and seeded runs of whole connections beyond them. Every state
 * that is reached is also followed with fair scheduling until both sides rest in one epoch, and rotate once more from each side.
 */

const NONE = { duplicates: 0, swaps: 0, data: 0, loss: false }
const WALKS: readonly (readonly [string, Bounds])[] = [
  ['three ROTs from each side', { ...NONE, attempts: [3, 3] }],
  [
    'two ROTs from each side, connection and processes lost at any moment',
    { ...NONE, attempts: [2, 2], loss: true },
  ],
  ['two ROTs from each side, data at any moment', { ...NONE, attempts: [2, 2], data: 1 }],
  [
    'a ROT or ACK doubled and another out of order, which no ordered stream does',
    { ...NONE, attempts: [2, 2], duplicates: 1, swaps: 1 },
  ],
]

for (const [name, bounds] of WALKS) {
  test.serial(`all interleavings: ${name}`, (t) => {
    const startedAt = process.hrtime.bigint()
    const { states, transitions, depth, highestEpoch, violation } = explore(bounds)
    const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9
    t.log(`${states} states, ${transitions} transitions, all to depth ${depth}, ${seconds.toFixed(1)} s`)
    t.is(violation, null, JSON.stringify(violation))
    t.true(highestEpoch >= 4)
  })
}

for (const [mutation, what] of [
  ['withdraw-unconfirmed', 'a key withdrawn by a timer'],
  ['keep-own-and-answer', 'a side that answers and keeps its own ROT'],
  ['answer-after-switch', 'a side that answers after it has switched'],
] as const) {
  test.serial(`the exploration notices ${what}`, (t) => {
    const { violation } = explore({ ...NONE, attempts: [2, 2] }, mutation)
    t.log(`${violation?.text}: ${violation?.trace.join(', ')}`)
    t.truthy(violation)
  })
}

test.serial('seeded runs of a simulated channel keep every promise, whatever goes wrong', (t) => {
  t.timeout(120_000)
  const startedAt = process.hrtime.bigint()
  const result = runMany('channel', 5000, 300)
  for (const line of describeBatch(result)) t.log(line)
  t.log(`${(Number(process.hrtime.bigint() - startedAt) / 1e9).toFixed(1)} s`)
  // Each fault met each kind of frame, and each way to end was seen.
  for (const fault of ['flip', 'truncate', 'duplicate', 'swap', 'replay', 'drop', 'delay'])
    for (const frame of ['data', 'rot', 'ack', 'confirm', 'close'])
      t.true((result.faults.get(`${fault} ${frame}`) ?? 0) > 5, `${fault} ${frame}`)
  for (const end of ['closed', 'killed', 'truncated', 'record-tag', 'record-counter', 'record-epoch'])
    t.true((result.ends.get(end) ?? 0) > 50, end)
  for (const event of ['done', 'glare', 'failed rotation-timeout', 'failed rotation-unconfirmed'])
    t.true((result.events.get(`rotation.${event}`) ?? 0) > 100, event)
})
