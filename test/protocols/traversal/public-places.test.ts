import test from 'ava'
import { describeEndpoint, type Endpoint } from '../../../protocols/traversal/endpoint.ts'
import {
  publicPlaces,
  reflectorsAmong,
  type MetAt,
  type PublicPlace,
} from '../../../protocols/traversal/public-places.ts'

const at = (ip: readonly number[], port: number): Endpoint => ({ ip: Uint8Array.from(ip), port })
const SERVER = at([5, 6, 7, 8], 4701)
const SERVER_AGAIN = at([5, 6, 7, 8], 51_000)
const SERVER_MAPPED = at([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 5, 6, 7, 8], 51_000)
const SERVER_V6 = at([0x20, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 4701)
const ELSEWHERE = at([9, 9, 9, 9], 4701)
const HOME = at([192, 168, 1, 5], 4701)
const LOOPBACK = at([127, 0, 0, 1], 4701)
const SHARED = at([100, 64, 0, 9], 4701)

const direct = { isRelayed: false, isSilent: false, dialled: true, isPunched: false }
const dialledAt = (remote: Endpoint): MetAt => ({ ...direct, remote })
const cameFrom = (remote: Endpoint | undefined): MetAt => ({ ...direct, dialled: false, remote })
const punchedAt = (remote: Endpoint, dialled: boolean): MetAt => ({
  ...direct,
  dialled,
  isPunched: true,
  remote,
})
const relayedBy = (remote: Endpoint): MetAt => ({ ...direct, isRelayed: true, remote })
const silent = (met: MetAt): MetAt => ({ ...met, isSilent: true })

/** What is known of a member, where it can relay from, and where it is asked for reflection. */
const TABLE: readonly (readonly [
  title: string,
  connections: readonly MetAt[],
  announced: readonly Endpoint[],
  places: readonly string[],
  reflectors: readonly string[],
])[] = [
  ['dialled at a public address', [dialledAt(SERVER)], [], ['dialled 5.6.7.8:4701'], ['5.6.7.8:4701']],
  [
    'dialled where it announces to be',
    [dialledAt(SERVER)],
    [SERVER],
    ['dialled 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  [
    'started again, and came by itself',
    [cameFrom(SERVER_AGAIN)],
    [SERVER],
    ['met 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  [
    'started again, came over a socket of both families',
    [cameFrom(SERVER_MAPPED)],
    [SERVER],
    ['met 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  [
    'started again, and was punched to by this node',
    [punchedAt(SERVER_AGAIN, true)],
    [SERVER],
    ['met 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  [
    'started again, and punched to this node',
    [punchedAt(SERVER_AGAIN, false)],
    [SERVER],
    ['met 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  ['punched to, announces nothing', [punchedAt(SERVER, true)], [], [], []],
  ['came by itself, announces nothing', [cameFrom(SERVER)], [], [], []],
  [
    'announces an address it is not met at',
    [cameFrom(SERVER_AGAIN)],
    [ELSEWHERE],
    ['announced 9.9.9.9:4701'],
    [],
  ],
  [
    'on the same LAN, with a mapped port outside',
    [dialledAt(HOME)],
    [HOME, SERVER],
    ['announced 5.6.7.8:4701'],
    [],
  ],
  ['on the same LAN alone', [dialledAt(HOME)], [HOME], [], []],
  ['on the same machine', [dialledAt(LOOPBACK)], [LOOPBACK], [], []],
  ['behind the same provider’s NAT', [dialledAt(SHARED)], [SHARED], [], []],
  [
    'announces a private address of another network beside its own',
    [cameFrom(SERVER_AGAIN)],
    [HOME, SERVER],
    ['met 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  [
    'two families, dialled at one',
    [dialledAt(SERVER)],
    [SERVER_V6, SERVER],
    ['dialled 5.6.7.8:4701', 'announced [2003:0:0:0:0:0:0:1]:4701'],
    ['5.6.7.8:4701'],
  ],
  [
    'punched to, then dialled',
    [punchedAt(SERVER_AGAIN, true), dialledAt(SERVER)],
    [SERVER],
    ['dialled 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  ['through a relay only', [relayedBy(SERVER)], [SERVER], [], []],
  ['silent', [silent(dialledAt(SERVER))], [SERVER], [], []],
  [
    'silent at one address, met at another',
    [silent(dialledAt(ELSEWHERE)), cameFrom(SERVER_AGAIN)],
    [SERVER],
    ['met 5.6.7.8:4701'],
    ['5.6.7.8:4701'],
  ],
  ['by a connection without an IP address', [cameFrom(undefined)], [SERVER], ['announced 5.6.7.8:4701'], []],
  ['not connected', [], [SERVER], [], []],
]

for (const [title, connections, announced, places, reflectors] of TABLE) {
  test(`a member ${title}`, (t) => {
    const found = publicPlaces(connections, announced)
    t.deepEqual(
      found.map(({ endpoint, known }) => `${known} ${describeEndpoint(endpoint)}`),
      places,
    )
    t.deepEqual(
      reflectorsAmong([{ peerId: 'p', places: found }], () => null).map(({ endpoint }) =>
        describeEndpoint(endpoint),
      ),
      reflectors,
    )
  })
}

test('those that were dialled are asked first, then the nearest; over IPv4 where somebody is asked over it', (t) => {
  const v6 = { ip: Uint8Array.of(0x20, 3, 0, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), port: 4701 }
  const at = (peerId: string, known: PublicPlace['known'], endpoint = SERVER) => ({
    peerId,
    places: [{ endpoint, known }],
  })
  const rtts: Readonly<Record<string, number>> = { near: 5, far: 90, slow: 20_000, six: 1 }
  const asked = (...members: Parameters<typeof reflectorsAmong>[0]): string[] =>
    reflectorsAmong(members, (peer) => rtts[peer] ?? null).map(({ peer }) => peer)
  t.deepEqual(
    asked(
      at('far', 'met'),
      at('unmeasured', 'met'),
      at('slow', 'dialled'),
      at('near', 'met'),
      at('said', 'announced'),
    ),
    ['slow', 'near', 'far', 'unmeasured'],
  )
  t.deepEqual(asked(at('six', 'dialled', v6), at('far', 'met')), ['far'])
  t.deepEqual(asked(at('six', 'dialled', v6), at('said', 'announced')), ['six'])
})
