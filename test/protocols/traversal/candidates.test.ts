import test from 'ava'
import fc from 'fast-check'
import {
  beginTry,
  createLedger,
  endTry,
  noteRefused,
  orderCandidates,
  triedOf,
  WAYS,
  type Candidate,
} from '../../../protocols/traversal/candidates.ts'
import { scopeOf } from '../../../protocols/traversal/endpoint.ts'
import { CANDIDATES_PER_WAY_MAX, TRIED_MAX, TRIED_PEERS_MAX } from '../../../protocols/traversal/limits.ts'

const four = (last: number, port = 4001): Candidate['endpoint'] => ({
  ip: Uint8Array.of(52, 0, 0, last),
  port,
})
const six = { ip: Uint8Array.of(0x20, 3, 0, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), port: 4001 }
const direct = (endpoint: Candidate['endpoint']): Candidate => ({
  way: 'public',
  endpoint,
  relay: null,
})
const punch: Candidate = { way: 'punch', endpoint: null, relay: null }
const relay = (name: string): Candidate => ({ way: 'relay', endpoint: null, relay: name })
const NOWHERE = { addresses: [], endpoints: [] }

test('announced addresses come first, then a punch, a relay; IPv6 before IPv4', (t) => {
  const wanted = [direct(six), direct(four(1)), punch, relay('r1'), relay('r2')]
  fc.assert(
    fc.property(fc.shuffledSubarray(wanted, { minLength: 5 }), (shuffled) => {
      const { ordered, refused } = orderCandidates([...shuffled, ...shuffled, punch], NOWHERE)
      t.deepEqual(
        ordered.map(({ way }) => way),
        ['public', 'public', 'punch', 'relay', 'relay'],
      )
      t.is(ordered[0]?.endpoint, six)
      t.deepEqual(refused, [])
    }),
  )
})

test('what leads nowhere, to this node or is too much is not dialled', (t) => {
  const own = {
    addresses: [Uint8Array.of(52, 0, 0, 1)],
    endpoints: [{ ip: Uint8Array.of(52, 0, 0, 2), port: 7 }],
  }
  const local = direct({ ip: Uint8Array.of(127, 0, 0, 1), port: 4001 })
  const many = Array.from({ length: 6 }, (_, index) => direct(four(10 + index)))
  const { ordered, refused } = orderCandidates(
    [direct(four(1)), direct(four(2, 7)), direct(four(2, 8)), local, direct(null), ...many],
    own,
  )
  t.is(ordered.length, CANDIDATES_PER_WAY_MAX)
  t.deepEqual(
    refused.map(({ code }) => code),
    [
      'address-own',
      'address-own',
      'address-not-public',
      'address-not-public',
      'candidate-limit',
      'candidate-limit',
      'candidate-limit',
    ],
  )
})

test('whatever is named, few are dialled, and public ones only', (t) => {
  const candidate = fc.record({
    way: fc.constantFrom(...WAYS),
    endpoint: fc.option(
      fc.record({
        ip: fc.oneof(
          fc.uint8Array({ minLength: 4, maxLength: 4 }),
          fc.uint8Array({ minLength: 16, maxLength: 16 }),
        ),
        port: fc.nat(65_535),
      }),
    ),
    relay: fc.option(fc.string()),
  })
  fc.assert(
    fc.property(fc.array(candidate, { maxLength: 100 }), (named) => {
      const { ordered, refused } = orderCandidates(named, NOWHERE)
      t.true(ordered.length <= 2 * CANDIDATES_PER_WAY_MAX + 1 && refused.length <= TRIED_MAX)
      for (const { endpoint } of ordered) t.true(endpoint === null || scopeOf(endpoint.ip) === 'public')
    }),
  )
})

test('the ledger tells each try with its end, and forgets the oldest', (t) => {
  const ledger = createLedger()
  const first = beginTry(ledger, 'p', direct(four(1)), 10)
  const second = beginTry(ledger, 'p', punch, 20)
  endTry(ledger, 'p', second, 'punch-timeout', 900)
  endTry(ledger, 'p', second, null, 901)
  endTry(ledger, 'p', 999, null, 901)
  endTry(ledger, 'nobody', first, null, 901)
  noteRefused(ledger, 'p', [{ candidate: direct(four(9)), code: 'address-own' }], 30)
  t.deepEqual(
    triedOf(ledger, 'p').map(({ way, startedAt, endedAt, outcome, reason }) => [
      way,
      startedAt,
      endedAt,
      outcome,
      reason,
    ]),
    [
      ['public', 10, null, 'trying', null],
      ['punch', 20, 900, 'failed', 'punch-timeout'],
      ['public', 30, 30, 'refused', 'address-own'],
    ],
  )
  for (let n = 0; n < 2 * TRIED_MAX; n++) endTry(ledger, 'p', beginTry(ledger, 'p', relay('r'), n), null, n)
  t.is(triedOf(ledger, 'p').length, TRIED_MAX)
  t.true(triedOf(ledger, 'p').every(({ outcome }) => outcome === 'connected'))
  for (let n = 0; n < TRIED_PEERS_MAX; n++) beginTry(ledger, `q${n}`, punch, n)
  t.is(ledger.peers.size, TRIED_PEERS_MAX)
  t.deepEqual(triedOf(ledger, 'p'), [])
})
