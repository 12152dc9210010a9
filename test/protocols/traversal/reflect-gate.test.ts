import test from 'ava'
import {
  OFFERING_PEERS_MAX,
  REACHES_AT_ONCE_MAX,
  REACHES_PER_PEER_MAX,
  REACHES_WINDOW_MS,
  TICKET_MS,
  TICKETS_HELD_MAX,
  TICKETS_PER_PEER_MAX,
} from '../../../protocols/traversal/limits.ts'
import {
  beginReach,
  createReflectGate,
  endReach,
  keepTickets,
  takeTicket,
} from '../../../protocols/traversal/reflect-gate.ts'

const ticket = (n: number): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, i) => (i < 4 ? n >> (8 * i) : 0))

test('a ticket is good once, and for a while', (t) => {
  const gate = createReflectGate()
  keepTickets(gate, 'a', [ticket(1), ticket(2)], 0)
  t.true(takeTicket(gate, ticket(1), TICKET_MS - 1))
  t.false(takeTicket(gate, ticket(1), TICKET_MS - 1))
  t.false(takeTicket(gate, ticket(2), TICKET_MS))
  t.false(takeTicket(gate, ticket(3), 0))
  t.is(gate.tickets.size, 0)
})

test('the tickets a peer holds are few: its own oldest go first', (t) => {
  const gate = createReflectGate()
  keepTickets(gate, 'other', [ticket(1000)], 0)
  for (let n = 0; n <= TICKETS_PER_PEER_MAX; n++) keepTickets(gate, 'a', [ticket(n)], 0)
  t.is(gate.tickets.size, TICKETS_PER_PEER_MAX + 1)
  t.false(takeTicket(gate, ticket(0), 0))
  t.true(takeTicket(gate, ticket(1), 0))
  t.true(takeTicket(gate, ticket(1000), 0))
})

test('the tickets held for all are bounded, and old ones go by themselves', (t) => {
  const gate = createReflectGate()
  for (let n = 0; n <= TICKETS_HELD_MAX; n++) keepTickets(gate, `peer ${n}`, [ticket(n)], 0)
  t.is(gate.tickets.size, TICKETS_HELD_MAX)
  t.false(takeTicket(gate, ticket(0), 0))
  keepTickets(gate, 'late', [ticket(1_000_000)], TICKET_MS)
  t.is(gate.tickets.size, 1)
})

test('a peer is connected back to so often in its time, and all together so many at once', (t) => {
  const gate = createReflectGate()
  for (let n = 0; n < REACHES_PER_PEER_MAX; n++) {
    t.is(beginReach(gate, 'a', 0), null)
    endReach(gate)
  }
  t.is(beginReach(gate, 'a', REACHES_WINDOW_MS - 1), 'reflect-flood')
  t.is(beginReach(gate, 'a', REACHES_WINDOW_MS), null)
  for (let n = 1; n < REACHES_AT_ONCE_MAX; n++) t.is(beginReach(gate, `peer ${n}`, 0), null)
  t.is(beginReach(gate, 'late', 0), 'reflect-flood')
  endReach(gate)
  t.is(beginReach(gate, 'late', 0), null)
})

test('peers remembered are bounded: the one heard of longest ago is forgotten', (t) => {
  const gate = createReflectGate()
  for (let n = 0; n <= OFFERING_PEERS_MAX; n++) {
    t.is(beginReach(gate, `peer ${n}`, 0), null)
    endReach(gate)
  }
  t.is(gate.reaches.size, OFFERING_PEERS_MAX)
  t.false(gate.reaches.has('peer 0'))
})
