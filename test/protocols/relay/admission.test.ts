import test from 'ava'
import {
  admitCircuit,
  createRelayTable,
  endCircuit,
  isNews,
  reserve,
} from '../../../protocols/relay/admission.ts'
import {
  CIRCUITS_MAX,
  CONNECTS_PER_MINUTE,
  COUNTED_MEMBERS_MAX,
  RESERVES_PER_MINUTE,
} from '../../../protocols/relay/limits.ts'

test('a relay carries as many circuits as it has places for, whoever they are between, and the next one when one ended', (t) => {
  const table = createRelayTable()
  for (let i = 0; i < CIRCUITS_MAX; i++) t.is(admitCircuit(table, `source ${i}`, `target ${i}`, 0), null)
  t.is(admitCircuit(table, 'one', 'too many', 0), 'relay-full')
  t.is(table.circuits, CIRCUITS_MAX)
  t.false(table.pairs.has('one too many'), 'a refused one holds nothing')
  endCircuit(table, 'target 7', 'source 7')
  t.is(admitCircuit(table, 'one', 'too many', 0), null)
})

test('requests of as many members are counted as there is room for; the one heard of longest ago starts anew', (t) => {
  const table = createRelayTable()
  const flood = (member: string): void => {
    for (let i = 0; i < RESERVES_PER_MINUTE; i++) reserve(table, member, 0)
  }
  flood('first')
  flood('second')
  for (let i = 2; i < COUNTED_MEMBERS_MAX; i++) reserve(table, `member ${i}`, 0)
  t.is(
    reserve(table, 'first', 0),
    'relay-flood',
    'all are counted; now the second is the one heard of longest ago',
  )
  reserve(table, 'one more', 0)
  t.is(table.asked.size, COUNTED_MEMBERS_MAX)
  t.is(reserve(table, 'second', 0), null)
  t.is(reserve(table, 'first', 0), 'relay-flood')
})

test('circuits and reservations are counted each for itself, and a refusal is news once a minute and code', (t) => {
  const table = createRelayTable()
  for (let i = 0; i < CONNECTS_PER_MINUTE; i++)
    if (admitCircuit(table, 'member', 'target', 0) === null) endCircuit(table, 'member', 'target')
  t.is(admitCircuit(table, 'member', 'target', 59_999), 'relay-flood')
  t.is(reserve(table, 'member', 59_999), null)
  const news = (code: 'relay-flood' | 'relay-malformed', now: number): boolean =>
    isNews(table, 'member', code, now)
  t.deepEqual([news('relay-flood', 0), news('relay-flood', 59_999)], [true, false])
  t.true(news('relay-malformed', 59_999))
  t.true(news('relay-flood', 60_000))
})
